r"""Where a search for the closest Gaussian starts: the mode, or the best simple Gaussian.

The density of a hierarchical model has no maximum, or one that has nothing to do with where its
mass is: it grows without bound as the scale of group effects and the effects themselves go to zero.
The evidence lower bound does not: what the density gains there, the entropy loses. For a Gaussian
of independent coordinates it is maximised over means :math:`m` and standard deviations :math:`s`,

.. math::

    \frac1K \sum_{k=1}^K \log p(m + s \odot z_k) + \sum_i \log s_i,

with the same few :math:`z_k` throughout, in pairs of opposite sign: a deterministic function, for
which an optimiser with line searches serves.

References
----------
Giordano, Ingram and Broderick (2024), Black box variational inference with a deterministic
objective: faster, more accurate, and even more black box.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import scipy

from pymc_sgld.tuning.posterior.variational import Evaluate

_PAIRS = 3
_WIDTH = 0.1  # of each coordinate, to begin with
_SEED = 20190709  # fixed: what is found is a property of the model, not of a chain


def climb(evaluate: Evaluate, start: np.ndarray, until: float = np.inf) -> np.ndarray:
    """Return the mode, shape (d,), or where the search for one ended.

    ``until``: when to end, by ``time.monotonic``.
    """
    return _highest(evaluate, start, until, iterations=500, tolerance=1e-10)


def mean_field(
    evaluate: Evaluate,
    start: np.ndarray,
    until: float = np.inf,
    hyper: np.ndarray | None = None,
) -> np.ndarray:
    """Return the mean of the closest Gaussian of independent coordinates, shape (d,).

    ``hyper``, shape (d,): coordinates of hyperparameters, which stay where they are until the
    others fit the data. The scale of group effects would follow their first values, all the same,
    to an optimum near 0.
    """
    size = len(start)
    half = np.random.default_rng(_SEED).standard_normal((_PAIRS, size))
    z = np.concatenate([half, -half])

    def bound(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        mean, width = parameters[:size], np.exp(parameters[size:])
        found = [evaluate(mean + width * each) for each in z]
        gradients = np.array([gradient for _, gradient in found])
        by_width = (gradients * z * width).mean(axis=0) + 1
        value = np.mean([value for value, _ in found]) + parameters[size:].sum()
        return float(value), np.concatenate([gradients.mean(axis=0), by_width])

    def bound_of_others(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = bound(np.where(held, begin, parameters))
        return value, np.where(held, 0, gradient)

    begin = np.concatenate([start, np.full(size, np.log(_WIDTH))])
    place = begin
    if hyper is not None and hyper.any():
        held = np.concatenate([hyper, hyper])
        place = _highest(bound_of_others, begin, until, iterations=50, tolerance=1e-8)
    return _highest(bound, place, until, iterations=150, tolerance=1e-8)[:size]


def _highest(
    function: Callable[[np.ndarray], tuple[float, np.ndarray]],
    start: np.ndarray,
    until: float,
    iterations: int,
    tolerance: float,
) -> np.ndarray:
    """Return where a function is greatest, or where the search for that ended."""

    def objective(position: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = function(position)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return np.inf, np.zeros(len(position))
        return -value, -gradient

    def check_time(position: np.ndarray) -> None:
        if time.monotonic() > until:
            raise StopIteration

    with np.errstate(all="ignore"):
        found = scipy.optimize.minimize(
            objective,
            start,
            jac=True,
            method="L-BFGS-B",
            callback=check_time,
            options={"maxiter": iterations, "maxcor": 20, "ftol": tolerance},
        )
    return found.x if np.isfinite(found.x).all() else start
