"""The adaptive preconditioner: scales without a Hessian, and none of it after tuning."""

import arviz as az
import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLD, SettingError
from tests.graphs import QUICK

N, SCALES = 200, np.array([1.0, 30.0])
_rng = np.random.default_rng(4)
X = _rng.normal(size=(N, 2)) * SCALES
Y = X @ (1 / SCALES) + _rng.normal(size=N)
PRECISION = X.T @ X + np.eye(2)
MEAN, SD = np.linalg.solve(PRECISION, X.T @ Y), np.sqrt(np.diag(np.linalg.inv(PRECISION)))
SETTINGS = {
    "steps_per_draw": 20,
    **(QUICK | {"gradient": "minibatch", "preconditioner": "adaptive"}),
}


@pytest.fixture(scope="module")
def model():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=2)
        pm.Normal("y", pm.math.dot(X, beta), 1, observed=Y)
    return model


def draws_of(step, tune, draws, seed=1):
    step.setup_chain(np.random.default_rng(seed), tune, draws)
    point, found, matrices = {"beta": np.zeros(2)}, [], []
    for _ in range(tune + draws):
        point, _ = step.step(point)
        found.append(point["beta"])
        matrices.append(step.chain.preconditioner.arrays[0])
    return np.array(found[tune:]), np.array(matrices)


@pytest.mark.long
def test_a_badly_scaled_regression(model):
    """All rows, so that the variance is exact: 5 errors. One step size for both fails in one."""
    averaged = {"integrator": "leimkuhler_matthews"}
    step = SGLD(model=model, batch_size=N, step_size=0.004, **averaged, **SETTINGS)
    draws, matrices = draws_of(step, 60, 700)
    error = az.mcse(draws[None, :, 0], method="sd"), az.mcse(draws[None, :, 1], method="sd")
    assert (np.abs(draws.std(axis=0) - SD) < 5 * np.array(error) + 0.03 * SD).all()
    assert (np.abs(draws.mean(axis=0) - MEAN) < 0.5 * SD).all()
    assert min(az.ess(draws[None, :, i]) for i in range(2)) > 100
    after = matrices[60:]
    np.testing.assert_array_equal(after, np.broadcast_to(after[0], after.shape))
    assert not np.array_equal(matrices[0], after[0])
    # in the size of the gradients, about the root of the precision: not all alike
    np.testing.assert_allclose(after[0, 0] / after[0, 1], SCALES[1], rtol=0.5)
    plain = SETTINGS | {"preconditioner": "identity"}
    stable = SGLD(model=model, batch_size=N, step_size=1 / PRECISION.max(), **averaged, **plain)
    stable.setup_chain(np.random.default_rng(1), 0, 700)
    point, slow = {"beta": MEAN}, []
    for _ in range(700):
        point, _ = stable.step(point)
        slow.append(point["beta"][0])
    assert az.ess(np.array(slow)[None]) < 60


def test_a_restored_chain_goes_on_with_its_preconditioner(model):
    step = SGLD(model=model, batch_size=50, step_size=0.001, **SETTINGS)
    step.setup_chain(np.random.default_rng(2), 20, 5)
    point = {"beta": np.zeros(2)}
    for _ in range(10):
        point, _ = step.step(point)
    state = step.sampling_state
    one, _ = step.step(point)
    step.setup_chain(np.random.default_rng(3), 20, 5)
    step.sampling_state = state
    again, _ = step.step(point)
    np.testing.assert_array_equal(one["beta"], again["beta"])


def test_it_needs_a_step_size(model):
    settings = {name: value for name, value in SETTINGS.items() if name != "step_size"}
    with pytest.raises(SettingError, match=r'"adaptive" is not known.*pass step_size='):
        SGLD(model=model, batch_size=50, **settings)
