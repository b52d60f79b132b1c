"""Tables of rows: several numbers of rows, pm.Minibatch, total_size, potentials, missing values.

Every test compares with the full gradient, by enumeration of an epoch of each table.
"""

from itertools import product

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

from pymc_sgld import SGLD, DataError, MinibatchError, SettingError
from pymc_sgld.gradients.minibatch import minibatch
from tests.graphs import QUICK, TEXTBOOK, evaluator, log_density, position_of, random_point

ROWS, BATCH = 12, 4
SETTINGS = QUICK | {"step_size": 1e-4}

_rng = np.random.default_rng(7)
X = _rng.normal(size=(ROWS, 3))
y = _rng.normal(size=ROWS)
with_gaps = np.where(np.arange(ROWS) % 3 == 1, np.nan, y)


def check_unbiased(model, reference=None, sizes=None, **settings):
    """The mean over the batches of all tables is the gradient of ``reference``, the full one."""
    point = random_point(reference or model)
    density = log_density(model, model.value_vars, point, **settings)
    assert sizes is None or [(t.total_size, t.batch_size) for t in density.tables] == sizes
    evaluate = evaluator(density, minibatch(density).gradient)
    epochs = [
        np.random.default_rng(0).permutation(t.total_size).reshape(-1, t.batch_size)
        for t in density.tables
    ]
    gradients = [
        evaluate(
            position_of(density, point),
            *[d.array[rows] for t, rows in zip(density.tables, batches) for d in t.data],
            *[d.array for d in density.whole],
        )
        for batches in product(*epochs)
    ]
    full = (reference or model).compile_dlogp(mode="FAST_COMPILE")(point)
    np.testing.assert_allclose(np.mean(gradients, axis=0), full, rtol=1e-9, atol=1e-9)
    if any(not table.full for table in density.tables):
        assert np.std(gradients, axis=0).max() > 1e-3
    return density


def regression(data=X, outcome=y, **observed):
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=3)
        pm.Normal("y", data @ beta, pm.HalfNormal("sigma"), observed=outcome, **observed)
    return model


def several_outcomes():
    with regression() as model:
        pm.Poisson("count", pt.exp(model["beta"][0]), observed=np.arange(8))
        pm.Normal("pilot", model["beta"][1], 1, observed=0.3)
    return model


def test_every_number_of_rows_has_batches_of_its_own():
    check_unbiased(several_outcomes(), batch_size=BATCH, sizes=[(12, 4), (8, 4), (1, 1)])


def test_a_variable_evaluated_in_full():
    density = check_unbiased(
        several_outcomes(), batch_size=BATCH, full=["y"], sizes=[(12, 12), (8, 4), (1, 1)]
    )
    assert density.tables[0].data == []


def test_rows_of_several_tables_in_sampling():
    """Each table is read by an order of its own; the statistics count the rows of all."""
    with several_outcomes():
        step = SGLD(batch_size=BATCH, steps_per_draw=3, **SETTINGS)
        assert "batch_size=4 of 12 rows + 4 of 8 rows + 1 of 1 rows" in repr(step)
        idata = pm.sample(draws=4, tune=0, chains=1, step=step, progressbar=False, random_seed=1)
    np.testing.assert_array_equal(idata.sample_stats["rows_seen"], [3 * 9 * np.arange(1, 5)])
    assert (idata.sample_stats["total_size"] == 21).all()


def test_full_gradient_of_several_tables():
    check_unbiased(several_outcomes(), batch_size=ROWS, sizes=[(12, 12), (8, 8), (1, 1)])


def test_total_size_is_honoured():
    """The likelihood of 12 rows counts as that of 600, as it does in NUTS."""
    model = regression(total_size=600)
    assert log_density(model, model.value_vars, model.initial_point(), BATCH).tables[0].scale == 3
    check_unbiased(model, batch_size=BATCH)


@pytest.mark.parametrize("data", [X, None], ids=["array", "pm.Data"])
def test_pm_minibatch_runs_as_it_is(data):
    with pm.Model() as model:
        rows, outcome = pm.Minibatch(pm.Data("X", X) if data is None else data, y, batch_size=BATCH)
        beta = pm.Normal("beta", shape=3)
        pm.Normal("y", rows @ beta, pm.HalfNormal("sigma"), observed=outcome, total_size=ROWS)
    density = check_unbiased(model, regression(), sizes=[(12, 4)])
    assert {item.array.shape for item in density.data} == {(12,), (12, 3)}


