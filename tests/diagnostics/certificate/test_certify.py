"""Certificates: right figures for runs that are right and for those that are not, and refusals."""

import multiprocessing
import re
import warnings
from concurrent.futures import ProcessPoolExecutor

import arviz as az
import numpy as np
import pymc as pm
import pytensor
import pytest
import xarray as xr

from pymc_sgld import SettingError, SGLDWarning, certify, compare
from pymc_sgld.diagnostics.certificate import located

N = 50
Y = np.random.default_rng(1).normal(1.0, 2.0, N)
MEAN, SD = Y.sum() / (N + 4 / 100), (N / 4 + 1 / 100) ** -0.5  # prior N(0, 10), noise of sd 2


@pytest.fixture(scope="module")
def model():
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 10)
        pm.Deterministic("double", 2 * mean)
        pm.Normal("y", mean, 2, observed=Y)
    return model


def exact(shift=0.0, factor=1.0, draws=5000, seed=2):
    z = np.random.default_rng(seed).normal(size=(4, draws))
    mean = MEAN + SD * (shift + factor * z)
    return az.from_dict({"posterior": {"mean": mean, "double": 2 * mean}})


def quiet(*arguments, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SGLDWarning)
        return certify(*arguments, **settings)


def test_a_right_run_agrees_and_the_moments_are_exact(model):
    found = certify(exact(), model)
    assert found.certified and found.agrees
    assert list(found.table.index) == ["mean", "double"]
    for label, factor in (("mean", 1), ("double", 2)):
        row = found.table.loc[label]
        assert abs(row["mean"] - factor * MEAN) < 4 * row["mean_error"] + 1e-3 * factor * SD
        assert abs(row["sd"] - factor * SD) < 4 * row["sd_error"] + 1e-3 * factor * SD
        assert row["mean_error"] < 1e-3 * factor * SD  # the posterior is its Gaussian
        # of 20,000 independent draws, and of the certificate; the former as ArviZ estimates it
        right = np.hypot(20_000**-0.5, row["mean_error"] / SD / factor)
        assert row["mean_shift_error"] == pytest.approx(right, rel=0.15)
        right = np.hypot(40_000**-0.5, row["sd_error"] / SD / factor)
        assert row["sd_ratio_error"] == pytest.approx(right, rel=0.15)
    assert "Certified: the run agrees" in repr(found)
    assert "mean_shift" in found._repr_html_()


@pytest.mark.parametrize(("shift", "factor"), [(0.05, 1.0), (0.0, 1.05), (0.3, 1.2)])
def test_what_is_wrong_is_told_with_its_size(model, shift, factor):
    found = quiet(exact(shift, factor, draws=20_000), model)
    row = found.table.loc["mean"]
    assert abs(row["mean_shift"] - shift) < 4 * row["mean_shift_error"]
    assert abs(row["sd_ratio"] - factor) < 4 * row["sd_ratio_error"]
    assert row["mean_shift_error"] < 0.01 and row["sd_ratio_error"] < 0.01
    assert found.agrees == (shift < 0.1)


def test_a_wrong_run_is_warned_of(model):
    with pytest.warns(SGLDWarning, match="the mean is"):
        found = certify(exact(0.3), model)
    assert not found.agrees and found.certified
    assert not found.table["agrees"].any()
    assert "Not to be relied on" in found.verdict


@pytest.mark.parametrize("spacing", [0, 1e-12])
def test_draws_that_do_not_move_are_not_certified(model, spacing):
    """Whatever else is right: at the exact mean, and asked for by name."""
    mean = np.float32(quiet(exact(), model).table.loc["mean", "mean"])  # sums of it are exact
    still = az.from_dict({"posterior": {"mean": float(mean) + spacing * np.ones((4, 200))}})
    found = quiet(still, model, var_names=["mean"])
    assert found.certified and not found.agrees
    assert re.search("its draws are constant|the sd is 100 %", found.verdict)


