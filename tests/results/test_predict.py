"""`predict`: what PyMC predicts after `pm.set_data`, in blocks of new rows."""

import sys

import arviz as az
import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
import scipy
import xarray as xr
import zarr

from pymc_sgld import DataError, SettingError, SGLDWarning, predict
from pymc_sgld.results import new_rows

ROWS, NEW, CHAINS, DRAWS = 60, 23, 2, 150
_rng = np.random.default_rng(1)
X, GROUP = _rng.normal(size=(ROWS, 2)), np.arange(ROWS) % 4
NEW_ROWS = {"X": _rng.normal(size=(NEW, 2)), "group": _rng.integers(4, size=NEW)}
DRAWN = {
    "beta": [1, -1] + 0.1 * _rng.normal(size=(CHAINS, DRAWS, 2)),
    "effect": 0.5 * _rng.normal(size=(CHAINS, DRAWS, 4)),
    "sd": 0.5 + 0.1 * _rng.random(size=(CHAINS, DRAWS)),
}
IDATA = az.from_dict({"posterior": DRAWN})
NUMBERS, COUNTS = _rng.normal(size=ROWS), _rng.poisson(2, size=ROWS)
MEAN = (
    np.einsum("cdk,nk->cdn", DRAWN["beta"], NEW_ROWS["X"]) + DRAWN["effect"][..., NEW_ROWS["group"]]
)


def regression(outcome, observed):
    """An outcome of a linear predictor."""
    with pm.Model(coords={"row": np.arange(ROWS), "column": ["a", "b"]}) as model:
        beta, effect = pm.Normal("beta", shape=2), pm.Normal("effect", shape=4)
        sd = pm.HalfNormal("sd")
        index, rows = pm.Data("group", GROUP), pm.Data("X", X, dims=("row", "column"))
        mean = pm.Deterministic("mean", rows @ beta + effect[index], dims="row")
        outcome(mean, sd, pm.Data("observed", observed))
    return model


@pytest.fixture(scope="module")
def model():
    return regression(lambda m, sd, y: pm.Normal("y", m, sd, observed=y, dims="row"), NUMBERS)


@pytest.fixture
def in_blocks(monkeypatch):
    """Blocks of 10 rows, of which the last two overlap."""
    monkeypatch.setattr(new_rows, "BLOCK", 10)


def test_a_deterministic_is_that_of_each_draw_and_row(model, in_blocks):
    found = predict(IDATA, model, data=NEW_ROWS, var_names="mean", draws=300, return_draws=True)
    assert found["mean"].dims == ("chain", "draw", "row") and set(found.coords) == {"chain", "draw"}
    np.testing.assert_allclose(found["mean"], MEAN)
    short = predict(IDATA, model, data=NEW_ROWS, var_names="mean", draws=300, prob=0.8)
    assert short["mean"].dims == ("statistic", "row")
    ends = np.quantile(MEAN, [0.1, 0.9], axis=(0, 1))
    sd = MEAN.reshape(-1, NEW).std(axis=0, ddof=1)
    np.testing.assert_allclose(short["mean"], [MEAN.mean(axis=(0, 1)), sd, *ends])
    assert short.attrs == {"draws": 300, "prob": 0.8}
    assert model["X"].get_value().shape == (ROWS, 2)


def test_outcomes_are_drawn_around_the_mean_of_their_own_draw_and_row(model, in_blocks):
    """By their law given the parameters: with those of the next draw, or row, it is another."""
    found = predict(IDATA, model, data=NEW_ROWS, draws=300, return_draws=True, random_seed=1)
    assert list(found.data_vars) == ["y"]

    def is_normal(mean):
        z = (found["y"].values - mean) / DRAWN["sd"][..., None]
        return scipy.stats.kstest(z.ravel(), "norm").pvalue > 1e-5

    assert is_normal(MEAN)
    assert not is_normal(np.roll(MEAN, 1, axis=1))
    assert not is_normal(np.roll(MEAN, 1, axis=2))
    flat = found["y"].values.reshape(300, NEW)
    assert len(np.unique(flat)) == flat.size  # no block has the numbers of another
    again = predict(IDATA, model, data=NEW_ROWS, draws=300, return_draws=True, random_seed=1)
    assert again.identical(found)


