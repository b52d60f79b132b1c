"""What a user may do wrong: every argument of the step, and what the error says."""

import inspect

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
import pytest

from pymc_sgld import (
    SGLD,
    DataError,
    SettingError,
    certify,
    diagnose,
    loo,
    minibatch,
    schedules,
)
from tests.graphs import QUICK
from tests.models import X, mixed, y

IDATA = az.from_dict({"posterior": {"beta": np.zeros((2, 4))}})


@pytest.fixture(scope="module")
def model():
    return mixed()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": -3}, "batch_size=-3"),
        ({"batch_size": 61}, "above the number of rows, 60"),
        ({"batch_size": 7.0}, "whole number"),
        ({"batch_size": True}, "whole number"),
        ({"step_size": 0}, "step_size=0 must be a finite number above zero, or a schedule"),
        ({"step_size": -1e-3}, "above zero, or a schedule"),
        ({"step_size": np.nan}, "finite"),
        ({"step_size": "small"}, "above zero, or a schedule"),
        ({"step_size": 1e300}, r"between 1e-30 and 1e\+30, got 1e\+300"),
        ({"steps_per_draw": 10**9}, "steps_per_draw=1000000000 must be at most 1000000"),
        ({"preconditioner": np.full(4, 1e-320)}, r"preconditioner\[0\] is 1e-320: .* not below 2"),
        ({"rng": "a"}, "rng='a' is no seed: .* Pass a whole number"),
        ({"compile_kwargs": {"backend": "JAX"}}, r"has \['backend'\], which pytensor.function"),
        ({"compile_kwargs": {"mode": "FAST"}}, "has the mode 'FAST': .* Pass a mode of PyTensor"),
        ({"step_size": schedules.constant}, "call it with its arguments"),
        ({"step_size": lambda count: np.nan}, "one step size for every update"),
        ({"step_size": lambda count: -1.0 * np.ones(len(count))}, "returned -1.0 for update 0"),
        ({"step_size": lambda count: None}, "step_size"),
        ({"gradient": "exact"}, "gradient='exact'"),
        ({"preconditioner": "laplace?"}, "preconditioner='laplace"),
        ({"preconditioner": np.ones(3)}, r"shape \(3,\)"),
        ({"preconditioner": -np.ones(4)}, r"preconditioner\[0\] is -1.0"),
        ({"preconditioner": np.triu(np.ones((4, 4)))}, "not symmetric"),
        ({"preconditioner": np.ones((4, 4))}, "not positive definite"),
        ({"preconditioner": object()}, "not an array of real numbers"),
        ({"preconditioner": np.ones(4, complex)}, "not an array of real numbers"),
        ({"preconditioner": np.ma.masked_less(np.ones(4), 0)}, "not an array of real numbers"),
        ({"preconditioner": pd.Series(np.ones(4), list("abcd"))}, "labels that are not those"),
        ({"gradient": ["minibatch"]}, "gradient="),
        ({"batching": ["reshuffle"]}, "batching="),
        ({"step_size": lambda count: np.full(len(count), 1j)}, "complex"),
        ({"compile_kwargs": "JAX"}, "compile_kwargs='JAX' must be a dictionary"),
        ({"temperature": -1}, "temperature=-1"),
        ({"temperature": np.inf}, "temperature=inf"),
        ({"steps_per_draw": 0}, "steps_per_draw=0"),
        ({"steps_per_draw": 2.5}, "steps_per_draw=2.5"),
        ({"batching": "random"}, "batching='random'"),
        ({"integrator": "leapfrog"}, "integrator='leapfrog'"),
        (
            {"integrator": "leimkuhler_matthews", "step_size": schedules.polynomial(1, 1, 0.5)},
            "is for a constant step size",
        ),
        ({"bias_target": 0}, "bias_target=0 must be a finite number above zero"),
        ({"bias_target": 5}, "bias_target=5 must be at most 1"),
        ({"blocked": "yes"}, "blocked='yes' must be True"),
        ({"preconditioner": [[1, 2], [3]]}, "not an array of real numbers"),
        ({"gradient": "taylor", "center": {"beta": [1e300] * 3}}, "not finite around center="),
        ({"gradient": "taylor", "center": {"wrong": 1}}, "center has"),
    ],
)
def test_bad_settings(model, arguments, message):
    with pytest.raises(SettingError, match=message):
        SGLD(**{"batch_size": 7, "step_size": 1e-3} | QUICK | arguments, model=model)


