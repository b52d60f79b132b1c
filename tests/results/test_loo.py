"""`loo`: what ArviZ gives from the whole log-likelihood, of a few rows and in blocks."""

import arviz as az
import numpy as np
import pymc as pm
import pymc.dims as pmd
import pytest
import xarray as xr
from pytensor.xtensor import as_xtensor

from pymc_sgld import NonFiniteError, SettingError, SGLDWarning, group_effects, loo
from pymc_sgld.results import likelihood

FIGURES = ("elpd", "se", "p", "subsampling_se", "good_k", "n_samples", "n_data_points")


@pytest.fixture
def in_blocks(monkeypatch):
    """Blocks of 64 rows, of which the last two overlap."""
    monkeypatch.setattr(likelihood, "BLOCK", 64)


def test_a_sample_of_rows_is_as_in_arviz(regression, in_blocks):
    """The same rows and approximation: ArviZ computes both from the whole model."""
    found = loo(regression.idata, regression.model, rows=60, pointwise=True)
    whole = regression.idata.copy()
    dims = whole.log_likelihood["y"].dims[2:]
    whole["observed_data"] = xr.DataTree(xr.Dataset({"y": (dims, regression.y)}))
    expected = az.loo_subsample(
        whole,
        observations=found.loo_subsample_observations,
        method="plpd",
        model=regression.model,
        pointwise=True,
    )
    for name in FIGURES:
        assert found[name] == pytest.approx(expected[name], rel=1e-9), name
    for name in ("elpd_i", "pareto_k", "elpd_loo_approx"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-9)
        assert found[name].dims == expected[name].dims == ("y_dim_0",)
    assert str(found) == str(expected)


def test_all_rows_are_as_in_arviz(regression, in_blocks):
    found, expected = loo(regression.idata, regression.model), az.loo(regression.idata)
    rows = len(regression.y)
    assert found.subsample_size == rows and found.subsampling_se == 0
    assert found.elpd == pytest.approx(expected.elpd, rel=1e-12)
    assert found.p == pytest.approx(expected.p, rel=1e-9)
    assert found.se == pytest.approx(expected.se * np.sqrt(1 - 1 / rows), rel=1e-9)
    assert found.elpd_i is None and found.elpd_loo_approx is None


def test_draws_that_are_equal():
    """In the first row all are, which tells nothing; in the second only the tail of the ratios."""
    x = np.array([0.0, 1, 2, 3])
    slope = np.where(np.arange(800) % 2, 0.0, np.linspace(0.5, 1.5, 800))
    with pm.Model() as model:
        pm.Normal("y", pm.Normal("slope") * x, 1, observed=[0.7, 2, -1, 1])
    idata = az.from_dict({"posterior": {"slope": slope.reshape(2, 400)}})
    with pytest.warns(SGLDWarning, match="in 1 of the 4 rows"):
        found = loo(idata, model, pointwise=True, draws=800)
    at = np.log(2 * np.pi) / -2 - (np.array([0.7, 2, -1, 1]) - slope[:, None] * x) ** 2 / 2
    raw = -np.log(np.mean(np.exp(-at), axis=0))
    np.testing.assert_allclose(found.elpd_i[:2], raw[:2], rtol=1e-9)
    assert found.pareto_k[0] == -np.inf and found.pareto_k[1] == np.inf
    assert np.isfinite(found.pareto_k[2:]).all() and np.isfinite([found.p, found.se]).all()


def test_too_few_draws(regression):
    with pytest.raises(SettingError, match="there would be 24 draws"):
        loo(regression.idata, regression.model, draws=24)


def test_rows_from_sources(regression, in_blocks):
    """The model has a few of them; the others are read once."""
    X, y = regression.X, regression.y
    with pm.Model() as template:
        beta = pm.Normal("beta", 0, 2, shape=3)
        pm.StudentT("y", nu=3, mu=pm.Data("X", X[:9]) @ beta, sigma=1, observed=y[:9])
    data = {"X": X, "y": y}
    one = loo(regression.idata, template, rows=60, pointwise=True, data=data)
    other = loo(regression.idata, regression.model, rows=60, pointwise=True)
    for name in FIGURES:
        assert one[name] == pytest.approx(other[name], rel=1e-9)
    np.testing.assert_allclose(one.elpd_i, other.elpd_i)
    assert one.elpd_i.dims == ("y_dim_0",)