OUTCOMES = {
    "bernoulli": (lambda m, sd, y: pm.Bernoulli("y", logit_p=m, observed=y), COUNTS > 1),
    "negative binomial": (
        lambda m, sd, y: pm.NegativeBinomial("y", mu=pt.exp(m), alpha=1 / sd, observed=y),
        COUNTS,
    ),
    "categorical": (
        lambda m, sd, y: pm.Categorical("y", logit_p=pt.stack([m, 0 * m, -m], axis=1), observed=y),
        COUNTS % 3,
    ),
    "two numbers": (
        lambda m, sd, y: pm.MvNormal("y", pt.stack([m, -m], axis=1), np.eye(2), observed=y),
        np.stack([NUMBERS, NUMBERS], axis=1),
    ),
    "zeros": (
        lambda m, sd, y: pm.ZeroInflatedPoisson("y", 0.6, mu=pt.exp(m), observed=y),
        COUNTS,
    ),
    "censored": (
        lambda m, sd, y: pm.Censored("y", pm.Normal.dist(m, sd), -1, 1, observed=y),
        np.clip(NUMBERS, -1, 1),
    ),
    "truncated": (
        lambda m, sd, y: pm.Truncated("y", pm.Normal.dist(m, 1), lower=-1, observed=y),
        np.abs(NUMBERS),
    ),
    "mixture": (
        lambda m, sd, y: pm.Mixture(
            "y", [0.3, 0.7], [pm.Normal.dist(m, 1), pm.Normal.dist(3 - m, sd)], observed=y
        ),
        NUMBERS,
    ),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcomes_of_other_distributions_are_as_in_pymc(name):
    """The mean of each row, within its error; those of the next row are not."""
    outcome, observed = OUTCOMES[name]
    model = regression(outcome, observed)
    found = predict(IDATA, model, data=NEW_ROWS, draws=300, return_draws=True, random_seed=1)
    with model:
        pm.set_data(NEW_ROWS | {"observed": observed[:NEW]}, coords={"row": np.arange(NEW)})
        expected = pm.sample_posterior_predictive(
            IDATA,
            predictions=True,
            progressbar=False,
            random_seed=2,
            compile_kwargs={"mode": "FAST_COMPILE"},
        ).predictions["y"]
    assert found["y"].shape == expected.shape and found["y"].dtype == expected.dtype
    ours, theirs = (each.reshape(300, NEW, -1) for each in (found["y"].values, expected.values))
    error = np.sqrt((ours.var(axis=0) + theirs.var(axis=0)) / 300) + 1e-9
    off = (ours.mean(axis=0) - theirs.mean(axis=0)) / error
    assert (np.abs(off) < 5).all()
    assert (np.abs(np.roll(ours, 1, axis=1).mean(axis=0) - theirs.mean(axis=0)) > 5 * error).any()


def test_predictions_on_disk_are_those_in_memory(model, in_blocks, tmp_path):
    source = zarr.create_array(tmp_path / "X.zarr", data=NEW_ROWS["X"], chunks=(7, 2))
    data = NEW_ROWS | {"X": source}
    how = {"draws": 40, "random_seed": 1, "var_names": ["y", "mean"]}
    for keep in (False, True):
        inside = predict(IDATA, model, data=NEW_ROWS, return_draws=keep, **how)
        path = tmp_path / f"found{keep}"
        outside = predict(IDATA, model, data=data, return_draws=keep, path=path, **how)
        xr.testing.assert_identical(outside.load(), inside)
        with pytest.raises(SettingError, match="there already"):
            predict(IDATA, model, data=data, path=path, **how)
    wrong = NEW_ROWS | {"group": np.append(NEW_ROWS["group"][:-1], 4)}
    with pytest.raises(DataError):
        predict(IDATA, model, data=wrong, path=tmp_path / "wrong", **how)
    assert not list(tmp_path.glob("wrong*"))
    with pytest.raises(SettingError, match="cannot be written to"):
        predict(IDATA, model, data=data, path="/proc/found", **how)


def test_zarr_is_asked_for_where_it_is_needed(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    assert predict(IDATA, model, data=NEW_ROWS, var_names="mean", draws=2)["mean"].size
    with pytest.raises(SettingError, match="pip install zarr"):
        predict(IDATA, model, data=NEW_ROWS, path=tmp_path / "found")


@pytest.mark.parametrize("level", [4, -1])
def test_a_level_that_the_model_has_not(model, in_blocks, level):
    """NumPy would take -1 for the last one."""
    wrong = NEW_ROWS | {"group": np.append(NEW_ROWS["group"][:-2], [level, 0])}
    sentence = rf'row 21 of data: "group" is {level} there, and "effect" has 4 entries, 0 to 3'
    with pytest.raises(DataError, match=sentence):
        predict(IDATA, model, data=wrong)


def without(name):
    return {other: rows for other, rows in NEW_ROWS.items() if other != name}


REFUSED = [
    ({}, r"pass new rows of the pm.Data of the model, which are \['group', 'X'"),
    (
        without("group"),
        '"group" has one entry for each row that the model was built with, and no source',
    ),
    (NEW_ROWS | {"X": X[:NEW, :1]}, r'data\["X"\] has the shape \(23, 1\), and the model has'),
    (NEW_ROWS | {"X": X[:5]}, r'data\["group"\] has 23 rows|has 5 rows and data'),
    (NEW_ROWS | {"X": np.ones((NEW, 2), int)}, r'the model has float64.*\.astype\("float64"\)'),
    (NEW_ROWS | {"group": np.ones(NEW, bool)}, r'"group"\] is bool, and .* int32 in its place'),
    (NEW_ROWS | {"group": np.ones(NEW)}, r'data."group". is float64, which does not fit'),
    (NEW_ROWS | {"Z": X[:NEW]}, r'data has "Z", but the pm.Data of the model are'),
    (NEW_ROWS | {"observed": NUMBERS[:NEW]}, r"\['observed'\], what was observed"),
]


@pytest.mark.parametrize(("data", "sentence"), REFUSED)
def test_new_rows_that_are_refused(model, data, sentence):
    with pytest.raises(SettingError, match=sentence):
        predict(IDATA, model, data=data)


def test_other_arguments_that_are_refused(model):
    with pytest.raises(SettingError, match=r"name observed variables, \['y'\], or Determinist"):
        predict(IDATA, model, data=NEW_ROWS, var_names="beta")
    with pytest.raises(SettingError, match=r"effect is not in the posterior.*group_effects"):
        predict(IDATA.posterior.to_dataset().drop_vars("effect"), model, data=NEW_ROWS)
    other = az.from_dict({"posterior": DRAWN | {"effect": np.zeros((CHAINS, DRAWS, 5))}})
    with pytest.raises(SettingError, match=r'"effect" has the shape \(5,\) in the posterior'):
        predict(other, model, data=NEW_ROWS)
    for name, wrong, message in (
        ("effect", np.nan, "draws of effect are not finite"),
        ("effect", "a", "have dtype <U1"),
        ("sd", -1.0, 'predict "y" at a draw: scale < 0. Either draws are outside'),
    ):
        spoilt = np.full(np.shape(DRAWN[name]), wrong)
        with pytest.raises(SettingError, match=message):
            predict(az.from_dict({"posterior": DRAWN | {name: spoilt}}), model, data=NEW_ROWS)
    with pm.Model() as fixed:
        pm.Normal("y", pm.Normal("mean"), 1, observed=NUMBERS)
    with pytest.raises(SettingError, match=r"the model has no pm\.Data"):
        predict(IDATA, fixed, data={"x": NUMBERS})
    with pytest.raises(SettingError, match="prob=1 must lie between 0 and 1"):
        predict(IDATA, model, data=NEW_ROWS, prob=1)


def mixed_rows():
    with pm.Model() as model:
        slope = pm.Normal("slope")
        x = pm.Data("x", NUMBERS)
        pm.Normal("y", slope * (x - x.mean()), 1, observed=NUMBERS)
    return model, r'"y" in blocks of new rows: .*pm.sample_posterior_predictive'


def a_constant_of_each_row():
    with pm.Model() as model:
        slope = pm.Normal("slope")
        pm.Normal("y", slope * pm.Data("x", NUMBERS), 1 + COUNTS, observed=NUMBERS)
    return model, r"a constant of the model has one entry for each row.*make it pm.Data"


def a_parameter_of_each_row():
    with pm.Model() as model:
        slope, own = pm.Normal("slope"), pm.Normal("own", shape=ROWS)
        pm.Normal("y", slope * pm.Data("x", NUMBERS) + own, 1, observed=NUMBERS)
    return model, '"own" is a parameter with one entry per row'


def number_of_rows():
    with pm.Model() as model:
        slope, x = pm.Normal("slope"), pm.Data("x", NUMBERS)
        pm.Normal("y", slope * x / x.shape[0], 1, observed=NUMBERS)
    return model, '"y" computes with the number of rows of "x"'


@pytest.mark.parametrize(
    "make", [mixed_rows, a_constant_of_each_row, a_parameter_of_each_row, number_of_rows]
)
def test_what_is_no_function_of_a_row(make):
    """Block by block it would be wrong without a word."""
    model, sentence = make()
    drawn = {"slope": np.ones((1, 9)), "own": np.ones((1, 9, ROWS))}
    idata = az.from_dict({"posterior": drawn})
    with pytest.raises(SettingError, match=sentence):
        predict(idata, model, data={"x": NUMBERS[:NEW]})


def test_draws_of_unequal_weight_are_told(model):
    stats = {"step_size": np.linspace(2, 1, DRAWS), "sampling_threshold": np.ones(DRAWS)}
    idata = IDATA.copy()
    stats = {name: (("chain", "draw"), np.tile(v, (CHAINS, 1))) for name, v in stats.items()}
    idata["sample_stats"] = xr.DataTree(xr.Dataset(stats))
    with pytest.warns(SGLDWarning, match="pass what thin_by_step_size returns"):
        predict(idata, model, data=NEW_ROWS, var_names="mean", draws=4)


def test_what_is_not_needed_may_be_missing():
    """Priors of what there are draws of, with their own data. One new row is no number."""
    with pm.Model() as model:
        center = pm.Normal("center")
        effect = pm.Normal("effect", center + pm.Data("table", np.zeros(4)), 1, shape=4)
        index = pm.Data("group", GROUP)
        pm.Deterministic("each", effect[index])
        pm.Normal("y", effect[index], 1, observed=NUMBERS)
    found = predict(IDATA, model, data={"group": np.array([3])}, var_names="each", draws=300)
    assert found["each"].shape == (4, 1)
    mean = found["each"].sel(statistic="mean").item()
    assert mean == pytest.approx(DRAWN["effect"][..., 3].mean())
    with pytest.raises(SettingError, match=r"data has .'table'., which .'y'. do not depend on"):
        predict(IDATA, model, data={"group": GROUP, "table": np.zeros(4)})