def test_its_draws_are_those_of_the_posterior_and_a_reference(model):
    found = certify(exact(), model)
    draws = found.draws.posterior["mean"]
    assert {"chain", "draw"} == {*draws.dims}
    assert len(np.unique(draws)) == draws.size
    error = SD / np.sqrt(draws.size)
    assert abs(float(draws.mean()) - MEAN) < 4 * error
    assert abs(float(draws.std()) - SD) < 4 * error / np.sqrt(2)
    lp = found.draws.sample_stats["lp"].to_numpy().ravel()
    z = (draws.to_numpy().ravel() - MEAN) / SD
    np.testing.assert_allclose(lp - lp[0], -(z**2 - z[0] ** 2) / 2, atol=1e-8)
    assert float(az.rhat(found.draws)["mean"]) < 1.05
    table = compare(exact(), found)
    assert table.loc["mean", "agrees"]


def test_variables_can_be_chosen(model):
    assert list(certify(exact(), model, var_names="double").table.index) == ["double"]
    with pytest.raises(SettingError, match="no draws of"):
        certify(exact(), model, var_names="other")


def test_draws_that_cannot_be_used_are_refused(model):
    posterior = exact().posterior.to_dataset()
    name = next(iter(posterior.data_vars))
    for wrong, message in (
        (posterior.isel(draw=slice(0)), "cannot read idata: it has no draws"),
        (posterior.isel(chain=0), "They must include chain and draw"),
        (posterior.assign({name: posterior[name].astype(str)}), "have dtype <U"),
    ):
        with pytest.raises(SettingError, match=message):
            certify(wrong, model)


def test_too_little_to_spend_is_no_certificate(monkeypatch):
    from pymc_sgld.tuning.importance import weighted

    monkeypatch.setattr(weighted, "LITTLE", 1)
    with pm.Model() as skewed:
        pm.Gamma("x", 2, 1)
        pm.Exponential("y", 1, observed=[1.0])
    run = az.from_dict({"posterior": {"x": np.random.default_rng(1).gamma(2, size=(4, 1000))}})
    found = quiet(run, skewed, tolerance=1e-6, budget=1)
    assert not found.certified and found.draws is None
    assert found.table[["mean", "sd_ratio"]].isna().all(axis=None)
    assert "Pass a larger tolerance=" in repr(found)
    with pytest.raises(SettingError, match="no draws"):
        compare(run, found)


def test_a_posterior_that_is_no_gaussian_is_refused():
    """A scale whose draws reach over many powers of ten: the closest Gaussian sees a part."""
    with pm.Model() as model:
        x = pm.Cauchy("x", 0, 1, shape=14)
        pm.Normal("y", x.sum(), 1, observed=[0.0])
    z = np.random.default_rng(1).standard_cauchy(size=(4, 100, 14))
    found = quiet(az.from_dict({"posterior": {"x": z}}), model)
    assert not found.certified
    assert "not near enough to a Gaussian" in found.verdict


def two_modes():
    with pm.Model() as model:
        x = pm.Flat("x")
        density = pm.math.logsumexp([-((x - 4) ** 2) / 2, -((x + 40) ** 2) / 2])
        pm.Potential("modes", density)
    return model


def test_a_mode_that_only_the_run_has_seen_is_no_bias_of_the_run():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4, 500)) + np.where(rng.random((4, 500)) < 0.7, 4, -40)
    found = quiet(az.from_dict({"posterior": {"x": x}}), two_modes())
    assert not found.certified
    assert "another mode" in found.verdict


def test_another_mode_is_seen_where_points_reach_as_far():
    """In twelve dimensions most points are as far off as the other mode, in other directions."""
    with pm.Model() as model:
        x = pm.Flat("x", shape=12)
        first = pm.math.logsumexp([-(x[0] ** 2) / 2, -((x[0] - 9) ** 2) / 2 - 1])
        pm.Potential("p", first + (300 * (x[1:] / 17 - pm.math.exp(x[1:] / 17))).sum())
    rng = np.random.default_rng(1)
    x = np.log(rng.gamma(300, 1 / 300, size=(4, 1000, 12))) * 17
    x[..., 0] = rng.normal(size=(4, 1000)) + 9 * (rng.random((4, 1000)) < 0.27)
    found = quiet(az.from_dict({"posterior": {"x": x}}), model)
    assert not found.certified
    assert "another mode" in found.verdict


