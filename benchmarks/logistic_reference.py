"""The reference of ``million``, by NumPy alone.

The posterior of 21 coefficients given a million rows is nearly the Gaussian around its mode. Draws
of that Gaussian, in pairs on opposite sides of the mode, are weighted by importance. What weights
change in a mean or a variance is added to that of the Gaussian, which is known, so that the error
is only that of the change.

``python benchmarks/references.py million`` writes the reference.
"""

from __future__ import annotations

import time

import numpy as np
from known_posteriors.regressions import million, million_rows
from marginal_reference import effective
from scipy.special import expit

PRIOR_SD = 2.5
PAIRS, BLOCK, TOGETHER = 2_000, 20_000, 200  # rows and draws that are evaluated at a time
NEWTON = 20


def mode_of(design: np.ndarray, outcome: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mode, by Newton's method, and the inverse of the negative Hessian there."""
    point, prior = np.zeros(design.shape[1]), np.eye(design.shape[1]) / PRIOR_SD**2
    for _ in range(NEWTON):
        chance = expit(design @ point)
        gradient = design.T @ (outcome - chance) - prior @ point
        covariance = np.linalg.inv((design.T * (chance * (1 - chance))) @ design + prior)
        step = covariance @ gradient
        point = point + step
        if step @ gradient < 1e-12:
            return point, covariance
    raise ArithmeticError(f"Newton's method has not settled after {NEWTON} steps")


def log_density(design: np.ndarray, outcome: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the log posterior at points, shape (points, columns), up to a constant."""
    found = points @ (design.T @ outcome) - (points**2).sum(axis=1) / (2 * PRIOR_SD**2)
    for first in range(0, len(points), TOGETHER):
        some = points[first : first + TOGETHER]
        for row in range(0, len(design), BLOCK):
            logit = some @ design[row : row + BLOCK].T
            found[first : first + TOGETHER] -= np.log1p(np.exp(logit)).sum(axis=1)
    return found


def moments(design: np.ndarray, outcome: np.ndarray, pairs: int, seed: int) -> dict[str, object]:
    """Return means and sds, how good they are, and the standard errors of the means."""
    mode, covariance = mode_of(design, outcome)
    factor = np.linalg.cholesky(covariance)
    half = np.random.default_rng(seed).standard_normal((pairs, len(mode)))
    z = np.concatenate([half, -half])
    away = z @ factor.T
    log_weights = log_density(design, outcome, mode + away) + (z**2).sum(axis=1) / 2
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    change = weights - 1 / len(weights)
    shift = change @ away  # the mean of `away` without weights is 0
    square = np.diag(covariance) + change @ away**2
    error = np.sqrt((change**2) @ away**2)
    return {
        "ess": int(effective(away, weights).min()),
        "ess_of_squares": int(effective(away**2, weights).min()),
        "greatest_weight": float(weights.max()),
        "draws": len(weights),
        "mean": (mode + shift).tolist(),
        "sd": np.sqrt(square - shift**2).tolist(),
        "mcse": error.tolist(),
    }


def million_reference() -> dict[str, object]:
    """Return the reference of all rows."""
    start = time.perf_counter()
    design, outcome = million_rows()
    with_intercept = np.column_stack([np.ones(len(design)), design])
    found = moments(with_intercept, outcome, PAIRS, seed=2011)
    seconds = round(time.perf_counter() - start, 1)
    head = {"names": million.__wrapped__()[1], "sum_of_outcomes": float(outcome.sum())}
    return head | {key: found[key] for key in list(found)[:-3]} | {"seconds": seconds} | found
