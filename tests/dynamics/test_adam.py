"""Adam beside the recursion of the paper."""

from types import SimpleNamespace

import numpy as np

from pymc_sgld.dynamics.adam import Adam


def test_updates_are_those_of_the_paper():
    rng, adam = np.random.default_rng(1), Adam()
    gradients, steps = rng.normal(size=(6, 3)) * [1e-3, 1.0, 1e3], np.linspace(0.1, 0.01, 6)
    state = (np.zeros(3), *adam.start(lambda: (np.ones(3),), 0.0))
    position, mean, square = np.zeros(3), np.zeros(3), np.zeros(3)
    for t, (gradient, step) in enumerate(zip(gradients, steps, strict=True), 1):
        found = SimpleNamespace(gradient=gradient, preconditioned=gradient)
        state, _ = adam.update(state, lambda _, found=found: found, (), step, 0.0)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        unbiased = mean / (1 - 0.9**t), square / (1 - 0.999**t)
        position = position + step * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
        np.testing.assert_allclose(state[0], position, rtol=1e-10)
    assert state[3] == 6