def test_pm_minibatch_beside_ordinary_data():
    """An observed variable of its own, with other rows, is minibatched automatically."""

    def build(rows, outcome, **observed):
        with pm.Model() as model:
            beta = pm.Normal("beta", shape=3)
            pm.Normal("y", rows @ beta, 1, observed=outcome, **observed)
            pm.Normal("pilot", beta[0], 1, observed=y[:6])
        return model

    model = build(*pm.Minibatch(X, y, batch_size=BATCH), total_size=ROWS)
    check_unbiased(model, build(X, y), batch_size=3, sizes=[(12, 4), (6, 3)])


def test_pm_minibatch_samples_the_posterior_of_all_rows():
    """Conjugate normal mean: without the factor N/n the variance would be 50 times too large."""
    values = np.random.default_rng(3).normal(2, 1, 1000)
    with pm.Model():
        mean = pm.Normal("mean", 0, 10)
        pm.Normal("x", mean, 1, observed=pm.Minibatch(values, batch_size=20), total_size=1000)
        idata = pm.sample(
            step=SGLD(step_size=1e-5, steps_per_draw=40, **TEXTBOOK),
            draws=4000,
            tune=200,
            chains=1,
            progressbar=False,
            random_seed=5,
        )
    draws = idata.posterior["mean"].to_numpy().ravel()
    precision = 1000 + 1 / 100
    np.testing.assert_allclose(draws.mean(), values.sum() / precision, atol=0.01)
    # V = N^2/n s^2 for iid batches bounds the variance: (1 + eps V / 4) / (1 - eps A / 4)
    assert 0.7 < draws.var() * precision < 1.5


def minibatch_model(kind):
    rows, outcome = pm.Minibatch(X, y, batch_size=BATCH)
    beta = pm.Normal("beta", shape=3)
    if kind == "two calls":
        other = pm.Minibatch(y, batch_size=BATCH)
        pm.Normal("y", rows @ beta, 1, observed=other, total_size=ROWS)
    elif kind == "no total_size":
        with pytest.warns(Warning, match="total_size not provided"):
            pm.Normal("y", rows @ beta, 1, observed=outcome)
    elif kind == "ordinary data beside it":
        pm.Normal("y", rows @ beta, 1, observed=y[:BATCH], total_size=ROWS)
    elif kind == "latent per row":
        latent = pm.Normal("latent", shape=BATCH)
        pm.Normal("y", rows @ beta + latent, 1, observed=outcome, total_size=ROWS)
    elif kind == "dependent rows":
        pm.Normal("y", pt.cumsum(rows @ beta), 1, observed=outcome, total_size=ROWS)
    elif kind == "one number":
        cov = np.eye(BATCH)
        pm.MvNormal("y", rows @ beta, cov, observed=outcome, total_size=ROWS)
    elif kind == "mean of the batch":
        pm.Normal("y", (rows - rows.mean(axis=0)) @ beta, 1, observed=outcome, total_size=ROWS)
    elif kind == "spread of the batch":
        pm.Normal("y", rows @ beta, outcome.std(), observed=outcome, total_size=ROWS)
    elif kind == "first row for all":
        pm.Normal("y", rows @ beta + rows[0, 0], 1, observed=outcome, total_size=ROWS)
    elif kind == "product of the batch":
        mean = rows @ (rows.T @ (rows @ beta))
        pm.Normal("y", mean, 1, observed=outcome, total_size=ROWS)
    elif kind == "one row, dependent":
        rows, outcome = pm.Minibatch(X, y, batch_size=1)
        pm.Normal("y", pt.cumsum(rows @ beta), 1, observed=outcome, total_size=ROWS)
    elif kind == "total_size of another axis":
        table = pm.Minibatch(X, batch_size=BATCH)
        pm.Normal("y", beta, 1, observed=table, total_size=[None, 3])
    elif kind == "different lengths":
        rows, outcome = pm.Minibatch(X, y[:10], batch_size=BATCH)
        pm.Normal("y", rows @ beta, 1, observed=outcome, total_size=ROWS)
    elif kind == "potential":
        pm.Potential("y", -((outcome - rows @ beta) ** 2))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("two calls", '"y": its data come from several calls of pm.Minibatch'),
        ("no total_size", '"y": it uses pm.Minibatch without total_size'),
        ("ordinary data beside it", '"y".* of 4 entries stand beside the rows of pm.Minibatch'),
        ("latent per row", '"latent" is a parameter with one entry per row'),
        ("dependent rows", '"y".*the rows are mixed by Cumsum'),
        ("one number", '"y": its log-likelihood is one number'),
        ("potential", '"y": it reads rows of pm.Minibatch, which only observed'),
    ],
)
def test_pm_minibatch_misused(kind, message):
    with pm.Model():
        minibatch_model(kind)
        with pytest.raises(MinibatchError, match=message):
            SGLD(**SETTINGS)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_pm_minibatch_with_checks_that_have_no_rows(size):
    """As many components as rows of a batch, and not: the weights are checked, not their rows."""

    def build(outcome, **observed):
        with pm.Model() as model:
            weights = pm.Dirichlet("weights", np.ones(2))
            means = pm.Normal("means", shape=2)
            pm.NormalMixture("y", weights, means, 1, observed=outcome, **observed)
        return model

    model = build(pm.Minibatch(y, batch_size=size), total_size=ROWS)
    check_unbiased(model, build(y), sizes=[(12, size)])


