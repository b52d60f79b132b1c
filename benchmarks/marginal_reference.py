"""The reference of ``students``, whose 100,000 offsets are integrated out instead of sampled.

What is left are five numbers: the intercept, three coefficients and the log of the spread. Their
marginal likelihood takes an integral over the offset of each student, by adaptive Gauss-Hermite
quadrature: nodes around the mode of the integrand. Draws of a Student-t distribution around the
mode of the marginal posterior are weighted by importance. Twice as many nodes tell how exact the
quadrature is.

``python benchmarks/references.py students`` writes the reference.
"""

from __future__ import annotations

import time

import numba
import numpy as np
from known_posteriors import sum_of_outcomes
from known_posteriors.groups import Students, student_rows, students_model
from scipy.optimize import minimize
from scipy.special import roots_hermite
from scipy.stats import multivariate_t

NODES, TOLERATED = 20, 0.01  # of a group; error of differences of the log posterior
DRAWS, FREEDOM = 6_000, 10
NEWTON = 8


@numba.njit(error_model="numpy")
def log_marginal_likelihood(correct, logit, starts, spread, nodes, weights):
    """Return the log likelihood without the offsets; rows are sorted by group.

    ``weights`` are those of Gauss and Hermite times exp(node**2). A row's likelihood at an offset
    u is exp(y (logit + spread u)) / (1 + odds exp(spread u)): a group costs a multiplication for
    each row and node, and one logarithm for each node.
    """
    total = 0.0
    odds = np.exp(logit)
    log_terms = np.empty(len(nodes))
    for group in range(len(starts) - 1):
        first, last = starts[group], starts[group + 1]
        successes = correct[first:last].sum()
        mode, curvature = 0.0, 1.0
        for _ in range(NEWTON):
            factor = np.exp(spread * mode)
            slope, curvature = spread * successes - mode, 1.0
            for row in range(first, last):
                chance = odds[row] * factor / (1 + odds[row] * factor)
                slope -= spread * chance
                curvature += spread**2 * chance * (1 - chance)
            mode += slope / curvature
            if abs(slope) < 1e-6:
                break
        width = np.sqrt(2 / curvature)
        for k in range(len(nodes)):
            offset = mode + width * nodes[k]
            factor = np.exp(spread * offset)
            product, logarithm = 1.0, 0.0
            for row in range(first, last):
                product *= 1 + odds[row] * factor
                if product > 1e150:
                    logarithm += np.log(product)
                    product = 1.0
            logarithm += np.log(product)
            log_terms[k] = spread * successes * offset - logarithm - offset**2 / 2
        greatest = log_terms.max()
        integral = (weights * np.exp(log_terms - greatest)).sum() * width
        total += greatest + np.log(integral) - np.log(2 * np.pi) / 2
    return total + (correct * logit).sum()


class Marginal:
    """The log density, up to a constant, of the intercept, the coefficients and the log spread."""

    def __init__(self, data: Students, nodes: int = NODES) -> None:
        order = np.argsort(data.student, kind="stable")
        self._correct = data.correct[order].astype(float)
        self._covariates = data.covariates[order]
        sizes = np.bincount(data.student)
        self._starts = np.concatenate([[0], sizes.cumsum()])
        self._nodes, weights = roots_hermite(nodes)
        self._weights = weights * np.exp(self._nodes**2)

    def __call__(self, point: np.ndarray) -> float:
        intercept, beta, spread = point[0], point[1:-1], np.exp(point[-1])
        logit = intercept + self._covariates @ beta
        likelihood = log_marginal_likelihood(
            self._correct, logit, self._starts, spread, self._nodes, self._weights
        )
        prior = -((intercept / 1.5) ** 2 + beta @ beta + spread**2) / 2
        return likelihood + prior + point[-1]  # the last is the Jacobian of the logarithm


def hessian(function, point: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return second derivatives by central differences."""
    moves = np.diag(steps)
    size = len(point)
    result = np.empty((size, size))
    for i in range(size):
        for j in range(i + 1):
            signs = ((1, 1), (-1, 1), (1, -1), (-1, -1))
            values = [a * b * function(point + a * moves[i] + b * moves[j]) for a, b in signs]
            result[i, j] = result[j, i] = sum(values) / (4 * steps[i] * steps[j])
    return result


def around_mode(log_density, size: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mode and the inverse of the negative Hessian there.

    The first steps of the differences are those of a typical standard deviation; the second are
    those of this posterior.
    """
    start = np.zeros(size)
    scale = np.full(size, 1 / np.sqrt(rows))
    mode = minimize(lambda x: -log_density(x) / rows, start, method="BFGS").x
    for _ in range(2):
        covariance = np.linalg.inv(-hessian(log_density, mode, scale))
        scale = np.sqrt(np.diag(covariance))
        moves = np.diag(scale)
        slopes = [(log_density(mode + m) - log_density(mode - m)) / (2 * m.sum()) for m in moves]
        mode = mode + covariance @ slopes
    return mode, covariance


def effective(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return of how many independent draws the weighted means of the columns are as exact."""
    centered = values - weights @ values
    return (weights @ centered**2) / (weights**2 @ centered**2)


def sample(data: Students, draws: int = DRAWS, seed: int = 2011) -> dict[str, object]:
    """Return means and sds of what the students share, and how good they are."""
    start = time.perf_counter()
    log_density = Marginal(data)
    mode, covariance = around_mode(log_density, 5, len(data.correct))
    proposal = multivariate_t(mode, covariance, df=FREEDOM, seed=seed)
    points = proposal.rvs(draws)
    log_weights = np.array([log_density(point) for point in points]) - proposal.logpdf(points)
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    values = points.copy()
    values[:, -1] = np.exp(points[:, -1])
    mean = weights @ values
    sd = np.sqrt(weights @ (values - mean) ** 2)
    ess = effective(values, weights)
    error = quadrature_error(data, points[:20])
    if error > TOLERATED:
        raise ArithmeticError(f"{NODES} nodes are too few: the log posterior is off by {error:.2g}")
    model, names = students_model(data)
    return {
        "names": names,
        "sum_of_outcomes": sum_of_outcomes(model),
        "ess": int(ess.min()),
        "ess_of_squares": int(effective((values - mean) ** 2, weights).min()),
        "greatest_weight": float(weights.max()),
        "quadrature_error": error,
        "draws": draws,
        "seconds": round(time.perf_counter() - start, 1),
        "mean": mean.tolist(),
        "sd": sd.tolist(),
        "mcse": (sd / np.sqrt(ess)).tolist(),
    }


def quadrature_error(data: Students, points: np.ndarray) -> float:
    """Return the range, over points, of what twice as many nodes add to the log density."""
    coarse, fine = Marginal(data), Marginal(data, 2 * NODES)
    return float(np.ptp([fine(point) - coarse(point) for point in points]))


def students_reference() -> dict[str, object]:
    """Return the reference of all rows."""
    return sample(student_rows())
