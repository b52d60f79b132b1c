"""`group_effects`: the posterior of effects that a run integrated out, from its other draws."""

import arviz as az
import numpy as np
import pymc as pm
import pymc.dims as pmd
import pytest
import scipy

from pymc_sgld import SGLD, SettingError, SGLDWarning, group_effects
from tests.runs import RUN

COORDS = {"group": ["a", "b", "c", "d", "e"], "kind": ["one", "two"]}
GROUPS, ROWS = 5, 60
GROUP = np.arange(ROWS) ** 2 % 7 % GROUPS
SIZES = np.bincount(GROUP, minlength=GROUPS)
_rng = np.random.default_rng(1)
COUNTS = _rng.poisson(3, size=ROWS)
NUMBERS = _rng.normal(size=ROWS) + GROUP
SUMS = np.bincount(GROUP, COUNTS, GROUPS)
CHAINS, DRAWS = 2, 300
ERRORS = 5.0  # standard errors


def dataset(**draws):
    """Return a result with these draws, of shape (CHAINS, DRAWS, ...)."""
    return az.from_dict({"posterior": draws})


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=(CHAINS, DRAWS, *shape))


def frailties():
    """Counts whose rates have a gamma distribution: the posterior of a rate given it is known."""
    with pm.Model(coords=COORDS) as model:
        shape = pm.HalfNormal("shape", 3)
        scale = pm.LogNormal("scale", 0, 1)
        rate = pm.Gamma("rate", shape, 1 / scale, dims="group")
        pm.Deterministic("log_rate", np.log(rate), dims="group")
        pm.Deterministic("each", rate[GROUP])
        pm.Deterministic("largest", rate.max())
        pm.Poisson("y", rate[pm.Data("index", GROUP)], observed=COUNTS)
    return model


SHAPE, SCALE = np.exp(0.3 * normal(2)), np.exp(0.2 * normal(3))
GLOBALS = dataset(shape=SHAPE, scale=SCALE)


@pytest.fixture(scope="module")
def model():
    return frailties()


@pytest.fixture(scope="module")
def drawn(model):
    return group_effects(GLOBALS, model, draws=600, return_draws=True, random_seed=4)


def test_moments_are_those_of_the_mixture_over_the_draws(model, drawn):
    """Exact: given shape and scale a rate is gamma. A scale that is left out is seen."""
    found = group_effects(GLOBALS, model, draws=600, prob=0.9, random_seed=4)
    assert list(found.data_vars) == ["rate", "log_rate"]
    assert found["rate"].dims == ("statistic", "group")
    assert list(found["group"].values) == COORDS["group"]
    assert list(found["statistic"].values) == ["mean", "sd", "lower", "upper"]
    assert found.attrs == {"draws": CHAINS * DRAWS, "prob": 0.9}
    shape = SHAPE[..., None] + SUMS
    rate = 1 / SCALE[..., None] + SIZES
    mean, variance = shape / rate, shape / rate**2
    expected = mean.mean(axis=(0, 1))
    sd = np.sqrt(variance.mean(axis=(0, 1)) + mean.var(axis=(0, 1)))
    count = CHAINS * DRAWS

    def close(expected):
        off = np.abs(found["rate"].sel(statistic="mean") - expected) / sd
        return (off < ERRORS / np.sqrt(count)).all()

    assert close(expected)
    assert not close((shape / (3 + SIZES)).mean(axis=(0, 1)))
    ratio = found["rate"].sel(statistic="sd") / sd
    assert (np.abs(ratio - 1) < 2 * ERRORS / np.sqrt(2 * count)).all()  # tails are heavier
    draws = drawn["rate"].stack(sample=["chain", "draw"])
    for name, share in (("lower", 0.05), ("upper", 0.95)):
        end = found["rate"].sel(statistic=name)
        np.testing.assert_allclose((draws < end).mean("sample"), share, atol=0.01)
        below = scipy.stats.gamma.cdf(end.values, shape, scale=1 / rate).mean(axis=(0, 1))
        assert (np.abs(below - share) < ERRORS * np.sqrt(share * (1 - share) / count)).all()


def test_draws_belong_to_the_draws_of_the_others(model):
    """Each is from its own shape and scale: of another order, or of other chains, they are not."""
    scale = np.exp(2 * normal(3))
    others = dataset(shape=SHAPE, scale=scale)
    drawn = group_effects(others, model, draws=600, return_draws=True, random_seed=4)
    assert drawn["rate"].dims == ("chain", "draw", "group")
    assert drawn.attrs == {"draws": CHAINS * DRAWS}

    def uniform(shape, scale):
        below = scipy.stats.gamma.cdf(
            drawn["rate"], shape[..., None] + SUMS, scale=1 / (1 / scale[..., None] + SIZES)
        )
        return scipy.stats.kstest(below.ravel(), "uniform").pvalue > 1e-4

    assert uniform(SHAPE, scale)
    assert not uniform(SHAPE[:, ::-1], scale[:, ::-1])
    assert not uniform(SHAPE[::-1], scale[::-1])
    np.testing.assert_allclose(drawn["log_rate"], np.log(drawn["rate"]))


