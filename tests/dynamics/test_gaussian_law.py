"""The stationary distribution on a Gaussian, and the step size from it: against closed forms."""

import numpy as np
import pytest

from pymc_sgld.batching.epochs import Reshuffle
from pymc_sgld.batching.order import independent
from pymc_sgld.dynamics import INTEGRATORS
from pymc_sgld.dynamics.gaussian_law import LARGEST, GaussianLaw

AVERAGED = INTEGRATORS["leimkuhler_matthews"]


@pytest.mark.parametrize("name", INTEGRATORS)
@pytest.mark.parametrize("step_size", [1e-4, 5e-4, 1e-3])
def test_predicted_inflation_of_a_gaussian_mean(step_size, name):
    """N = 1000, n = 50, standardised data, sd of the prior 5: design figures of the closed form."""
    precision = 1000 + 1 / 25
    noise = np.array([[1000**2 / 50]])
    prediction = GaussianLaw(np.array([[precision]]), noise, np.eye(1), INTEGRATORS[name])
    found = prediction.inflation(step_size)
    euler = (1 + step_size * noise[0, 0] / 4) / (1 - step_size * precision / 4)
    if name == "euler_maruyama":
        np.testing.assert_allclose(found, euler, rtol=1e-10)
        figures = {1e-4: 1.538, 5e-4: 4.0, 1e-3: 8.0}
        np.testing.assert_allclose(found, figures[step_size], rtol=1e-3)
    else:
        assert 1 < found < euler


def test_step_size_for_a_target():
    """In any coordinates: the worst direction is at the target, unless the step is at its cap."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    precision = (turn * [1.0, 30, 900]) @ turn.T
    noise = 20 * (turn * [1.0, 2, 3000]) @ turn.T
    for factor in (np.eye(3), np.linalg.inv(np.linalg.cholesky(precision)).T):
        for dynamics in INTEGRATORS.values():
            prediction = GaussianLaw(precision, noise, factor, dynamics)
            steps = [prediction.step_size(target) for target in (0.01, 0.05, 0.2)]
            assert steps == sorted(steps) and steps[0] < steps[1]
            for step, target in zip(steps, (0.01, 0.05, 0.2), strict=True):
                at_cap = step >= LARGEST / prediction.rates[-1] * 0.999
                np.testing.assert_allclose(
                    prediction.inflation(step) - 1, target, rtol=0.01 if not at_cap else 1
                )


def test_share_of_the_noise_that_reshuffling_leaves():
    """In one dimension, with any preconditioner: what the order of the rows says."""
    order, step_size = Reshuffle(1000, 50), 1e-4
    noise = np.full((2, 1, 1), 3000.0)
    prediction = GaussianLaw(np.array([[900.0]]), noise, np.eye(1), AVERAGED, order.accumulated)
    left = np.array([1 - step_size * 900 / 2])
    expected = order.accumulated(left)[0, 0] / independent(left)[0, 0]
    np.testing.assert_allclose(prediction.remains(step_size), expected)
    assert 0.1 < expected < 0.9
    plain = GaussianLaw(np.array([[900.0]]), noise, np.eye(1), AVERAGED)
    np.testing.assert_allclose(plain.remains(step_size), 1)
    added = prediction.inflation(step_size) - 1
    np.testing.assert_allclose(added, expected * (plain.inflation(step_size) - 1))
