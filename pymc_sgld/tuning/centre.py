r"""Where the posterior is, and how wide: its best Gaussian approximation.

The mode is found first. It is a poor centre where the posterior is skewed, and where a scale of
group effects tends to zero or infinity with all its effects: a hierarchical model may have no mode
at all. So the mode is only the start for the Gaussian :math:`q = N(m, \Lambda^{-1})` that is
closest to the posterior :math:`p` in the sense of variational inference,

.. math::

    E_q \nabla \log p = 0, \qquad \Lambda = -E_q \nabla^2 \log p,

whose mean and precision are averages over its width, not values at a point.

References
----------
Opper and Archambeau (2009), The variational Gaussian approximation revisited, equations 12 and 13.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from scipy.optimize import minimize

from pymc_sgld.errors import SGLDWarning
from pymc_sgld.full_data import FullData

_SEED = 20190701  # fixed: what is found is a property of the model, not of a chain
_MOST_STEPS = 60
_WINDOW = 8  # steps over which the mean is averaged
_SETTLED = 0.1  # posterior standard deviations that the average may still move, root mean square
_NEWS = 0.2  # relative change of the curvature, root mean square, that asks for a Hessian
_FLOOR = 1e-10  # least eigenvalue of a precision matrix, relative to the greatest


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian approximation of the posterior, in unconstrained coordinates.

    Attributes
    ----------
    mean : ndarray, shape (d,)
    precision : ndarray, shape (d, d)
    settled : bool
        Whether the search ended because nothing moved any more.
    """

    mean: np.ndarray
    precision: np.ndarray
    settled: bool

    @property
    def whitener(self) -> np.ndarray:
        """A factor ``W`` of the covariance, ``W W' = precision^-1``, shape (d, d)."""
        return _whitener(self.precision)


def approximate(
    data: FullData,
    start: np.ndarray,
    others: Sequence[np.ndarray],
    center: np.ndarray | None = None,
) -> Gaussian:
    """Return the Gaussian approximation of a posterior, and show how the search goes on.

    Parameters
    ----------
    data : FullData
        The log density.
    start : ndarray, shape (d,)
        Where a search begins.
    others : sequence of ndarray
        Values of the variables that the step does not move.
    center : ndarray, shape (d,), optional
        The point to use: nothing is searched.

    Warns
    -----
    SGLDWarning
        Where the search did not settle.
    """
    console = Console(stderr=True)
    columns = (TextColumn("SGLD: {task.description}"), SpinnerColumn(), TimeElapsedColumn())
    shown = console.is_terminal or console.is_jupyter
    with Progress(*columns, console=console, transient=True, disable=not shown) as progress:
        task = progress.add_task("looking for the centre of the posterior", total=None)
        if center is not None:
            return gaussian_at(data, center, others)
        found = find_gaussian(
            data, start, others, lambda message: progress.update(task, description=message)
        )
    if not found.settled:
        warnings.warn(
            "SGLD: the search for the centre of the posterior did not settle: step size and "
            "preconditioner may be poor. Reparametrise the model (a non-centred or a centred "
            "parametrisation of group effects), or pass a point as center=.",
            SGLDWarning,
            stacklevel=4,
        )
    return found


def gaussian_at(data: FullData, position: np.ndarray, others: Sequence[np.ndarray]) -> Gaussian:
    """Return the Gaussian of Laplace's approximation at a point."""
    return Gaussian(position, _positive(-data.hessians(position, others).sum(axis=0)), True)


def find_gaussian(
    data: FullData,
    start: np.ndarray,
    others: Sequence[np.ndarray],
    report: Callable[[str], None] = lambda message: None,
) -> Gaussian:
    """Return the Gaussian approximation of a posterior.

    Parameters
    ----------
    data : FullData
        The log density.
    start : ndarray, shape (d,)
        Where to begin.
    others : sequence of ndarray
        Values of the variables that the step does not move.
    report : callable
        Called with what is being done.
    """
    passes = itertools.count(1)

    def evaluate(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        report(f"looking for the centre of the posterior, pass {next(passes)} over the data")
        return data.gradients(position.astype(start.dtype), others)

    def gradient(position: np.ndarray) -> np.ndarray:
        return evaluate(position)[1].sum(axis=0)

    def precision(position: np.ndarray) -> np.ndarray:
        hessians = data.hessians(position.astype(start.dtype), others)
        return -hessians.sum(axis=0)

    mode = _climb(evaluate, start)
    return _settle(mode, _positive(precision(mode)), gradient, precision)


def _climb(
    evaluate: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], start: np.ndarray
) -> np.ndarray:
    """Return the mode, or where the search for one ended."""

    def objective(position: np.ndarray) -> tuple[float, np.ndarray]:
        values, gradients = evaluate(position)
        value, gradient = values.sum(), gradients.sum(axis=0)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return np.inf, np.zeros(len(position))
        return -value, -gradient

    with np.errstate(all="ignore"):
        found = minimize(
            objective,
            start.astype("float64"),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 500, "maxcor": 20, "ftol": 1e-10},
        )
    return found.x if np.isfinite(found.x).all() else start.astype("float64")


def _settle(
    mean: np.ndarray,
    precision: np.ndarray,
    gradient: Callable[[np.ndarray], np.ndarray],
    curvature: Callable[[np.ndarray], np.ndarray],
) -> Gaussian:
    """Move a Gaussian by natural gradients at random points of it until it stays where it is.

    Points come in pairs around the mean. What a pair says about the width is first seen in its
    gradients; a Hessian is taken only if it is news.
    """
    rng = np.random.default_rng(_SEED)
    size = len(mean)
    means: list[np.ndarray] = []
    wide = _whitener(precision)
    for step in range(_MOST_STEPS):
        z = rng.standard_normal(size)
        away = wide @ z
        with np.errstate(all="ignore"):
            above, below = gradient(mean + away), gradient(mean - away)
            surprise = np.sqrt(np.mean((wide.T @ (below - above) / 2 - z) ** 2))
            slope = (above + below) / 2
        if not np.isfinite([surprise, slope.sum()]).all():
            precision = precision * 2  # too wide: it reaches where there is no density
            wide = _whitener(precision)
            means.clear()
            continue
        if surprise > _NEWS:
            new = curvature(mean + away if step % 2 else mean - away)
            if np.isfinite(new).all():
                precision = _positive(0.7 * precision + 0.3 * new)
                wide = _whitener(precision)
        move = wide.T @ slope
        mean = mean + wide @ move / 2 / max(1.0, np.sqrt(np.mean(move**2)))
        means.append(mean)
        if len(means) >= 2 * _WINDOW:
            late = np.mean(means[-_WINDOW:], axis=0)
            early = np.mean(means[-2 * _WINDOW : -_WINDOW], axis=0)
            drift = np.sqrt((late - early) @ precision @ (late - early) / size)
            if drift < _SETTLED:
                return Gaussian(late, precision, settled=True)
    late = np.mean(means[-_WINDOW:], axis=0) if means else mean
    return Gaussian(late, precision, settled=False)


def _positive(precision: np.ndarray) -> np.ndarray:
    """Return a positive definite matrix: negative eigenvalues change their sign."""
    values, vectors = np.linalg.eigh((precision + precision.T) / 2)
    values = np.maximum(np.abs(values), _FLOOR * np.abs(values).max() + np.finfo(float).tiny)
    return (vectors * values) @ vectors.T


def _whitener(precision: np.ndarray) -> np.ndarray:
    """Return a factor ``W`` of the covariance, ``W W' = precision^-1``."""
    factor = np.linalg.cholesky(precision)
    return np.linalg.inv(factor).T
