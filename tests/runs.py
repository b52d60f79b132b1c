"""Draws of a step method in tests, by itself and through ``pm.sample``."""

import numpy as np

RUN = {
    "draws": 6,
    "tune": 3,
    "chains": 2,
    "cores": 1,
    "random_seed": 5,
    "progressbar": False,
    "quiet": True,
    "compute_convergence_checks": False,
}


def draws(step, point, count, seed=3, tune=0):
    """Return points and stats of the first draws of a chain, tuning included."""
    step.setup_chain(np.random.default_rng(seed), tune, count)
    out = []
    for _ in range(tune + count):
        point, stats = step.step(point)
        out.append((point, stats))
    return out


def same(one, other):
    """Whether two points, or two posteriors, are equal."""
    return all(np.array_equal(one[name], other[name]) for name in one)