def test_models_are_compared(regression):
    with pm.Model() as other:
        beta = pm.Normal("beta", 0, 2, shape=3)
        pm.Normal("y", regression.X @ beta, 1.7, observed=regression.y)
    models = {"heavy": regression.model, "light": other}
    table = az.compare(
        {
            name: loo(regression.idata, model, rows=100, pointwise=True)
            for name, model in models.items()
        }
    )
    assert table.index[0] == "heavy" and table.loc["light", "elpd_diff"] < 0
    with pytest.raises(ValueError, match="pointwise=True"):
        az.compare({name: loo(regression.idata, model) for name, model in models.items()})


@pytest.fixture(scope="module")
def two_outcomes():
    """An outcome of two numbers a row, with names, and one of one number."""
    rng = np.random.default_rng(1)
    coords = {"person": [f"p{i}" for i in range(90)], "test": ["a", "b"]}
    with pm.Model(coords=coords) as model:
        mean, sd = pm.Normal("mean", shape=2), pm.HalfNormal("sd")
        pm.Normal("score", mean, sd, observed=rng.normal(size=(90, 2)), dims=("person", "test"))
        pm.Bernoulli("passed", logit_p=mean[0], observed=rng.integers(2, size=50))
    draws = {"mean": 0.1 * rng.normal(size=(2, 100, 2)), "sd": 1 + 0.05 * rng.random((2, 100))}
    idata = az.from_dict({"posterior": draws})
    with model:
        pm.compute_log_likelihood(idata, progressbar=False, compile_kwargs={"mode": "FAST_COMPILE"})
    return model, idata


@pytest.mark.parametrize("name", ["score", "passed"])
def test_several_outcomes(two_outcomes, in_blocks, name):
    model, idata = two_outcomes
    found = loo(idata, model, var_name=name, pointwise=True)
    expected = az.loo(idata, var_name=name, pointwise=True)
    assert found.elpd == pytest.approx(expected.elpd, rel=1e-12)
    assert found.elpd_i.dims == expected.elpd_i.dims
    np.testing.assert_allclose(found.elpd_i, expected.elpd_i)
    if name == "score":
        assert list(found.elpd_i["test"].values) == ["a", "b"]
    assert found.n_data_points == expected.n_data_points
    with pytest.raises(SettingError, match=r"it has several. Pass var_name="):
        loo(idata, model)


def test_effects_that_were_not_recorded_are_drawn_first():
    rng = np.random.default_rng(1)
    group = np.arange(120) % 6
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 2)
        effect = pm.Normal("effect", mean, 1, shape=6)
        pm.Normal("y", effect[group], 1, observed=rng.normal(size=120) + group / 3)
    idata = az.from_dict({"posterior": {"mean": rng.normal(0.8, 0.4, size=(2, 500))}})
    with pytest.raises(SettingError, match=r"group_effects.*merge\(draws") as refused:
        loo(idata, model)
    assert "effect is not in the posterior" in str(refused.value)
    effects = group_effects(idata, model, draws=1000, return_draws=True, random_seed=1)
    complete = idata.posterior.to_dataset().merge(effects, join="inner")
    found = loo(complete, model)
    assert found.n_samples == 1000 and 4 < found.p < 9


def test_a_sample_that_is_too_small_says_how_many_rows_it_takes():
    """Where each row moves an effect, the mean of the draws is a poor approximation."""
    rng = np.random.default_rng(1)
    group = np.arange(400) % 100
    y = rng.normal(0, 2, size=400)
    with pm.Model() as model:
        effect = pm.Normal("effect", shape=100)
        pm.Normal("y", effect[group], 2, observed=y)
    mean = np.bincount(group, y) / (4 + 4)  # precisions: 1, and 4 rows of a quarter each
    idata = az.from_dict({"posterior": {"effect": rng.normal(mean, 0.5**0.5, (2, 500, 100))}})
    with pytest.warns(SGLDWarning, match="The choice of 20 of 400 rows adds .* rows=") as told:
        few = loo(idata, model, rows=20)
    wanted = int(str(told[0].message).partition("rows=")[2].partition(" ")[0])
    assert 20 < wanted < 400
    assert few.subsampling_se > 0.15 * few.se
    assert loo(idata, model, rows=2 * wanted).subsampling_se < 0.15 * few.se