def test_pm_minibatch_beside_other_steps():
    """Their density would be that of one random batch after the other."""
    with pm.Model() as model:
        mean, scale = pm.Normal("mean"), pm.HalfNormal("scale")
        pm.Normal("y", mean, scale, observed=pm.Minibatch(y, batch_size=4), total_size=ROWS)
        for settings in ({}, {"blocked": False}):
            with pytest.raises(MinibatchError, match=r'pm.Minibatch, and "scale" would be'):
                SGLD([mean], **SETTINGS, **settings)
        assert len(SGLD(blocked=False, **SETTINGS).methods) == 2
    assert model


def test_data_of_pm_minibatch_are_checked_in_every_row():
    with pm.Model():
        beta = pm.Normal("beta", shape=3)
        times = np.where(np.arange(ROWS) == 9, -1.0, 2.0)
        rows, outcome = pm.Minibatch(X, times, batch_size=5)
        pm.Exponential("y", pt.exp(rows @ beta), observed=outcome, total_size=ROWS)
        with pytest.raises(DataError, match=r'"y" is zero .* in 1 row, the first is row 9'):
            SGLD(**SETTINGS)


def test_potential_by_rows():
    """A likelihood written as a potential, alone and beside observed variables."""
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=3)
        sigma = pm.HalfNormal("sigma")
        pm.Potential("likelihood", pm.logp(pm.Normal.dist(X @ beta, sigma), y))
    rows = {"potentials": {"likelihood": "rows"}}
    check_unbiased(model, regression(), batch_size=BATCH, sizes=[(12, 4)], **rows)
    with regression() as model:
        pm.Potential("weights", -pt.exp(X @ model["beta"]))
    rows = {"potentials": {"weights": "rows"}}
    density = check_unbiased(model, batch_size=BATCH, sizes=[(12, 4)], **rows)
    assert list(density.tables[0].likelihoods) == ["weights", "y"]


def test_potential_in_the_prior():
    with regression() as model:
        pm.Potential("ridge", -(model["beta"] ** 2))
    check_unbiased(model, batch_size=BATCH, potentials={"ridge": "prior"})
    with pytest.raises(MinibatchError, match=r'pm.Potential "ridge"'):
        SGLD(model=model, batch_size=BATCH, **SETTINGS)
    assert SGLD(model=model, batch_size=BATCH, potentials={"ridge": "prior"}, **SETTINGS)


def test_potential_by_rows_refused():
    with regression() as model:
        pm.Potential("total", -pt.sum(pt.exp(X @ model["beta"])))
        with pytest.raises(MinibatchError, match=r'"total" by rows: it is one number'):
            SGLD(batch_size=BATCH, potentials={"total": "rows"}, **SETTINGS)


