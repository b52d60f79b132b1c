"""Before anything is timed: do all samplers run the same dynamics of the same model?

The gradient for all rows is compared with PyMC's. Then the very function that is timed is run from
one position, with steps so small that its gradient is constant on the way: after k updates it has
moved by k ε/2 times the gradient, plus noise of variance k ε in each coordinate. A step size of
another convention is a factor of two in one of them, or in both.
"""

from __future__ import annotations

import numpy as np

from speed.models import Problem
from speed.peers import Sampler

RUNS, ERROR = 8, 0.03  # the latter of the measured drift, relative
ERRORS = 5  # standard errors that are allowed


def start(problem: Problem) -> np.ndarray:
    """Return a position where the gradient is large."""
    rng = np.random.default_rng(3)
    return rng.normal(scale=0.05, size=problem.size).astype(problem.dtype)


def check(name: str, sampler: Sampler, problem: Problem, reference: np.ndarray) -> None:
    """Compare a sampler with a gradient at ``start``, shape (d,).

    Raises
    ------
    AssertionError
        If it has another gradient, drift or noise.
    """
    position = start(problem)
    apart = np.linalg.norm(sampler.gradient(position) - reference) / np.linalg.norm(reference)
    rounding = 10 * np.sqrt(problem.rows) * np.finfo(problem.dtype).eps
    assert apart <= rounding, f"{name}: the gradient is {apart:.2g} off, relative to its length"

    reference = reference.astype("float64")
    # of the k ε at which the noise leaves that error in the drift
    time = (2 / (ERROR * np.linalg.norm(reference))) ** 2 / RUNS
    moved = [sampler.run(position, time / problem.updates) for _ in range(RUNS)]
    moved = np.array(moved, dtype="float64") - position.astype("float64")
    drift = float((moved @ reference).mean() / (reference @ reference) / (time / 2))
    noise = float(((moved - time / 2 * reference) ** 2).mean() / time)
    of_noise = np.sqrt(2 / moved.size)
    assert abs(drift - 1) <= ERRORS * ERROR, f"{name}: its drift is {drift:.3f} times that of SGLD"
    assert abs(noise - 1) <= ERRORS * of_noise, (
        f"{name}: the variance of its noise is {noise:.3f} times that of SGLD"
    )
