"""Models that Bambi builds from a formula minibatch themselves."""

import bambi as bmb
import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr

from pymc_sgld import SGLD, MinibatchError
from tests.graphs import QUICK, check_model
from tests.zoo.data import (
    X,
    binary,
    classes,
    counts,
    exposure,
    group,
    positive,
    second_group,
    unit,
    x,
    y,
)

# Bambi's own use of pandas
pytestmark = pytest.mark.filterwarnings("ignore:For backward compatibility, 'str' dtypes are incl")

TABLE = pd.DataFrame(
    {
        "x": x,
        "z": X[:, 0],
        "group": np.array(list("abcde"))[group],
        "subgroup": np.array(list("uvw"))[second_group],
        "y": y,
        "cut": np.clip(y, -1.0, 0.5),
        "cut_at": np.where(y > 0.5, "right", np.where(y < -1.0, "left", "none")),
        "positive": positive,
        "unit": unit,
        "binary": binary,
        "counts": counts,
        "zeros": counts * binary,
        "trials": counts + 4,
        "classes": pd.Categorical(np.array(list("pqrs"))[classes]),
        "levels": pd.Categorical(classes, ordered=True),
        "weight": exposure,
        "log_exposure": np.log(exposure),
    }
)

# formulas (those of further parameters after the mean's), and the arguments of bmb.Model
SELECTABLE = [
    (["y ~ x * subgroup + (x | group)"], {}),
    (["y ~ 0 + x + (1 | group / subgroup)"], {"noncentered": False}),
    (["y ~ poly(x, 2) + bs(z, df=5)"], {"family": "t"}),
    (["y ~ scale(x) + C(binary)", "sigma ~ x + (1 | group)"], {}),
    (["y ~ hsgp(x, m=5, c=2, by=subgroup)"], {}),
    (["binary ~ x + (1 | group)"], {"family": "bernoulli"}),
    (["counts ~ x + offset(log_exposure)"], {"family": "negativebinomial"}),
    (["zeros ~ x", "psi ~ z"], {"family": "zero_inflated_poisson"}),
    (["zeros ~ x"], {"family": "hurdle_poisson", "center_predictors": False}),
    (["prop(counts, trials) ~ x"], {"family": "binomial"}),
    (["positive ~ x"], {"family": "gamma", "link": "log"}),
    (["unit ~ x"], {"family": "beta"}),
    (["classes ~ x + (1 | group)"], {"family": "categorical"}),
    (["levels ~ 0 + x"], {"family": "cumulative"}),
    (["censored(cut, cut_at) ~ x"], {}),
    (["weighted(counts, weight) ~ x"], {"family": "poisson"}),
]


def build(formulas, **settings):
    """Return a Bambi model, built."""
    model = bmb.Model(bmb.Formula(*formulas), TABLE, **settings)
    model.build()
    return model


@pytest.mark.parametrize(
    ("formulas", "settings"), SELECTABLE, ids=[", ".join(formulas) for formulas, _ in SELECTABLE]
)
def test_rows_and_gradients(formulas, settings):
    model = build(formulas, **settings).backend.model
    check_model(model)


PRIORS = {
    "Intercept": bmb.Prior("Normal", mu=0, sigma=2),
    "x": bmb.Prior("Normal", mu=0, sigma=1),
    "1|group": bmb.Prior("Normal", mu=0, sigma=bmb.Prior("HalfNormal", sigma=1)),
    "sigma": bmb.Prior("HalfNormal", sigma=1),
}
RUN = {
    "draws": 20,
    "tune": 5,
    "chains": 2,
    "cores": 1,
    "random_seed": 1,
    "progressbar": False,
    "quiet": True,
    "compute_convergence_checks": False,
}


def make_step(model=None):
    return SGLD(batch_size=4, step_size=1e-3, model=model, **QUICK)


def test_samples_of_a_formula_are_those_of_the_plain_model():
    formula = build(["y ~ x + (1 | group)"], priors=PRIORS, noncentered=False)
    with formula.backend.model:
        made = pm.sample(step=make_step(), **RUN).posterior
        fitted = formula.fit(step=make_step(), **RUN).posterior
    with pm.Model():
        sigma = pm.HalfNormal("sigma")
        intercept = pm.Normal("Intercept", 0, 2)
        slope = pm.Normal("x")
        effect = pm.Normal("1|group", 0, pm.HalfNormal("1|group_sigma"), shape=5)
        mean = intercept + slope * (x - x.mean()) + effect[group]
        pm.Normal("y", mean, sigma, observed=y)
        plain = pm.sample(step=make_step(), **RUN).posterior
    for name in plain:
        np.testing.assert_allclose(made[name], plain[name], rtol=1e-9)
    assert list(made["1|group"].coords["group__factor_dim"].values) == list("abcde")
    # fit() returns the intercept of the predictors as they are given, sample() of centered ones
    np.testing.assert_allclose(fitted["x"], made["x"])
    np.testing.assert_allclose(fitted["Intercept"], made["Intercept"] - made["x"] * x.mean())


def test_predictions_of_a_fit():
    """Those of the formula on the predictors as they are given, far from zero as they may be."""
    away = TABLE.assign(x=x + 5)
    formula = bmb.Model("y ~ x", away)
    formula.build()
    fitted = formula.fit(step=make_step(formula.backend.model), **RUN)
    formula.predict(fitted, kind="response_params")
    posterior = fitted["posterior"].dataset
    expected = posterior["Intercept"] + posterior["x"] * xr.DataArray(x + 5, dims="row")
    np.testing.assert_allclose(posterior["mu"], expected, rtol=1e-9)
    with formula.backend.model:
        centered = pm.sample(step=make_step(), **RUN).posterior  # what predict() must not be given
    np.testing.assert_allclose(posterior["x"], centered["x"])
    mean = (centered["Intercept"] + centered["x"] * xr.DataArray(x - x.mean(), dims="row")).values
    np.testing.assert_allclose(posterior["mu"], mean, rtol=1e-9)


def test_potentials_are_refused():
    model = build(["y ~ x"], potentials=[("x", lambda slope: -(slope**2))])
    with model.backend.model, pytest.raises(MinibatchError, match="pot_0"):
        SGLD(step_size=1e-3, batch_size=4, **QUICK)
