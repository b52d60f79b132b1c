"""MALA as a step method: how its step is tuned, and what it says where it goes wrong."""

import numpy as np
import pymc as pm
import pytest

from pymc_sgld import MALA, SGLDWarning
from pymc_sgld.chain import draw as chain_draw
from pymc_sgld.messages import Reason
from tests.models import gaussian_mean
from tests.runs import draws

COMPILED = {"compile_kwargs": {"mode": "FAST_COMPILE"}}


def acceptance(run, tune=0):
    return np.mean([stats["acceptance_rate"] for _, [stats] in run[tune:]])


def counts(size):
    """A Poisson regression: a start far off has very large gradients."""
    rng = np.random.default_rng(size)
    X = rng.normal(size=(400, size)) / np.sqrt(size)
    rates = np.exp(X @ rng.normal(0, 0.5, size))
    with pm.Model() as model:
        b = pm.Normal("b", 0, 1, shape=size)
        pm.Poisson("y", pm.math.exp(pm.Data("X", X) @ b), observed=rng.poisson(rates))
    return model


@pytest.mark.parametrize(
    "size", [pytest.param(1, marks=pytest.mark.long), pytest.param(5, marks=pytest.mark.long), 100]
)
def test_the_step_is_tuned(size):
    """From far away, where only tiny steps are accepted; in as many updates as elsewhere."""
    model = counts(size)
    step = MALA(model=model, **COMPILED)
    point = model.initial_point() | {"b": np.full(size, 4.0)}
    run = draws(step, point, 30, tune=200)
    assert abs(acceptance(run, 200) - 0.574) < 0.1
    sizes = [stats["step_size"] for _, [stats] in run]
    assert min(sizes) < 0.1 * sizes[-1] and np.ptp(sizes[200:]) == 0
    assert run[199][1][0]["updates"] == 200 * step.steps_per_draw


def test_a_given_step_is_kept():
    step = MALA(step_size=0.5, model=counts(5), **COMPILED)
    run = draws(step, counts(5).initial_point(), 5, tune=20)
    assert {stats["step_size"] for _, [stats] in run} == {0.5}


def last_warning(run):
    stats = run[-1][1][0]
    return stats["reasons"], str(stats["warning"].message) if stats["warning"] else ""


def test_a_chain_that_is_stuck_says_so():
    """Its draws are all the same, which no effective sample size can tell."""
    model = gaussian_mean()
    step = MALA(step_size=1e4, preconditioner="identity", model=model, **COMPILED)
    run = draws(step, model.initial_point(), 120)
    assert np.ptp([point["theta"] for point, _ in run]) == 0
    reasons, message = last_warning(run)
    assert reasons == Reason.STUCK
    assert message.startswith("MALA: 0% of the proposals were accepted, and about 57% is best")
    assert "pass a smaller step_size (now 1e+04; one is chosen if" in message


def test_a_chain_that_creeps_says_so():
    model = gaussian_mean()
    step = MALA(step_size=1e-6, preconditioner="identity", model=model, **COMPILED)
    reasons, message = last_warning(draws(step, model.initial_point(), 120))
    assert reasons == Reason.SHORT
    assert "100% of the proposals were accepted" in message
    assert "Pass a larger step_size (now 1e-06; one is chosen if you leave it out), or" in message


@pytest.mark.long
def test_a_posterior_unlike_a_gaussian_costs_time_and_no_trust():
    """Its preconditioner is poor, and its draws are exact: nothing tells of a bias."""
    rng = np.random.default_rng(3)
    with pm.Model() as model:
        tau = pm.HalfNormal("tau", 5)
        pm.Normal("x", pm.Normal("mu", 0, tau, shape=8), 3, observed=rng.normal(0, 0.3, (2, 8)))
        with pytest.warns(SGLDWarning) as caught:
            step = MALA(steps_per_draw=2, **COMPILED)
    text = str(caught[0].message)
    assert text.startswith("MALA: ") and "bias" not in text and "Draws are exact" in text
    run = draws(step, model.initial_point(), 100, tune=20)
    assert not last_warning(run)[0] & ~(Reason.SHORT | Reason.STUCK)


def test_the_acceptance_rate_of_a_draw_in_parts(monkeypatch):
    """The updates of many coordinates run in parts: the rate is that of all of them."""
    with pm.Model() as model:
        pm.Normal("x", 0, 1, shape=20)
        step = MALA(step_size=0.8, preconditioner="identity", steps_per_draw=40, **COMPILED)
    rates = []
    for entries in (2**17, 200):
        monkeypatch.setattr(chain_draw, "_ENTRIES_OF_A_PART", entries)
        rates.append(acceptance(draws(step, model.initial_point(), 5)))
    np.testing.assert_allclose(*rates)
    assert 0.3 < rates[0] < 0.95
    assert "no rows" in repr(step)


def test_temperature():
    """The density to the power 1/T, exactly."""
    model, temperature = gaussian_mean(), 3.0
    step = MALA(temperature=temperature, model=model, **COMPILED)
    run = draws(step, model.initial_point(), 300, tune=60)
    values = np.array([point["theta"] for point, _ in run[60:]]) ** 2 * (1000 + 1 / 25)
    groups = values.reshape(30, 10).mean(axis=1)  # draws are nearly independent
    assert abs(groups.mean() - temperature) < 5 * groups.std() / np.sqrt(30)


def test_a_declared_number_of_rows():
    """The density that the accept step sees is the one whose gradient it follows."""
    rows = np.random.default_rng(1).normal(size=50)
    with pm.Model() as model:
        t = pm.Normal("t", 0, 10)
        pm.Normal("x", t, 1, observed=rows, total_size=500)
        step = MALA(**COMPILED)
    run = draws(step, model.initial_point(), 300, tune=60)
    values = np.array([point["t"] for point, _ in run[60:]])
    groups = ((values - rows.mean()) ** 2).reshape(30, 10).mean(axis=1) * 500
    assert abs(groups.mean() - 1) < 5 * groups.std() / np.sqrt(30)


def test_single_precision():
    with pm.Model() as model:
        x = pm.Normal("x", np.float32(0), np.float32(1), shape=3, dtype="float32")
        pm.Normal("y", x, np.float32(1), observed=np.zeros((20, 3), "float32"), dtype="float32")
        step = MALA(**COMPILED)
    run = draws(step, model.initial_point(), 50, tune=100)
    assert run[-1][0]["x"].dtype == np.float32
    assert abs(acceptance(run, 100) - 0.574) < 0.15