def test_a_run_far_off_is_no_other_mode(model):
    """Its draws are farther off than all points, and less likely."""
    found = quiet(exact(30.0), model)
    assert found.certified and not found.agrees


def test_discrete_variables_are_refused():
    with pm.Model() as model:
        k = pm.Bernoulli("k", 0.5)
        x = pm.Normal("x", k, 1)
        pm.Normal("y", x, 1, observed=[0.0])
    draws = az.from_dict({"posterior": {"k": np.ones((2, 10), int), "x": np.zeros((2, 10))}})
    with pytest.raises(SettingError, match="k is discrete"):
        certify(draws, model)


@pytest.mark.parametrize("has_blocks", [True, False])
def test_outcomes_that_are_no_rows_are_read_whole(has_blocks, monkeypatch):
    """A log-likelihood that is one number; of long data it cannot be read by blocks."""
    if not has_blocks:
        monkeypatch.setattr(located, "FEW", 20)
        monkeypatch.setattr(located, "BLOCK", 20)
    y = np.zeros(40)
    for t, noise in enumerate(np.random.default_rng(7).normal(size=39)):
        y[t + 1] = 0.5 * y[t] + noise
    with pm.Model() as model:
        share = pm.Flat("share")
        pm.AR("y", share, sigma=1, init_dist=pm.Normal.dist(), observed=y)
    right, sd = y[1:] @ y[:-1] / (y[:-1] @ y[:-1]), (y[:-1] @ y[:-1]) ** -0.5
    draws = right + sd * np.random.default_rng(2).normal(size=(4, 5000))
    found = certify(az.from_dict({"posterior": {"share": draws}}), model)
    assert found.agrees
    assert found.table.loc["share", "mean"] == pytest.approx(right, abs=0.01 * sd)
    assert found.table.loc["share", "sd"] == pytest.approx(sd, rel=0.01)


def test_draws_that_do_not_vary_are_told(model):
    constant = az.from_dict({"posterior": {"mean": np.full((4, 100), MEAN)}})
    found = quiet(constant, model)
    assert found.certified and not found.agrees
    assert found.table.loc["mean", "sd_ratio"] < 1e-9


def test_another_model_is_refused(model):
    other = az.from_dict({"posterior": {"mean": np.zeros((2, 10, 3))}})
    with pytest.raises(SettingError, match="shape"):
        certify(other, model)
    with pytest.raises(SettingError, match="not in the posterior"):
        certify(az.from_dict({"posterior": {"a": np.zeros((2, 10))}}), model)


def test_draws_at_the_edge_are_refused():
    with pm.Model() as model:
        s = pm.HalfNormal("s")
        pm.Normal("y", 0, s, observed=Y)
    with pytest.raises(SettingError, match="edge of their support"):
        certify(az.from_dict({"posterior": {"s": np.zeros((2, 10))}}), model)


def test_other_temperatures_are_refused(model):
    run = exact()
    stats = xr.Dataset(
        {
            name: (("chain", "draw"), np.full((4, 5000), value))
            for name, value in {"temperature": 0.5, "step_size": 0.1, "untrusted": False}.items()
        }
    )
    run["sample_stats"] = xr.DataTree(stats)
    with pytest.raises(SettingError, match="temperature"):
        certify(run, model)


def test_too_many_coordinates_are_refused():
    with pm.Model() as model:
        x = pm.Normal("x", shape=501)
        pm.Normal("y", x.sum(), 1, observed=[0.0])
    with pytest.raises(SettingError, match="501 unconstrained coordinates"):
        certify(az.from_dict({"posterior": {"x": np.zeros((2, 10, 501))}}), model)


