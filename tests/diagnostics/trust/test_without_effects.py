"""`diagnose` and `compare` of runs that did not record the effects of groups."""

import warnings

import arviz as az
import numpy as np
import pymc as pm
import pytest
import scipy

from pymc_sgld import SettingError, SGLDWarning, compare, diagnose

GROUPS, ROWS = 20, 120
GROUP = np.arange(ROWS) ** 2 % 23 % GROUPS
SIZES = np.bincount(GROUP, minlength=GROUPS)
_rng = np.random.default_rng(1)
NUMBERS = _rng.normal(size=ROWS) + _rng.normal(size=GROUPS)[GROUP]
COUNTS = _rng.poisson(np.exp(0.5 * _rng.normal(size=GROUPS)[GROUP]))


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=(4, 500, *shape))


def quiet(draws, model, gradients=400, **stats):
    groups = {"posterior": draws} | ({"sample_stats": stats} if stats else {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SGLDWarning)
        return diagnose(az.from_dict(groups), model, gradients=gradients)


def check(report, name, sd_ratio):
    row = report.coordinates.loc[name]
    assert abs(row["mean_shift"]) < 5 * row["mean_shift_error"]
    assert abs(row["sd_ratio"] - sd_ratio) < 5 * row["sd_ratio_error"]
    assert row["sd_ratio_error"] < 0.1


def gaussian(outcomes=1):
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 10)
        effect = pm.Normal("effect", mean, 1, shape=GROUPS)
        for k in range(outcomes):
            pm.Normal(f"y{k}", effect[GROUP], 1, observed=NUMBERS)
    return model


def posterior_of_mean():
    """Each group has a mean of its rows, of variance 1 + 1 / rows around the mean of all."""
    held = SIZES > 0
    weights = 1 / (1 + 1 / SIZES[held])
    means = np.bincount(GROUP, NUMBERS, GROUPS)[held] / SIZES[held]
    precision = weights.sum() + 1 / 100
    return (weights @ means) / precision, precision**-0.5


def test_draws_of_the_marginal_posterior_are_trusted():
    """Effects that are normal given the mean. Draws that are half as wide again are not."""
    model, (mean, sd) = gaussian(), posterior_of_mean()
    report = quiet({"mean": mean + sd * normal(1)}, model)
    check(report, "mean", 1.0)
    assert report.trusted and list(report.coordinates.index) == ["mean"]
    assert "with effect integrated out" in report.verdict
    wide = quiet({"mean": mean + 1.5 * sd * normal(1)}, model)
    check(wide, "mean", 1.5)
    assert not wide.trusted


def counted():
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 2)
        offset = pm.Normal("offset", 0, 1, shape=GROUPS)
        pm.Poisson("y", np.exp(mean + 0.5 * offset[GROUP]), observed=COUNTS)
    return model


@pytest.mark.long
def test_the_integral_by_quadrature_is_that_of_the_posterior():
    """Counts: the marginal density of the mean on a grid, effects summed over a fine grid."""
    b, mean = np.linspace(-6, 6, 241), np.linspace(-1.5, 1.5, 301)
    sums = np.bincount(GROUP, COUNTS, GROUPS)
    rate = mean[:, None, None] + 0.5 * b
    joint = sums[:, None] * rate - SIZES[:, None] * np.exp(rate) - b**2 / 2
    log_density = scipy.special.logsumexp(joint, axis=2).sum(axis=1) - mean**2 / 8
    weights = np.exp(log_density - log_density.max())
    below = np.cumsum(weights) / weights.sum()
    uniform = scipy.stats.norm.cdf(normal(2))
    draws = np.interp(uniform, below, mean)
    center, sd = draws.mean(), draws.std()
    model = counted()
    report = quiet({"mean": draws}, model)
    check(report, "mean", 1.0)
    assert report.trusted
    check(quiet({"mean": center + 1.5 * (draws - center)}, model), "mean", 1.5)
    assert sd < 0.3


def test_the_number_of_rows_is_that_of_the_run():
    """Of two outcomes in the same rows each counts, where effects are integrated out."""
    model, (mean, sd) = gaussian(outcomes=2), posterior_of_mean()
    draws = {"mean": mean + sd * normal(3), "effect": normal(4, GROUPS)}
    for names in (["mean"], ["mean", "effect"]):
        some = {name: draws[name] for name in names}
        for count in (ROWS, 2 * ROWS):
            size = np.full((4, 500), count)
            assert "sd_ratio" in quiet(some, model, 40, total_size=size).coordinates
        for count in (ROWS - 1, 3 * ROWS):
            size = np.full((4, 500), count)
            with pytest.raises(SettingError, match=f"rows, and the run read {count}"):
                quiet(some, model, total_size=size)


def test_what_else_is_missing_is_named():
    with pytest.raises(SettingError, match="mean is not in the posterior of idata, which has eff"):
        diagnose(az.from_dict({"posterior": {"effect": normal(5, GROUPS)}}), gaussian())
    with pm.Model() as model:
        spread = pm.HalfNormal("spread")
        three = pm.Normal("three", 0, spread, shape=(GROUPS, 3))
        pm.Normal("y", three[GROUP].sum(axis=1), 1, observed=NUMBERS)
    with pytest.raises(SettingError, match=r"lacks three.*a group has 3 effects.*records all free"):
        diagnose(az.from_dict({"posterior": {"spread": np.exp(normal(6))}}), model)


def test_another_temperature_is_refused():
    """The marginal of a tempered posterior is not the tempered marginal."""
    with pytest.raises(SettingError, match=r"lacks effect, .* \(that of the run was 2\)"):
        quiet({"mean": normal(9)}, gaussian(), temperature=np.full((4, 500), 2.0))


def test_compare_says_what_it_could_not():
    mean, effect = normal(7), normal(8, GROUPS)
    table = compare(
        az.from_dict({"posterior": {"mean": mean}}),
        az.from_dict({"posterior": {"mean": mean, "effect": effect}}),
    )
    assert list(table.index) == ["mean"]
    assert table.attrs["only_in_reference"] == ["effect"]
    assert "Not compared, only in the reference: effect" in table.attrs["verdict"]
