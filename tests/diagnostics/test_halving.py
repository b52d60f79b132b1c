r"""Step halving: the extrapolation against closed forms, and two runs of a model.

On a Gaussian of precision :math:`A`, with gradients of variance :math:`V`, the law of Euler's chain
has the variance :math:`(1 + \varepsilon V / 4) / (A (1 - \varepsilon A / 4))`.
"""

import arviz as az
import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLD, SettingError, schedules, step_halving
from pymc_sgld.diagnostics import halving
from pymc_sgld.diagnostics.comparison.marginal import Tolerance
from pymc_sgld.diagnostics.richardson import BEYOND, UNKNOWN, WITHIN, extrapolate
from tests.graphs import QUICK

TOLERANCE = Tolerance()
QUIET = {"cores": 1, "quiet": True, "compute_convergence_checks": False}


def variance(step_size, noise, precision=1.0):
    return (1 + step_size * noise / 4) / (precision * (1 - step_size * precision / 4))


def euler(rng, step_size, noise, runs, draws=1000):
    """Stationary chains on N(0, 1), shape (runs, 4, draws), one draw in time 0.5."""
    updates = round(0.5 / step_size)
    memory = (1 - step_size / 2) ** updates
    stationary = variance(step_size, noise)
    values = rng.normal(size=(draws, runs, 4)) * np.sqrt(stationary)
    for draw in range(1, draws):
        values[draw] *= np.sqrt(1 - memory**2)
        values[draw] += memory * values[draw - 1]
    return np.moveaxis(values, 0, -1)


def extrapolate_many(seed, ratio, noise=0.6, step_size=0.5, runs=120):
    rng = np.random.default_rng(seed)
    pairs = zip(
        euler(rng, step_size, noise, runs), euler(rng, step_size / 2, noise, runs), strict=True
    )
    return [extrapolate(one, two, ratio, TOLERANCE) for one, two in pairs]


# --- numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("step_size", [0.1, 3.0])
def test_a_bias_that_is_a_power_of_the_step_size_is_removed(order, step_size):
    z = np.random.default_rng(1).normal(size=(4, 200))
    z = (z - z.mean()) / z.std(ddof=1)

    def run(size):  # mean 2 + 0.3 ε^p, variance 4 + 0.5 ε^p
        return 2 + 0.3 * size**order + np.sqrt(4 + 0.5 * size**order) * z

    found = extrapolate(run(step_size), run(step_size / 2), 2**order, TOLERANCE)
    np.testing.assert_allclose([found.mean_extrapolated, found.sd_extrapolated], 2, rtol=1e-12)
    np.testing.assert_allclose(found.mean_shift * found.sd_half, 0.3 * step_size**order, rtol=1e-9)
    np.testing.assert_allclose(found.sd_ratio, np.sqrt(1 + step_size**order / 8), rtol=1e-9)
    weight = 1 / (2**order - 1)
    errors = (1 + weight) * found.mean_half_mcse, weight * found.mean_mcse
    np.testing.assert_allclose(found.mean_extrapolated_mcse, np.hypot(*errors), rtol=1e-12)


def test_the_bias_of_eulers_chain_is_extrapolated_within_its_error():
    # In 120 pairs of runs. The remaining bias of the variance is of second order and known; the
    # order 2 leaves one that is far outside.
    found = extrapolate_many(2, ratio=2)
    squares = np.array([one.sd_extrapolated**2 for one in found])
    expected = 2 * variance(0.25, 0.6) - variance(0.5, 0.6)
    error = squares.std() / np.sqrt(len(squares))
    assert abs(squares.mean() - expected) < 5 * error
    assert abs(expected - 1) < 0.03 < variance(0.5, 0.6) - 1
    wrong = np.array([one.sd_extrapolated**2 for one in extrapolate_many(2, ratio=4)])
    assert abs(wrong.mean() - expected) > 5 * error
    means = np.array([one.mean_extrapolated for one in found])
    assert abs(means.mean()) < 5 * means.std() / np.sqrt(len(means))


