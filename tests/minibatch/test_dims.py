"""Models with named dimensions (``pymc.dims``) minibatch themselves."""

import numpy as np
import pymc as pm
import pymc.dims as pmd
import pytensor
import pytest

from pymc_sgld import SGLD, MinibatchError
from pymc_sgld.gradients.minibatch import minibatch
from tests.graphs import QUICK, check_model, log_density
from tests.zoo.data import GROUPS, ROWS, X, binary, classes, counts, exposure, group, positive, x, y

COORDS = {
    "row": np.arange(ROWS),
    "feature": list("abc"),
    "group": [f"g{i}" for i in range(GROUPS)],
    "class": list("pqrs"),
}


def named_model():
    return pm.Model(coords=COORDS)


def normal_mean():
    with named_model() as model:
        outcome = pmd.Data("outcome", y, dims="row")
        pmd.Normal("y", pmd.Normal("mean", 0, 5), 1, observed=outcome)
    return model


def linear_regression():
    with named_model() as model:
        design = pmd.Data("X", X, dims=("row", "feature"))
        beta = pmd.Normal("beta", dims="feature")
        mean = pmd.Deterministic("mean", design.dot(beta, dim="feature"))
        outcome = pmd.Data("outcome", y, dims="row")
        pmd.Normal("y", mean, pmd.HalfNormal("sigma"), dims="row", observed=outcome)
    return model


def logistic_regression_transposed():
    with named_model() as model:
        design = pmd.as_xtensor(np.ascontiguousarray(X.T), dims=("feature", "row"))
        beta = pmd.Normal("beta", dims="feature")
        outcome = pmd.as_xtensor(binary, dims="row")
        pmd.Bernoulli("y", logit_p=(beta * design).sum("feature"), observed=outcome)
    return model


def poisson_regression():
    with named_model() as model:
        design = pmd.Data("X", X.astype("float32"), dims=("row", "feature"))
        time = pmd.Data("time", exposure.astype("float32"), dims="row")
        beta = pmd.Normal("beta", dims="feature")
        rate = time * pmd.math.exp(design.dot(beta))
        pmd.Poisson("y", rate, observed=pmd.Data("outcome", counts, dims="row"))
    return model


def varying_intercepts():
    with named_model() as model:
        index = pmd.Data("index", group, dims="row")
        spread = pmd.HalfNormal("spread")
        effect = pmd.Normal("effect", pmd.Normal("center"), spread, dims="group")
        slope = pmd.Normal("slope")
        mean = effect.isel(group=index) + slope * pmd.Data("x", x, dims="row")
        outcome = pmd.Data("outcome", y, dims="row")
        pmd.StudentT("y", pmd.Gamma("nu", 2, 0.1), mean, 1, observed=outcome)
    return model


def varying_slopes_zero_sum():
    with named_model() as model:
        index = pmd.as_xtensor(group, dims="row")
        design = pmd.Data("X", X, dims=("row", "feature"))
        slopes = pmd.ZeroSumNormal("slopes", core_dims="group", dims=("feature", "group"))
        mean = slopes.isel(group=index).dot(design, dim="feature")
        pmd.Laplace("y", mean, 1, observed=pmd.Data("outcome", y, dims="row"))
    return model


def outcome_by_row_and_feature():
    """The parameters' dimensions come first in the log-likelihood, the rows in the data."""
    with named_model() as model:
        level = pmd.Normal("level", dims="feature")
        slope = pmd.Normal("slope", dims="feature")
        mean = level + slope * pmd.Data("x", x, dims="row")
        pmd.Normal("y", mean, 1, observed=pmd.Data("outcome", X, dims=("row", "feature")))
    assert model["y"].dims == ("feature", "row")
    return model


def integers_by_row_and_feature():
    """As above, with a cast: PyMC stores counts as the distribution's type."""
    with named_model() as model:
        level = pmd.Normal("level", dims="feature")
        table = np.stack([counts, binary, classes], axis=1).astype("int8")
        outcome = pmd.Data("outcome", table, dims=("row", "feature"))
        pmd.Normal("y", level, 1 + pmd.Data("x", x**2, dims="row"), observed=outcome)
    return model


def multivariate_rows():
    with named_model() as model:
        covariance = np.eye(3) + 0.3
        pmd.MvNormal(
            "y",
            pmd.Normal("mean", dims="feature"),
            cov=pmd.as_xtensor(covariance, dims=("feature", "other")),
            core_dims=("feature", "other"),
            observed=pmd.Data("outcome", X, dims=("row", "feature")),
        )
    return model


def categorical_regression():
    with named_model() as model:
        design = pmd.Data("X", X, dims=("row", "feature"))
        beta = pmd.ZeroSumNormal("beta", core_dims="class", dims=("feature", "class"))
        outcome = pmd.Data("outcome", classes, dims="row")
        pmd.Categorical("y", logit_p=design.dot(beta), core_dims="class", observed=outcome)
    return model