def test_rows_with_great_influence_are_told():
    y = np.append(np.random.default_rng(1).normal(size=50), 12)
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 10)
        pm.Normal("y", mean, pm.HalfNormal("sd"), observed=y)
    z = np.random.default_rng(2).normal(size=(2, 4, 250))
    draws = {"mean": y.mean() + 0.28 * z[0], "sd": y.std() + 0.19 * z[1]}
    with pytest.warns(SGLDWarning, match=r"Pareto k is above 0.67 in 1 of the 51 rows"):
        found = loo(az.from_dict({"posterior": draws}), model)
    assert found.warning


def test_what_is_refused(regression):
    idata, model = regression.idata, regression.model
    with pytest.raises(SettingError, match=r"observed variables of the model are .*'y'"):
        loo(idata, model, var_name="z")
    with pytest.raises(SettingError, match="rows=1 must be at least 2"):
        loo(idata, model, rows=1)
    with pm.Model() as other:
        pm.Normal("beta", shape=4)
        pm.Normal("y", observed=np.zeros(3))
    with pytest.raises(SettingError, match=r'"beta" has the shape \(3,\) in the posterior'):
        loo(idata, other)
    with pm.Model() as unobserved:
        pm.Normal("beta", shape=3)
    with pytest.raises(SettingError, match="the model has no observed variable"):
        loo(idata, unobserved)
    with pm.Model() as another:
        pm.Normal("slope")
        pm.Normal("y", observed=np.zeros(3))
    with pytest.raises(SettingError, match="slope is not in the posterior of idata"):
        loo(idata, another)
    with pm.Model() as series:
        pm.Normal("beta", shape=3)
        pm.AR("y", [0.5], init_dist=pm.Normal.dist(), observed=np.zeros(50))
    with pytest.raises(SettingError, match="not independent given the parameters"):
        loo(idata, series)
    with pm.Model() as narrow:
        beta = pm.Normal("beta", shape=3)
        pm.Uniform("y", beta[0] - 1, beta[0] + 1, observed=np.linspace(0, 1.9, 20))
    with pytest.raises((NonFiniteError, ValueError), match=r"zero|-inf"):
        loo(idata, narrow)


def test_rows_that_are_others_than_those_of_the_run(regression):
    run = regression.idata.copy()
    stats = {"total_size": (("chain", "draw"), np.full((2, 200), 299))}
    run["sample_stats"] = xr.DataTree(xr.Dataset(stats))
    with pytest.raises(SettingError, match="the model has 300 rows, and the run read 299"):
        loo(run, regression.model)


def test_rows_that_need_all_parameters_at_once(in_blocks):
    """Each has one of its own: a block does not know which."""
    with pm.Model() as model:
        level = pm.Normal("level", shape=90)
        pm.Normal("y", level, 1, observed=np.zeros(90))
    idata = az.from_dict({"posterior": {"level": np.zeros((2, 10, 90))}})
    with pytest.raises(SettingError, match='of "y" in blocks of rows: "level" is a parameter'):
        loo(idata, model)


def test_named_dimensions(in_blocks):
    """Numbers have the labels that they have in the model."""
    y = np.random.default_rng(1).normal(size=(90, 2))
    coords = {"row": np.arange(90), "test": ["a", "b"]}
    with pm.Model(coords=coords) as plain:
        pm.Normal("y", pm.Normal("mean", dims="test"), 1, observed=y, dims=("row", "test"))
    with pm.Model(coords=coords) as named:
        given = as_xtensor(y, dims=("row", "test"))
        pmd.Normal("y", pmd.Normal("mean", dims="test"), 1, observed=given)
    draws = 0.1 * np.random.default_rng(2).normal(size=(2, 500, 2))
    idata = az.from_dict({"posterior": {"mean": draws}})
    one, other = (loo(idata, m, rows=20, pointwise=True).elpd_i for m in (plain, named))
    assert one.notnull().sum() == 20
    xr.testing.assert_allclose(one, other.transpose("row", "test"))