def test_the_errors_are_errors():
    # Standardised estimates of 120 pairs have sd 1 with a standard error of 6.5 %, times five. The
    # error of a single run, without what extrapolation does to it, makes it more than 2.
    found = extrapolate_many(3, ratio=2)
    limit = 5 / np.sqrt(2 * len(found))
    expected = np.sqrt(2 * variance(0.25, 0.6) - variance(0.5, 0.6))
    means = np.array([one.mean_extrapolated for one in found])
    sds = np.array([one.sd_extrapolated for one in found]) - expected
    assert abs(np.std(means / [one.mean_extrapolated_mcse for one in found]) - 1) < limit
    assert abs(np.std(sds / [one.sd_extrapolated_mcse for one in found]) - 1) < limit
    assert np.std(means / [one.mean_half_mcse for one in found]) > 1 + limit
    shifts = np.array([one.mean_shift / one.mean_shift_mcse for one in found])
    assert abs(np.std(shifts) - 1) < limit
    ratios = np.array([one.sd_ratio for one in found])
    assert abs(np.std(ratios) / np.mean([one.sd_ratio_mcse for one in found]) - 1) < limit


def test_a_bias_is_judged_only_where_the_errors_leave_no_doubt():
    rng = np.random.default_rng(4)
    one, two = rng.normal(size=(2, 4, 20000))
    short = slice(None, 50)
    assert extrapolate(one, two, 2, TOLERANCE).bias == WITHIN
    assert extrapolate(one[:, short], two[:, short], 2, TOLERANCE).bias == UNKNOWN
    assert extrapolate(one + 0.2, two, 2, TOLERANCE).bias == BEYOND
    assert extrapolate(one - 0.2, two, 2, TOLERANCE).bias == BEYOND
    assert extrapolate(one * 1.2, two, 2, TOLERANCE).bias == BEYOND
    assert extrapolate(one * 0.8, two, 2, TOLERANCE).bias == BEYOND
    assert extrapolate(one * 1.2, two, 2, Tolerance(sd=0.8)).bias == WITHIN
    broken = one.copy()
    broken[0, 0] = np.nan
    assert extrapolate(broken, two, 2, TOLERANCE).bias == UNKNOWN
    constant = extrapolate(np.ones((2, 9)), np.ones((2, 9)), 2, TOLERANCE)
    assert constant.mean_extrapolated == 1 and constant.sd_extrapolated == 0
    assert constant.bias == WITHIN
    assert extrapolate(np.ones((2, 9)), 2 * np.ones((2, 9)), 2, TOLERANCE).bias == BEYOND


def test_an_inflation_too_large_to_extrapolate_is_beyond_the_tolerance():
    rng = np.random.default_rng(5)
    found = extrapolate(2 * rng.normal(size=(4, 2000)), rng.normal(size=(4, 2000)), 2, TOLERANCE)
    assert np.isnan(found.sd_extrapolated) and found.bias == BEYOND


def test_statements_about_runs_of_no_bias_are_right():
    # one per cent of tables may say otherwise: of 120, more than seven with probability 1e-5
    rng = np.random.default_rng(6)
    values = rng.normal(size=(2, 120, 2, 60))
    wrong = sum(
        extrapolate(*pair, 2, TOLERANCE).bias == BEYOND for pair in zip(*values, strict=True)
    )
    assert wrong <= 7


# --- runs ------------------------------------------------------------------------------------

ROWS, STEP_SIZE = 400, 4e-3
DATA = np.random.default_rng(7).normal(size=ROWS)
PRECISION = ROWS + 1


@pytest.fixture(scope="module")
def model():
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1)
        pm.Normal("x", mu, 1, observed=DATA)
        pm.Deterministic("twice", 2 * mu)
    return model


@pytest.fixture(scope="module")
def step(model):
    return SGLD(batch_size=ROWS, step_size=STEP_SIZE, steps_per_draw=2, model=model, **QUICK)


@pytest.fixture(scope="module")
def found(model, step):
    return step_halving(model, step, draws=1000, tune=10, chains=2, random_seed=8, **QUIET)