@pytest.mark.long
def test_evenly_spaced_draws_of_all_chains_keep_their_labels(model):
    some = GLOBALS.posterior.to_dataset().assign_coords(draw=1000 + np.arange(DRAWS))
    found = group_effects(some, model, draws=19, return_draws=True, random_seed=1)
    assert found.sizes["chain"] == CHAINS and found.sizes["draw"] == 10
    np.testing.assert_array_equal(found["draw"], 1015 + 30 * np.arange(10))
    all_of_them = group_effects(some, model, draws=10_000, var_names="rate", random_seed=1)
    assert all_of_them.attrs["draws"] == CHAINS * DRAWS


def test_the_seed_decides(model):
    of = {"draws": 20, "var_names": ["rate"]}
    one, same, other = (group_effects(GLOBALS, model, random_seed=k, **of) for k in (1, 1, 2))
    assert one.identical(same) and not one.equals(other)


def test_variables_by_name(model):
    names = ["largest", "each", "rate"]
    found = group_effects(GLOBALS, model, draws=20, var_names=names, return_draws=True)
    assert list(found.data_vars) == names
    np.testing.assert_array_equal(found["largest"], found["rate"].max("group"))
    np.testing.assert_array_equal(found["each"], found["rate"].values[..., GROUP])
    for wrong in (["scale"], ["unknown"], []):
        with pytest.raises(SettingError, match="what depends on them, are"):
            group_effects(GLOBALS, model, var_names=wrong)


def test_draws_of_the_effects_in_the_result_are_not_used(model):
    wrong = dataset(shape=SHAPE, scale=SCALE, rate=100 + np.abs(normal(5, GROUPS)))
    of = {"draws": 20, "random_seed": 1}
    assert group_effects(wrong, model, **of).equals(group_effects(GLOBALS, model, **of))
    assert group_effects(wrong, model, marginalize="rate", **of).attrs["draws"] == 20


@pytest.mark.long
def test_the_data_are_those_that_the_model_has_now(model):
    """The data are those that the model has when it is called."""
    with model:
        pm.set_data({"index": GROUP[::-1]})
    try:
        found = group_effects(GLOBALS, model, draws=600, var_names="rate", random_seed=4)
    finally:
        with model:
            pm.set_data({"index": GROUP})
    shape = SHAPE[..., None] + np.bincount(GROUP[::-1], COUNTS, GROUPS)
    rate = 1 / SCALE[..., None] + SIZES
    expected = (shape / rate).mean(axis=(0, 1))
    off = np.abs(found["rate"].sel(statistic="mean") - expected)
    assert (off < ERRORS * found["rate"].sel(statistic="sd") / np.sqrt(600)).all()


def test_two_effects_of_a_group_beside_a_discrete_variable():
    """Intercepts and slopes given the shift that another step draws: a Gaussian of two numbers."""
    x = np.linspace(-1, 1, ROWS)
    with pm.Model(coords=COORDS) as model:
        shift = pm.Bernoulli("shift", 0.5)
        mean = pm.Normal("mean", 0, 1, dims="kind")
        both = pm.Normal("both", mean, 1, dims=("group", "kind"))
        pm.Normal("y", both[GROUP, 0] + both[GROUP, 1] * x + 3 * shift, 1, observed=NUMBERS)
    shifts = np.random.default_rng(6).integers(2, size=(CHAINS, DRAWS))
    means = normal(7, 2)
    found = group_effects(dataset(shift=shifts, mean=means), model, draws=600, random_seed=1)
    expected, variance = np.zeros((GROUPS, 2)), np.zeros((GROUPS, 2))
    for g in range(GROUPS):
        design = np.stack([np.ones(ROWS), x], axis=1)[GROUP == g]
        covariance = np.linalg.inv(np.eye(2) + design.T @ design)
        left = NUMBERS[GROUP == g] - 3 * shifts[..., None]
        at = (means + left @ design) @ covariance
        expected[g] = at.mean(axis=(0, 1))
        variance[g] = np.diag(covariance) + at.var(axis=(0, 1))
    sd = np.sqrt(variance)
    off = np.abs(found["both"].sel(statistic="mean") - expected) / sd
    assert found["both"].dims == ("statistic", "group", "kind")
    assert (off < ERRORS / np.sqrt(600)).all()
    assert (np.abs(found["both"].sel(statistic="sd") / sd - 1) < ERRORS / np.sqrt(1200)).all()


def test_named_dimensions():
    with pm.Model(coords=COORDS | {"row": range(ROWS)}) as model:
        index = pmd.Data("index", GROUP, dims="row")
        spread = pmd.HalfNormal("spread")
        effect = pmd.Normal("effect", 0, spread, dims="group")
        pmd.Deterministic("twice", 2 * effect)
        outcome = pmd.Data("outcome", NUMBERS, dims="row")
        pmd.Normal("y", effect.isel(group=index), 1, observed=outcome)
    found = group_effects(dataset(spread=np.exp(normal(8))), model, return_draws=True)
    assert found["effect"].dims == found["twice"].dims == ("chain", "draw", "group")
    np.testing.assert_allclose(found["twice"], 2 * found["effect"])


