"""The floor: a loop in Numba for this one model, with its gradient derived by hand.

It does what an update must do and nothing else: contiguous blocks, the gradient, a random number
of NumPy's generator for each coordinate. Nothing is measured, stored or checked.
"""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np

from speed.models import Problem
from speed.peers import Sampler

jit = numba.njit(fastmath=True)


@jit
def _logistic(beta, data, start, stop, scale, gradient):
    """Put the estimate from the rows start:stop into ``gradient``."""
    X, y = data
    gradient[:] = -beta
    for row in range(start, stop):
        eta = 0.0
        for j in range(len(beta)):
            eta += X[row, j] * beta[j]
        weight = scale * (y[row] - 1 / (1 + np.exp(-eta)))
        for j in range(len(beta)):
            gradient[j] += weight * X[row, j]


@jit
def _hierarchical(position, data, start, stop, scale, gradient):
    X, group, outcome = data
    beta, intercept = position[:5], position[6:406]
    spread, noise = np.exp(position[5]), np.exp(position[406])
    gradient[:] = 0
    errors = 0.0
    for row in range(start, stop):
        error = outcome[row] - intercept[group[row]]
        for j in range(5):
            error -= X[row, j] * beta[j]
        weight = scale * error / noise**2
        for j in range(5):
            gradient[j] += weight * X[row, j]
        gradient[6 + group[row]] += weight
        errors += error**2
    squares = 0.0
    for j in range(400):
        squares += intercept[j] ** 2
        gradient[6 + j] -= intercept[j] / spread**2
    for j in range(5):
        gradient[j] -= beta[j]
    gradient[5] = 1 - spread**2 + squares / spread**2 - 400
    gradient[406] = 1 - noise**2 + scale * (errors / noise**2 - (stop - start))


@jit
def _network(position, data, start, stop, scale, gradient):
    X, label = data
    first, second = position[:78400].reshape(784, 100), position[78500:79500].reshape(100, 10)
    hidden = np.tanh(X[start:stop] @ first + position[78400:78500])
    by_class = hidden @ second + position[79500:]
    for i in range(stop - start):
        row = by_class[i]
        row[:] = np.exp(row - row.max())
        row *= -scale / row.sum()
        row[label[start + i]] += scale
    by_hidden = by_class @ second.T * (1 - hidden * hidden)
    np.dot(X[start:stop].T, by_hidden, gradient[:78400].reshape(784, 100))
    np.dot(hidden.T, by_class, gradient[78500:79500].reshape(100, 10))
    gradient[78400:78500] = by_hidden.sum(axis=0)
    gradient[79500:] = by_class.sum(axis=0)
    gradient -= np.float32(100) * position


GRADIENTS = {"logistic": _logistic, "hierarchical": _hierarchical, "network": _network}


def loop(gradient_of_rows: Callable, noise: bool = True) -> Callable:
    """Return a compiled function that runs an update for each of ``starts``."""

    @jit
    def updates(position, data, starts, batch_size, scale, step_size, rng):
        gradient = np.empty_like(position)
        root = np.sqrt(step_size)
        for start in starts:
            gradient_of_rows(position, data, start, start + batch_size, scale, gradient)
            for j in range(len(position)):
                position[j] += step_size / 2 * gradient[j]
                if noise:
                    position[j] += root * rng.standard_normal()

    return updates


def samplers(problem: Problem, batch_size: int) -> dict[str, Sampler]:
    """Return the loop."""
    number = np.dtype(problem.dtype).type
    updates = loop(GRADIENTS[problem.name])
    rng, blocks = np.random.default_rng(0), problem.rows // batch_size

    def run(position: np.ndarray, step_size: float) -> np.ndarray:
        new = position.copy()
        starts = rng.integers(blocks, size=problem.updates) * batch_size
        scale = number(problem.rows / batch_size)
        updates(new, problem.data, starts, batch_size, scale, number(step_size), rng)
        return new

    def gradient(position: np.ndarray) -> np.ndarray:
        found = np.empty_like(position)
        GRADIENTS[problem.name](position, problem.data, 0, problem.rows, number(1), found)
        return found

    return {"hand-written Numba loop": Sampler(run, gradient)}
