"""The integrators: the variance of a Gaussian, and the order of their bias."""

import numpy as np
import pytest
from scipy.special import digamma, polygamma

from pymc_sgld.dynamics import INTEGRATORS
from pymc_sgld.dynamics.base import Evaluation


def normal(position):
    return Evaluation(-position, -position)


def test_averaged_noise_is_exact_on_a_gaussian():
    """Without gradient noise the variance is that of the target, at steps where Euler's is not."""
    step_size, draws = 1.0, 200_000
    expected = {"euler_maruyama": 1 / (1 - step_size / 4), "leimkuhler_matthews": 1}
    for name, variance in expected.items():
        rng, path, dynamics = np.random.default_rng(1), np.empty(draws), INTEGRATORS[name]
        state = (np.zeros(1), *dynamics.start(lambda rng=rng: (rng.standard_normal(1),), 1.0))
        for i, z in enumerate(rng.standard_normal((draws, 1))):
            state, _ = dynamics.update(state, normal, (z,), step_size, 1.0)
            path[i] = state[0][0]
        error = 6 * np.sqrt(2 / draws * (1 + 0.25) / (1 - 0.25))
        np.testing.assert_allclose(path.var(), variance, rtol=error)
        np.testing.assert_allclose(dynamics.variance(np.ones(1), step_size), variance)


def skewed(position):
    gradient = 1.2 - np.exp(position / 2)
    return Evaluation(gradient, gradient)


def second_moments(step_sizes, dynamics, chains=200_000, updates=160):
    """Return E x^2 of a skewed target for steps that halve, on one Brownian path."""
    rng = np.random.default_rng(5)
    states = [
        (np.zeros(chains), *dynamics.start(lambda: (rng.standard_normal(chains),), 1.0))
        for _ in step_sizes
    ]
    totals = np.zeros((len(step_sizes), chains))
    for update in range(updates):
        fine = rng.standard_normal((4, chains))
        middle = dynamics.coarse(fine[::2], fine[1::2], None)
        paths = [dynamics.coarse(middle[::2], middle[1::2], None), middle, fine]
        for i, (step_size, path) in enumerate(zip(step_sizes, paths, strict=True)):
            for z in path:
                states[i], _ = dynamics.update(states[i], skewed, (z,), step_size, 1.0)
        if update >= 40:
            totals += np.square([state[0] for state in states]) / (updates - 40)
    return totals.mean(axis=1)


@pytest.mark.parametrize(
    ("name", "step_size", "slopes"),
    [("euler_maruyama", 0.8, (0.8, 1.5)), ("leimkuhler_matthews", 1.6, (1.5, 2.8))],
)
def test_order_of_the_integrator(name, step_size, slopes):
    """First order without averaged noise, second with it; and the limit is the target."""
    steps, dynamics = step_size / np.array([1, 2, 4]), INTEGRATORS[name]
    moments = second_moments(steps, dynamics)
    coarse, fine = moments[:-1] - moments[1:]
    slope = np.log2(coarse / fine)
    assert slopes[0] < slope < slopes[1] and round(slope) == dynamics.order
    # exp(x / 2) is Gamma(2.4, 2)
    exact = 4 * (polygamma(1, 2.4) + (digamma(2.4) - np.log(2)) ** 2)
    limit = moments[2] - fine / (2**slope - 1)
    assert abs(limit - exact) < 0.01 * exact