def test_effects_of_groups_are_integrated_out_and_what_depends_on_them_is_left_out():
    rng = np.random.default_rng(4)
    group = np.arange(2400) % 40
    y = rng.normal(size=40)[group] + rng.normal(size=2400)
    with pm.Model() as model:
        spread = pm.HalfNormal("spread", 1)
        effect = pm.Normal("effect", 0, spread, shape=40)
        pm.Deterministic("first", effect[0])
        pm.Normal("y", effect[group], 1, observed=y)
    means = y.reshape(60, 40).mean(axis=0)
    grid = np.linspace(0.5, 2, 2001)
    variance = grid**2 + 1 / 60
    log_density = -(grid**2) / 2 - 20 * np.log(variance) - (means**2).sum() / 2 / variance
    weights = np.exp(log_density - log_density.max())
    weights /= weights.sum()
    right = weights @ grid
    sd = np.sqrt(weights @ (grid - right) ** 2)
    draws = {
        "spread": rng.choice(grid, p=weights, size=(4, 1000)),
        "effect": np.broadcast_to(means, (4, 1000, 40)).copy(),
        "first": np.full((4, 1000), means[0]),
    }
    found = certify(az.from_dict({"posterior": draws}), model)
    assert list(found.table.index) == ["spread"]
    assert found.agrees
    assert found.table.loc["spread", "mean"] == pytest.approx(right, abs=0.02 * sd)
    assert found.table.loc["spread", "sd"] == pytest.approx(sd, rel=0.02)
    assert "effect integrated out" in found.verdict


def test_blocks_are_as_long_as_rows_that_are_read_at_a_point():
    from pymc_sgld.tuning.importance.weighted import FEWEST_ROWS

    assert FEWEST_ROWS <= located.BLOCK


def test_rows_on_disk(tmp_path):
    """Few rows stand for those of a source, and small blocks are read from it."""
    rng = np.random.default_rng(5)
    rows = 30_000
    x = rng.normal(size=rows)
    y = 1 + 0.5 * x + rng.standard_t(6, size=rows)
    for name, array in (("x", x), ("y", y)):
        np.save(tmp_path / f"{name}.npy", array)
    sources = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("x", "y")}

    def build(x, y):
        with pm.Model() as model:
            a, b = pm.Normal("a", 0, 5), pm.Normal("b", 0, 5)
            mean = a + b * pm.Data("x", x)
            pm.StudentT("z", nu=6, mu=mean, sigma=1, observed=pm.Data("y", y))
        return model

    draws = rng.normal([1.0, 0.5], 0.01, size=(2, 50, 2))
    run = az.from_dict({"posterior": {"a": draws[..., 0], "b": draws[..., 1]}})
    found = quiet(run, build(x[:100], y[:100]), data=sources)
    whole = quiet(run, build(x, y))
    assert found.certified and whole.certified and found.run["passes"] < 1000
    for certificate in (found, whole):
        assert certificate.run["by_rows"] > 0
    sd = whole.table["sd"]
    error = np.hypot(found.table["mean_error"], whole.table["mean_error"])
    assert (np.abs(found.table["mean"] - whole.table["mean"]) < 4 * error + 1e-4 * sd).all()
    assert found.table["sd"].to_numpy() == pytest.approx(sd.to_numpy(), rel=0.02)


def by_jax():
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 10)
        pm.Normal("y", mean, 2, observed=Y)
    found = certify(exact(), model, compile_kwargs={"mode": "JAX"})
    return found.agrees, found.table.loc["mean", "sd"]


@pytest.mark.long
def test_by_jax():
    spawn = multiprocessing.get_context("spawn")  # JAX starts threads: no fork after it
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        agrees, sd = pool.submit(by_jax).result()
    assert agrees and sd == pytest.approx(SD, rel=0.02)


def test_single_precision():
    with pytensor.config.change_flags(floatX="float32"):
        with pm.Model() as model:
            mean = pm.Normal("mean", 0, 10)
            pm.Normal("y", mean, 2, observed=Y.astype("float32"))
        found = quiet(exact(), model)
    assert found.certified
    assert found.table.loc["mean", "mean"] == pytest.approx(MEAN, abs=0.02 * SD)
    assert found.table.loc["mean", "sd"] == pytest.approx(SD, rel=0.02)


