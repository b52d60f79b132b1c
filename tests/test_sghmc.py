"""SGHMC as a step method: what its noise does, with any model and preconditioner."""

import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGHMC, schedules
from pymc_sgld.messages import Reason
from tests.models import DATA, gaussian_mean
from tests.runs import draws

COMPILED = {"compile_kwargs": {"mode": "FAST_COMPILE"}}
PRECISION = 1000 + 1 / 25


def relative_variance(run, name="theta", expected=1 / PRECISION):
    """Return it with its standard error, by groups of draws that follow each other."""
    squares = np.array([point[name] for point, _ in run]) ** 2 / expected
    groups = squares[: len(squares) // 25 * 25].reshape(25, -1).mean(axis=1)
    return groups.mean(), groups.std() / 5


@pytest.mark.parametrize("friction", [0.3, pytest.param(3.0, marks=pytest.mark.long)])
def test_variance_and_reading_without_noise(friction):
    """A control variate has no noise here: the way of the momentum is not read as some."""
    model = gaussian_mean()
    step = SGHMC(batch_size=50, friction=friction, model=model, **COMPILED)
    run = draws(step, model.initial_point(), 100, tune=20)[20:]
    found, error = relative_variance(run)
    assert abs(found - 1) < 5 * error and error < 0.3
    assert step.chain.reading.inflation < 1.02
    assert not run[-1][1][0]["untrusted"]


@pytest.mark.parametrize("steps_per_draw", [1, 2, 20])
def test_gradient_noise_is_read_and_told(steps_per_draw):
    """A small batch without a control variate: the discrete Lyapunov equation says how much."""
    model, step_size, friction = gaussian_mean(), 0.2, 1.0
    step = SGHMC(
        batch_size=20,
        batching="with_replacement",
        gradient="minibatch",
        preconditioner=np.full(1, 1 / PRECISION),
        step_size=step_size,
        steps_per_draw=steps_per_draw,
        friction=friction,
        model=model,
        **COMPILED,
    )
    number = 3000 // (9 + steps_per_draw)
    run = draws(step, model.initial_point(), number, tune=40)[40:]
    noise = 1000**2 / 20 / PRECISION  # of M V, in these coordinates
    added = step._transition.run.dynamics.gained(np.ones(1), step_size, independent)[0, 0] * noise
    found, error = relative_variance(run)
    assert abs(found - 1 - added) < 5 * error
    first_order = 1 + step_size / (2 * friction) * noise
    np.testing.assert_allclose(step.chain.reading.inflation, first_order, rtol=0.15)
    assert run[-1][1][0]["reasons"] & Reason.NOISE
    assert "SGHMC: the standard deviation of" in str(run[-1][1][0]["warning"].message)


def independent(left):
    return 1 / (1 - np.outer(left, left))


def test_more_friction_makes_noise_do_less_harm():
    """So that a larger step is within the tolerance, in units of what the friction allows."""
    model = gaussian_mean()
    sizes = [
        SGHMC(gradient="minibatch", batch_size=50, friction=friction, model=model, **COMPILED)
        .schedule(np.zeros(1, int))
        .item()
        for friction in (0.3, 1.0, 3.0)
    ]
    assert sizes[0] < sizes[1] < sizes[2]


@pytest.mark.parametrize(
    "settings",
    [
        {"preconditioner": "identity"},
        {"preconditioner": "laplace_diagonal"},
        {"preconditioner": np.full(1, 1e-3)},
        {"step_size": schedules.polynomial(0.5, 1.0, 0.3)},
        {"gradient": "taylor"},
    ],
)
def test_settings(settings):
    model = gaussian_mean()
    step = SGHMC(batch_size=100, model=model, **COMPILED, **settings)
    run = draws(step, model.initial_point(), 30, tune=10)
    assert np.isfinite(step.chain.reading.inflation)
    assert np.abs(run[-1][0]["theta"]) < 1


@pytest.mark.long
def test_groups():
    """A centered model with groups: the scale of the groups is where a long reference has it."""
    rng = np.random.default_rng(4)
    group = np.repeat(np.arange(10), 40)
    with pm.Model() as model:
        mu, tau = pm.Normal("mu", 0, 5), pm.HalfNormal("tau", 2)
        effects = pm.Normal("effects", mu, tau, shape=10)
        observed = rng.normal(size=10)[group] + rng.normal(size=400)
        pm.Normal("y", effects[pm.Data("group", group)], 1, observed=observed)
        step = SGHMC(**COMPILED)
    run = draws(step, model.initial_point(), 60, tune=20)
    logs = np.array([point["tau_log__"] for point, _ in run[20:]])
    assert not run[-1][1][0]["untrusted"]
    means = np.array([observed[group == g].mean() for g in range(10)])
    assert abs(logs.mean() - np.log(means.std(ddof=1))) < 0.25 and 0.1 < logs.std() < 0.5


def test_very_many_coordinates():
    """Beyond 500 the preconditioner is a stretched diagonal, and the law is one of bounds."""
    with pm.Model() as model:
        x = pm.Normal("x", 0, 1, shape=510)
        pm.Normal("y", x, 1, observed=np.random.default_rng(1).normal(size=(300, 510)))
        step = SGHMC(batch_size=64, **COMPILED)
    assert step.preconditioner == "laplace_low_rank"
    run = draws(step, model.initial_point(), 20, tune=5)
    values = np.array([point["x"] for point, _ in run[5:]])
    assert abs(values.var(axis=0).mean() * 301 - 1) < 0.1
    assert step.chain.reading.inflation < 1.05


def test_a_source_of_rows():
    with pm.Model() as model:
        theta = pm.Normal("theta", 0, 5)
        pm.Normal("x", theta, 1, observed=DATA[:20])
        step = SGHMC(batch_size=50, data={"x": DATA}, **COMPILED)
    run = draws(step, model.initial_point(), 100, tune=20)[20:]
    values = np.array([point["theta"] for point, _ in run])
    mean = DATA.sum() / PRECISION
    assert abs(values.mean() - mean) < 0.4 / np.sqrt(PRECISION)
    assert step.total_size == 1000


def test_single_precision():
    with pm.Model() as model:
        x = pm.Normal("x", np.float32(0), np.float32(1), shape=3, dtype="float32")
        pm.Normal("y", x, np.float32(1), observed=np.zeros((20, 3), "float32"), dtype="float32")
        step = SGHMC(friction=0.7, **COMPILED)
    run = draws(step, model.initial_point(), 50, tune=10)
    assert run[-1][0]["x"].dtype == np.float32
    values = np.array([point["x"] for point, _ in run])
    assert 0.5 < values.var() * 21 < 2