def test_missing_values():
    """PyMC's imputation: the missing entries are parameters, the observed rows are minibatched."""
    with pytest.warns(Warning, match=r"missing values"):
        model = regression(outcome=with_gaps)
    density = check_unbiased(model, batch_size=BATCH, sizes=[(8, 4)])
    entries = {"beta": 3, "sigma": 1, "y_unobserved": 4}
    assert {c.name: c.size for c in density.coordinates} == entries
    assert max(item.array.shape[0] for item in density.data) == 8
    assert not [item for item in density.whole if ROWS in item.array.shape]


def test_missing_values_in_a_table():
    """Each entry that is there is a row."""
    table = np.where(_rng.uniform(size=X.shape) < 0.2, np.nan, X)
    with pm.Model() as model, pytest.warns(Warning, match="missing values"):
        pm.Normal("y", X * pm.Normal("beta", shape=3), 1, observed=table)
    rows = int(np.isfinite(table).sum())
    density = check_unbiased(model, batch_size=1, sizes=[(rows, 1)])
    assert not density.whole


def test_nothing_is_picked_from_one_entry():
    """The levels but the first, with one level: an empty sum is zero."""
    with regression() as model:
        level = pm.Normal("level", shape=1)
        pm.Potential("others", -pt.sum(pt.exp(level)[1:] ** 2))
        pm.Potential("smooth", pm.logp(pm.Normal.dist(0, 2), pt.diff(pt.exp(level))).sum())
    places = {"others": "prior", "smooth": "prior"}
    check_unbiased(model, batch_size=BATCH, potentials=places)


def test_missing_covariates_are_refused():
    """Imputed covariates are parameters with one entry per row of another outcome."""
    with pm.Model() as model:
        with pytest.warns(Warning, match=r"missing values"):
            x = pm.Normal("x", pm.Normal("mean"), 1, observed=with_gaps)
        pm.Normal("y", pm.Normal("slope") * x, 1, observed=y)
    with pytest.raises(MinibatchError, match=r'"y".*Pass full='):
        SGLD(model=model, batch_size=BATCH, **SETTINGS)
    check_unbiased(model, batch_size=BATCH, full=["y"])


@pytest.mark.parametrize(
    "pick", [slice(2, 10), slice(None, None, -1), np.arange(ROWS)[::-2], y > 0], ids=str
)
def test_rows_picked_by_a_fixed_index(pick):
    """Picked from the data, before anything is computed."""
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=3)
        pm.Normal("y", pt.exp(pt.constant(X) @ beta)[pick], 1, observed=y[pick])
    rows = len(y[pick])
    density = check_unbiased(model, batch_size=2 - rows % 2, sizes=[(rows, 2 - rows % 2)])
    assert density.whole == [] and {len(item.array) for item in density.data} == {rows}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"potentials": {"wrong": "prior"}}, r"potentials has \['wrong'\].* are \['ridge'\]"),
        ({"potentials": {"ridge": "likelihood"}}, 'not "prior" or "rows"'),
        ({"potentials": "prior"}, "must be a dictionary"),
        ({"full": "beta"}, r"full has \['beta'\], but the observed variables .*\['y'\]"),
        ({"full": 3}, "full=3 must be names"),
    ],
)
def test_bad_settings(settings, message):
    with regression() as model:
        pm.Potential("ridge", -(model["beta"] ** 2))
        with pytest.raises(SettingError, match=message):
            SGLD(batch_size=BATCH, **SETTINGS, **settings)


def test_batch_size_beside_pm_minibatch():
    with pm.Model():
        beta = pm.Normal("beta", shape=3)
        rows, outcome = pm.Minibatch(X, y, batch_size=BATCH)
        pm.Normal("y", rows @ beta, 1, observed=outcome, total_size=ROWS)
        with pytest.raises(SettingError, match=r"batches of 4 rows by pm.Minibatch"):
            SGLD(batch_size=5, **SETTINGS)
        with pytest.raises(SettingError, match=r'full has "y", which uses pm.Minibatch'):
            SGLD(full="y", **SETTINGS)
        assert SGLD(batch_size=BATCH, **SETTINGS).batch_size == BATCH
