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
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from scipy.optimize import minimize

from pymc_sgld.errors import SGLDWarning
from pymc_sgld.full_data import FullData
from pymc_sgld.tuning.shapes import FULL_SIZE, Curvature, Full, Shape, Stretched

_SEED = 20190701  # fixed: what is found is a property of the model, not of a chain
_CHEAP = 2e6  # rows times coordinates of a pass up to which more of them are worth their time
_WINDOW = 8  # steps over which the mean is averaged
_SETTLED = 0.1  # posterior standard deviations that the average may still move, root mean square
_NEWS = 0.2  # relative change of the curvature, root mean square, that asks for a Hessian
_POOR = 0.05  # misfit from which on another start may do better
_ALIGNED = (20, 80)  # Hessians after which a shape is aligned again


@dataclass(frozen=True)
class Gaussian:
    r"""A Gaussian approximation of the posterior, in unconstrained coordinates.

    Attributes
    ----------
    mean : ndarray, shape (d,)
    shape : Shape
        Its covariance.
    settled : bool
        Whether the search ended because nothing moved any more.
    misfit : float
        How far it is from the posterior: the mean square of the difference of their gradients,
        :math:`E_q |\Lambda^{-1/2} (\nabla \log p - \nabla \log q)|^2 / d`, the Fisher divergence.
    evidence : float
        The lower bound of the log evidence, up to a constant: what the best one has most of.
    """

    mean: np.ndarray
    shape: Shape
    settled: bool = True
    misfit: float = 0.0
    evidence: float = -np.inf


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
    kind = Full if len(position) <= FULL_SIZE else Stretched
    return Gaussian(position, kind.at(Curvature(data, others, position.dtype), position))


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

    def evaluate(position: np.ndarray) -> tuple[float, np.ndarray]:
        report(f"looking for the centre of the posterior, pass {next(passes)} over the data")
        values, gradients = data.gradients(position.astype(start.dtype), others)
        return float(values.sum()), gradients.sum(axis=0)

    curvature = Curvature(data, others, start.dtype)
    kind = Full if len(start) <= FULL_SIZE else Stretched
    cheap = data.rows * len(start) <= _CHEAP

    def settle(begin: np.ndarray) -> Gaussian:
        effort = _THOROUGH if cheap or kind is Stretched else _SPARING
        return _settle(begin, kind.at(curvature, begin), evaluate, curvature, effort)

    found = settle(_climb(evaluate, start))
    if found.settled and (found.misfit < _POOR or not cheap):
        return found
    # the mode may be a spike without mass: a scale of group effects at zero
    other = settle(start.astype("float64"))
    return max(found, other, key=lambda gaussian: gaussian.evidence)


def _climb(
    evaluate: Callable[[np.ndarray], tuple[float, np.ndarray]], start: np.ndarray
) -> np.ndarray:
    """Return the mode, or where the search for one ended."""

    def objective(position: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = evaluate(position)
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


class _Effort(NamedTuple):
    """How long a search may be."""

    most_steps: int
    least_steps: int  # where Hessians are averaged
    most_hessians: int


_THOROUGH, _SPARING = _Effort(150, 100, 150), _Effort(60, 20, 32)


def _settle(
    mean: np.ndarray,
    shape: Shape,
    evaluate: Callable[[np.ndarray], tuple[float, np.ndarray]],
    curvature: Curvature,
    effort: _Effort,
) -> Gaussian:
    """Move a Gaussian by natural gradients at random points of it until it stays where it is.

    Points come in pairs around the mean. What a pair says about the width is first seen in its
    gradients; a Hessian is taken only if it is news.
    """
    rng = np.random.default_rng(_SEED)
    size = len(mean)
    means: list[np.ndarray] = []
    misfits: list[float] = []
    bounds: list[float] = []
    hessians = 0
    for step in range(effort.most_steps):
        z = rng.standard_normal(size)
        away = shape.away(z)
        with np.errstate(all="ignore"):
            (high, above), (low, below) = evaluate(mean + away), evaluate(mean - away)
            bend = shape.pull(below - above) / 2 - z
            move = shape.pull(above + below) / 2
        if not np.isfinite([bend.sum(), move.sum()]).all():
            shape = shape.narrower()  # it reaches where there is no density
            means.clear()
            continue
        misfits.append(float(np.mean(bend**2 + move**2)))
        bounds.append((high + low) / 2 + shape.log_size)
        if np.mean(bend**2) > _NEWS**2 and hessians < effort.most_hessians:
            place = mean + away if step % 2 else mean - away
            shape = shape.turned(curvature, place, min(0.3, 2 / max(1, hessians - 8)), rng)
            hessians += 1
            if hessians in _ALIGNED:
                shape = shape.aligned(curvature, mean)
        length = np.sqrt(np.mean(move**2))
        mean = mean + shape.away(move) * max(0.2, 0.5 - step / 50) / max(1.0, length)
        means.append(mean)
        if len(means) >= 2 * _WINDOW and (not hessians or step >= effort.least_steps):
            late = np.mean(means[-_WINDOW:], axis=0)
            early = np.mean(means[-2 * _WINDOW : -_WINDOW], axis=0)
            drift = np.sqrt(np.mean(shape.lengths(late - early) ** 2))
            if drift < _SETTLED:
                break
    else:
        drift = np.inf
    late = np.mean(means[-_WINDOW:], axis=0) if means else mean
    misfit, evidence = np.inf, -np.inf
    if misfits:
        late_half = slice(len(misfits) // 2, None)
        misfit, evidence = np.mean(misfits[late_half]), np.mean(bounds[late_half])
    return Gaussian(late, shape, bool(drift < _SETTLED), float(misfit), float(evidence))