@pytest.mark.parametrize(
    "use",
    [
        lambda model: SGLD(model=model),
        minibatch.report,
        lambda model: diagnose(IDATA, model),
    ],
    ids=["SGLD", "report", "diagnose"],
)
def test_a_model_that_is_none(use):
    for wrong in ("radon", IDATA):
        kind = type(wrong).__name__
        with pytest.raises(SettingError, match=rf"model is a {kind}, must be a pm\.Model\. Pass"):
            use(wrong)


@pytest.mark.parametrize(
    "use", [SGLD, minibatch.report, lambda: certify(IDATA), lambda: loo(IDATA)]
)
def test_no_model_at_all(use):
    with pytest.raises(SettingError, match=r'no model: pass model=, or call this inside "with'):
        use()


def test_step_size_is_not_chosen_for_an_optimiser(model):
    with pytest.raises(SettingError, match="temperature=0 needs a step_size"):
        SGLD(batch_size=7, temperature=0, model=model)


def test_bad_variables(model):
    with pytest.raises(SettingError, match='"shift" is discrete'):
        SGLD([model["shift"]], step_size=1e-3, model=model, **QUICK)
    with pm.Model():
        stranger = pm.Normal("stranger")
    with pytest.raises(SettingError, match=r'"stranger", which is not a free variable .*beta'):
        SGLD([stranger], step_size=1e-3, model=model, **QUICK)
    for wrong, message in [
        ([], "vars is empty"),
        ("beta", r"'beta', which is no variable. Pass variables of the model, such as model"),
        ([model["beta"], model["beta"]], "twice"),
        ([model["beta"], model.rvs_to_values[model["beta"]]], "twice"),
    ]:
        with pytest.raises(SettingError, match=message):
            SGLD(wrong, step_size=1e-3, model=model, **QUICK)
    with pm.Model() as discrete:
        pm.Poisson("k", 2)
    for none, vars in ((discrete, None), (pm.Model(), "b")):
        with pytest.raises(SettingError, match="no continuous free variable"):
            SGLD(vars, step_size=1e-3, model=none, **QUICK)


def test_nan_in_data():
    incomplete = X.copy()
    incomplete[17, 1] = np.nan
    with pm.Model():
        beta = pm.Normal("beta", shape=3)
        pm.Normal("y", pt.constant(incomplete, name="X") @ beta, 1, observed=y)
        for size in (7, 60):
            with pytest.raises(DataError, match=r'"y" is nan.* first is row 17 .NaN in "X"'):
                SGLD(batch_size=size, step_size=1e-3, **QUICK)


@pytest.mark.parametrize(
    ("initial_point", "message"),
    [
        ({"sigma": 1.0}, "value variables of the model are.*sigma_log__"),
        ({"beta": np.ones(4)}, r"must be numbers of shape \(3,\)"),
        ({"beta": ["a", "b", "c"]}, "must be numbers"),
        ({"beta": [0, np.nan, 1]}, r'initial_point\["beta"\] has nan: it must be finite'),
        ("prior", "initial_point is a str"),
    ],
)
def test_bad_initial_point(model, initial_point, message):
    with pytest.raises(SettingError, match=message):
        SGLD(step_size=1e-3, initial_point=initial_point, model=model, **QUICK)


def test_partial_initial_point(model):
    step = SGLD(
        batch_size=7, step_size=1e-3, initial_point={"beta": [1, 2, 3]}, model=model, **QUICK
    )
    assert step.coordinates[0].dtype == "float64"


def test_arguments_are_seen_by_help():
    assert {"batch_size", "step_size", "preconditioner"} <= set(inspect.signature(SGLD).parameters)