# --- what is refused -------------------------------------------------------------------------


def test_a_model_without_groups_is_refused():
    with pm.Model() as model:
        mean = pm.Normal("mean")
        pm.Normal("y", mean, 1, observed=NUMBERS)
    with pytest.raises(SettingError, match="the model has none that can be integrated out"):
        group_effects(dataset(mean=normal(1)), model)


def of_three():
    with pm.Model() as model:
        spread = pm.HalfNormal("spread")
        three = pm.Normal("three", 0, spread, shape=(GROUPS, 3))
        pm.Normal("y", three[GROUP].sum(axis=1), 1, observed=NUMBERS)
    return model


def test_groups_that_cannot_be_integrated_out_are_named():
    model = of_three()
    with pytest.raises(SettingError, match='"three": a group has 3 effects'):
        group_effects(dataset(spread=SCALE, three=normal(1, GROUPS, 3)), model)
    with pytest.raises(SettingError, match="lacks three, which cannot be integrated out: a group"):
        group_effects(dataset(spread=SCALE), model)


def test_a_variable_that_is_missing_is_named(model):
    with pytest.raises(SettingError, match="scale is not in the posterior of idata, which"):
        group_effects(dataset(shape=SHAPE), model)
    with pytest.raises(SettingError, match="shape, scale, rate are not in the posterior"):
        group_effects(dataset(beta=SHAPE), model)
    with pytest.raises(SettingError, match=r"marginalize has \['beta'\]"):
        group_effects(GLOBALS, model, marginalize="beta")
    with pytest.raises(SettingError, match='"scale" cannot be integrated out'):
        group_effects(
            dataset(shape=SHAPE, rate=np.exp(normal(1, GROUPS))), model, marginalize="scale"
        )


def test_another_model_is_refused(model):
    with pytest.raises(SettingError, match=r'"shape" has the shape \(3,\) in the posterior'):
        group_effects(dataset(shape=np.exp(normal(1, 3)), scale=SCALE), model)
    stats = {"total_size": np.full((CHAINS, DRAWS), ROWS + 1), "temperature": np.ones_like(SHAPE)}
    run = az.from_dict({"posterior": {"shape": SHAPE, "scale": SCALE}, "sample_stats": stats})
    with pytest.raises(
        SettingError, match=f"the model has {ROWS} rows, and the run read {ROWS + 1}"
    ):
        group_effects(run, model)
    run["sample_stats"]["temperature"][:] = 0.5
    with pytest.raises(SettingError, match=r"the temperature of the run was 0\.5"):
        group_effects(run, model)


def test_settings_and_draws_that_cannot_be_used(model):
    for settings, text in (
        ({"draws": 0}, "draws=0 must be"),
        ({"prob": 1.0}, "must lie between 0 and 1"),
        ({"return_draws": "yes"}, "return_draws='yes' must be True"),
        ({"random_seed": "one"}, "random_seed='one' is no seed"),
    ):
        with pytest.raises(SettingError, match=text):
            group_effects(GLOBALS, model, **settings)
    edge = dataset(shape=SHAPE, scale=np.where(np.arange(DRAWS) < 150, SCALE, 0.0))
    with pytest.raises(SettingError, match="draws of scale_log__ are not finite"):
        group_effects(edge, model)
    with pytest.raises(SettingError, match="no dimension chain"):
        group_effects(GLOBALS.posterior.to_dataset().isel(chain=0), model)


def test_step_sizes_that_vary_are_told(model):
    step_size = np.tile(1 / np.arange(1, DRAWS + 1), (CHAINS, 1))
    stats = {"step_size": step_size, "sampling_threshold": 0 * step_size}
    run = az.from_dict({"posterior": {"shape": SHAPE, "scale": SCALE}, "sample_stats": stats})
    with pytest.warns(SGLDWarning, match="pass what thin_by_step_size returns"):
        group_effects(run, model, draws=4)


def test_the_intercept_of_bambi_is_told():
    with pm.Model() as model:
        effect = pm.Normal("effect", pm.Normal("Intercept"), 1, shape=GROUPS)
        pm.Normal("y", effect[GROUP], 1, observed=NUMBERS)
    run = dataset(Intercept=normal(9))
    group_effects(run, model, draws=4)
    run.posterior.attrs["modeling_interface"] = "bambi"
    with pytest.warns(SGLDWarning, match="built with center_predictors=False"):
        group_effects(run, model, draws=4)


# --- after a run -----------------------------------------------------------------------------


@pytest.mark.long
def test_a_run_that_did_not_record_the_effects(model):
    with model:
        step = SGLD(compile_kwargs={"mode": "FAST_COMPILE"})
        idata = pm.sample(step=step, var_names=["shape", "scale"], **RUN)
        found = group_effects(idata, draws=4, return_draws=True)
        both = idata.posterior.to_dataset().merge(found, join="inner")
        assert both.sizes["draw"] == 2
        predicted = pm.sample_posterior_predictive(both, random_seed=1, progressbar=False)
    assert predicted.posterior_predictive["y"].shape == (CHAINS, 2, ROWS)