def constrained_parameters():
    with named_model() as model:
        weights = pmd.Dirichlet(
            "weights", pmd.as_xtensor(np.ones(3), dims="feature"), core_dims="feature"
        )
        low = pmd.Uniform("low", -3, 3)
        unit = pmd.Beta("unit", 2, 2)
        design = pmd.Data("X", X, dims=("row", "feature"))
        mean = low + unit * design.dot(weights)
        pmd.Gamma(
            "y",
            mu=pmd.math.exp(mean),
            sigma=pmd.HalfNormal("sigma"),
            observed=pmd.Data("outcome", positive, dims="row"),
        )
    return model


def censored_regression():
    with named_model() as model:
        mean = pmd.Normal("slope") * pmd.Data("x", x, dims="row")
        pmd.Censored(
            "y",
            pmd.Normal.dist(mean, pmd.HalfNormal("sigma")),
            upper=0.5,
            observed=pmd.Data("outcome", np.minimum(y, 0.5), dims="row"),
        )
    return model


def beside_plain_variables():
    """A model may mix the two: a plain outcome, a named one."""
    with named_model() as model:
        beta = pm.Normal("beta", dims="feature")
        eta = pm.Data("X", X, dims=("row", "feature")) @ beta
        pm.Normal("first", eta, 1, observed=y, dims="row")
        rate = pmd.math.exp(pmd.as_xtensor(eta, dims="row"))
        pmd.Poisson("second", rate, observed=pmd.as_xtensor(counts, dims="row"))
    return model


SELECTABLE = [
    normal_mean,
    linear_regression,
    logistic_regression_transposed,
    poisson_regression,
    varying_intercepts,
    varying_slopes_zero_sum,
    outcome_by_row_and_feature,
    integers_by_row_and_feature,
    multivariate_rows,
    categorical_regression,
    constrained_parameters,
    censored_regression,
    beside_plain_variables,
]


@pytest.mark.parametrize("build", SELECTABLE, ids=lambda build: build.__name__)
def test_rows_and_gradients(build):
    model = build()
    check_model(model)


@pytensor.config.change_flags(floatX="float32")
def test_float32():
    model = poisson_regression()
    density = log_density(model, model.value_vars, model.initial_point(), 4)
    assert density.position.dtype == minibatch(density).gradient.dtype == "float32"
    check_model(model)


def named_and_plain():
    """Return the same model with names and without."""
    with named_model() as named:
        index = pmd.Data("index", group, dims="row")
        design = pmd.Data("X", X, dims=("row", "feature"))
        effect = pmd.Normal("effect", 0, pmd.HalfNormal("spread"), dims="group")
        beta = pmd.Normal("beta", dims="feature")
        mean = effect.isel(group=index) + design.dot(beta)
        pmd.Deterministic("size", abs(effect))
        pmd.Normal("y", mean, 1, observed=pmd.Data("outcome", y, dims="row"))
    with named_model() as plain:
        effect = pm.Normal("effect", 0, pm.HalfNormal("spread"), dims="group")
        beta = pm.Normal("beta", dims="feature")
        pm.Normal("y", effect[group] + X @ beta, 1, observed=y)
    return named, plain


@pytest.mark.filterwarnings("ignore:os.fork")  # of JAX, where another test has imported it
def test_samples_of_a_named_model_are_those_of_the_plain_one():
    """In processes of their own, and with the dimensions and coordinates of the model."""
    draws = []
    for model, cores in zip(named_and_plain(), (2, 1), strict=True):
        with model:
            step = SGLD(batch_size=4, step_size=1e-2, **QUICK)
            draws.append(
                pm.sample(
                    step=step,
                    draws=20,
                    tune=5,
                    chains=2,
                    cores=cores,
                    random_seed=1,
                    progressbar=False,
                    quiet=True,
                    compute_convergence_checks=False,
                ).posterior
            )
    named, plain = draws
    assert named["size"].dims == ("chain", "draw", "group")
    assert list(named["beta"].coords["feature"].values) == COORDS["feature"]
    for name in plain:
        assert named[name].dims == plain[name].dims
        np.testing.assert_allclose(named[name], plain[name], rtol=1e-9)


def test_rows_are_never_a_core_dimension():
    with named_model():
        covariance = pmd.as_xtensor(np.eye(3), dims=("feature", "other"))
        pmd.MvNormal(
            "y",
            pmd.Normal("mean", dims="feature"),
            cov=covariance,
            core_dims=("feature", "other"),
            observed=pmd.Data("outcome", X.T, dims=("feature", "row")),
        )
        with pytest.raises(MinibatchError, match="its log-likelihood has 28 entries"):
            SGLD(step_size=1e-3, batch_size=2, **QUICK)