def test_two_runs_follow_their_laws(found, step):
    for idata, size, end in ((found.idata, STEP_SIZE, ""), (found.half, STEP_SIZE / 2, "_half")):
        assert (idata.sample_stats["step_size"] == size).all()
        assert (idata.sample_stats["steps_per_draw"] == 2 * round(STEP_SIZE / size)).all()
        assert dict(idata.posterior.sizes) == {"chain": 2, "draw": 1000}
        line = found.table.loc["mu"]
        expected = np.sqrt(variance(size, 0, PRECISION))
        assert abs(line["sd" + end] - expected) < 5 * line[f"sd{end}_mcse"]
        assert abs(line["mean" + end] - DATA.sum() / PRECISION) < 5 * line[f"mean{end}_mcse"]
    limit = np.sqrt(2 * variance(STEP_SIZE / 2, 0, PRECISION) - variance(STEP_SIZE, 0, PRECISION))
    assert abs(line["sd_extrapolated"] - limit) < 5 * line["sd_extrapolated_mcse"]
    first, second = found.idata.posterior["mu"].values, found.half.posterior["mu"].values
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 5 / np.sqrt(first.size / 4)
    assert (found.step_size, found.half_step_size, found.order) == (STEP_SIZE, STEP_SIZE / 2, 1)
    assert step.schedule == schedules.constant(STEP_SIZE) and step.steps_per_draw == 2


def test_table_and_text(found):
    assert list(found.table.index) == ["mu", "twice"]
    assert np.isclose(found.table.loc["twice", "sd"], 2 * found.table.loc["mu", "sd"])
    assert (found.table["bias"] == BEYOND).all()  # the variance is 1.67 times that of the posterior
    for text in (repr(found), found._repr_html_()):
        for word in ("mean at ε=0.004", "sd at 0", "±", "twice", "biased: 2 of 2 parameters are"):
            assert word in text
    assert "<table" in found._repr_html_()


def test_what_chains_took_is_what_is_halved(monkeypatch, model, step):
    # Chains that made their steps smaller while tuning: the average is extrapolated exactly.
    noise = np.random.default_rng(9).normal(size=(2, 500))
    calls = []

    def sample(step, **settings):
        calls.append((step.schedule.step_size, settings["random_seed"]))
        size = np.array([1, 0.5] if len(calls) == 1 else [1, 1]) * step.schedule.step_size
        size = np.tile(size[:, None], 500)
        return az.from_dict(
            {"posterior": {"mu": 7 + 3 * size + noise}, "sample_stats": {"step_size": size}}
        )

    monkeypatch.setattr(halving.pm, "sample", sample)
    found = step_halving(model, step, random_seed=1)
    assert calls[1][0] == pytest.approx(0.375 * STEP_SIZE) and calls[0][1] != calls[1][1]
    assert found.table.loc["mu", "mean_extrapolated"] == pytest.approx(7 + noise.mean(), rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step": "nuts"}, "step is a str: pass one SGLD"),
        ({"order": 3}, "order=3 must be 1, 2 or None"),
        ({"mean_tolerance": 0}, "mean_tolerance=0 must be above zero"),
        ({"step": {"step_size": schedules.polynomial(1, 1, 1), **QUICK}}, "has the schedule poly"),
        ({"step": {"step_size": 1e-4, "temperature": 0, **QUICK}}, "temperature=0, which samples"),
    ],
)
def test_refusals(model, settings, message):
    with pytest.raises(SettingError, match=message):
        step_halving(model, **settings)


def test_the_order_is_that_of_the_noise_and_of_the_integrator(model, step):
    settings = {"step_size": STEP_SIZE, "model": model} | QUICK
    averaged = {"integrator": "leimkuhler_matthews"}
    assert halving.order_of_bias(step) == 1
    assert halving.order_of_bias(SGLD(batch_size=ROWS, **averaged, **settings)) == 2
    assert halving.order_of_bias(SGLD(batch_size=20, **averaged, **settings)) == 1
