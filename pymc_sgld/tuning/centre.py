"""Where the posterior is, and how wide: its best Gaussian approximation.

Of large data a sample is searched, and what it lacks is made up for by a few passes over all rows:
see ``sample``. Where that does not end well, and with fewer rows, all of them are searched.

The mode is found first. It is a poor centre where the posterior is skewed, and where a scale of
group effects tends to zero or infinity with all its effects: a hierarchical model may have no mode
at all. So the mode is only where the search for the closest Gaussian starts: see ``gaussian``.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import scipy

from pymc_sgld.errors import SGLDWarning
from pymc_sgld.full_data import FullData
from pymc_sgld.progress import progress
from pymc_sgld.tuning.gaussian import SPARING, THOROUGH, Evaluate, Gaussian, settle
from pymc_sgld.tuning.sample import complete, sample_of
from pymc_sgld.tuning.shapes import FULL_SIZE, Curvature, Full, Stretched

_LOOKING = "looking for the centre of the posterior"
_CHEAP = 2e6  # rows times coordinates of a pass up to which more of them are worth their time
_POOR = 0.05  # misfit from which on another start may do better
_WRONG = 0.5  # the same where passes are dear: gradients are no longer those of the Gaussian


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
    with progress(_LOOKING) as update:
        if center is not None:
            return gaussian_at(data, center, others)
        found = find_gaussian(data, start, others, update)
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
    """Search as `approximate` does, and tell ``report`` what is being done.

    Never on less than all rows alone: what is found on a sample is made that of all, or left.
    """
    curvature = Curvature(data, others, start.dtype)
    passes = itertools.count(1)
    evaluate = _evaluate(
        curvature, lambda: report(f"{_LOOKING}, pass {next(passes)} over all rows")
    )
    sample = sample_of(data, len(start))
    if sample is not None:
        message = f"{_LOOKING} on a sample of {sample.rows:,} rows"
        part = Curvature(sample, others, start.dtype)
        of_sample = _evaluate(part, lambda: report(message))
        found = complete(_search(part, of_sample, start), of_sample, part, evaluate)
        if found is not None:
            return found
    return _search(curvature, evaluate, start)


def _evaluate(curvature: Curvature, tell: Callable[[], None]) -> Evaluate:
    """Return a function that evaluates the log density, and tells of it before."""

    def evaluate(position: np.ndarray) -> tuple[float, np.ndarray]:
        tell()
        at = position.astype(curvature.dtype)
        values, gradients = curvature.data.gradients(at, curvature.others)
        return float(values.sum()), gradients.sum(axis=0)

    return evaluate


def _search(curvature: Curvature, evaluate: Evaluate, start: np.ndarray) -> Gaussian:
    """Search from the mode, and from the start where that may be better."""
    kind = Full if len(start) <= FULL_SIZE else Stretched
    cheap = curvature.data.rows * len(start) <= _CHEAP
    effort = THOROUGH if cheap or kind is Stretched else SPARING

    def search(begin: np.ndarray) -> Gaussian:
        return settle(begin, kind.at(curvature, begin), evaluate, curvature, effort)

    found = search(_climb(evaluate, start))
    if found.settled and found.misfit < (_POOR if cheap else _WRONG):
        return found
    # the mode may be a spike without mass: a scale of group effects at zero
    other = search(start.astype("float64"))
    return max(found, other, key=lambda gaussian: gaussian.evidence)


def _climb(evaluate: Evaluate, start: np.ndarray) -> np.ndarray:
    """Return the mode, or where the search for one ended."""

    def objective(position: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = evaluate(position)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return np.inf, np.zeros(len(position))
        return -value, -gradient

    with np.errstate(all="ignore"):
        found = scipy.optimize.minimize(
            objective,
            start.astype("float64"),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 500, "maxcor": 20, "ftol": 1e-10},
        )
    return found.x if np.isfinite(found.x).all() else start.astype("float64")