@pytest.mark.parametrize(("noise", "is_certified"), [(1, True), (0.1, True), (0.003, False)])
def test_numbers_that_single_precision_cannot_tell_apart(noise, is_certified):
    """Near 10,000 they are 0.001 apart: the sd of the mean is 0.1, 0.01 or 0.0003."""
    y = (10_000 + noise * np.random.default_rng(1).normal(size=100)).astype("float32")
    right, sd = y.mean(dtype=float), noise / 10
    with pytensor.config.change_flags(floatX="float32"):
        with pm.Model() as model:
            mean = pm.Normal("mean", 0, 1e5)
            pm.Normal("y", mean, noise, observed=y)
        draws = right + sd * np.random.default_rng(2).normal(size=(4, 1000))
        found = quiet(az.from_dict({"posterior": {"mean": draws}}), model)
    assert found.certified == is_certified
    if is_certified:
        assert found.table.loc["mean", "mean"] == pytest.approx(right, abs=0.03 * sd)
        assert found.table.loc["mean", "sd"] == pytest.approx(sd, rel=0.03)
    else:
        assert "in float32 numbers near 1e+04 are 0.00098 apart" in found.verdict
        assert "float64" in found.verdict


def test_a_condition_of_the_likelihood_ends_the_posterior():
    """A Poisson mean below zero: the formula goes on, the model does not."""
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1)
        pm.Poisson("y", mu, observed=[0])
    grid = np.linspace(0, 8, 20_001)
    weights = np.exp(-grid - grid**2 / 2)
    weights /= weights.sum()
    right = weights @ grid
    sd = np.sqrt(weights @ (grid - right) ** 2)
    draws = np.random.default_rng(1).choice(grid, p=weights, size=(4, 2000))
    found = certify(az.from_dict({"posterior": {"mu": draws}}), model)
    assert found.certified
    assert found.table.loc["mu", "mean"] == pytest.approx(right, abs=0.03 * sd)
    assert found.table.loc["mu", "sd"] == pytest.approx(sd, rel=0.03)


def test_a_bound_of_the_prior_is_no_lack_of_rows():
    with pm.Model() as model:
        u = pm.Uniform("u", 0, 1, default_transform=None)
        pm.Normal("y", u, 0.3, observed=[0.5])
    grid = np.linspace(0, 1, 10_001)
    weights = np.exp(-((grid - 0.5) ** 2) / 0.18)
    weights /= weights.sum()
    draws = np.random.default_rng(1).choice(grid, p=weights, size=(4, 2000))
    found = certify(az.from_dict({"posterior": {"u": draws}}), model)
    assert found.certified and found.run["by_rows"] == 0
    sd = np.sqrt(weights @ (grid - 0.5) ** 2)
    assert found.table.loc["u", "sd"] == pytest.approx(sd, rel=0.03)


def test_a_mean_that_does_not_exist_is_not_told():
    with pm.Model() as model:
        x = pm.Normal("x", 0, 1)
        pm.Deterministic("inverse", 1 / x)
        pm.Deterministic("log", pm.math.log(x))
        pm.Deterministic("constant", 0 * x + 0.1)
    x = np.random.default_rng(1).normal(size=(4, 5000))
    with np.errstate(invalid="ignore"):
        draws = {"x": x, "inverse": 1 / x, "log": np.log(x), "constant": 0 * x + 0.1}
    found = quiet(az.from_dict({"posterior": draws}), model)
    assert found.table.loc["x", "agrees"] and not found.agrees
    for label in ("inverse", "log"):
        assert np.isnan(found.table.loc[label, "sd"]) and not found.table.loc[label, "agrees"]
    assert found.table.loc["constant", "sd"] == 0 and found.table.loc["constant", "agrees"]
    assert "no exact figures" in found.verdict
    assert certify(az.from_dict({"posterior": draws}), model, var_names="x").agrees
