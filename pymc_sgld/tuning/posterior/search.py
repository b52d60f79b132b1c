"""Where the posterior is, and how wide: its best Gaussian approximation.

Of large data a sample is searched, and what it lacks is made up for by a few passes over all rows:
see ``subsample``. Where that does not end well, and with fewer rows, all of them are searched.

A search has a start, and goes on to the closest Gaussian: see ``variational``. The mode is the
start that is found soonest. It is a poor one where the posterior is skewed, and a model with groups
may have no mode at all: its density grows without bound as a scale of group effects tends to zero
with all its effects, or is highest at a scale that is far too large. There the best Gaussian of
independent coordinates is another start, see ``starts``, and the evidence lower bound says which of
the two is to be believed.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Sequence

import numpy as np

from pymc_sgld.errors import SettingError
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.progress import progress
from pymc_sgld.tuning.posterior.covariance import FULL_SIZE, Full, Stretched
from pymc_sgld.tuning.posterior.curvature import Curvature
from pymc_sgld.tuning.posterior.starts import climb, mean_field
from pymc_sgld.tuning.posterior.subsample import complete, sample_of
from pymc_sgld.tuning.posterior.variational import (
    SPARING,
    THOROUGH,
    Evaluate,
    Gaussian,
    judged,
    settle,
)
from pymc_sgld.tuning.settings import Search

_LOOKING = "looking for the center of the posterior"
_CHEAP = 2e6  # rows times coordinates of a pass up to which more of them are worth their time
_POOR = 0.02  # fisher_divergence from which on another start may do better
_SAME = 1.0  # standard deviations, within which another start leads to the same Gaussian
SECONDS = 60.0  # after which a search ends with what it has; to compile does not count


def approximate(data: FullData, search: Search, top: Collection[str]) -> Gaussian:
    """Return the Gaussian approximation of a posterior, and show how the search goes on.

    Parameters
    ----------
    search : Search
        Where to begin, or the point to use: then nothing is searched.
    top : collection of str
        Names of the hyperparameters: the priors of others depend on them, and theirs on none.
    """
    hyper = np.zeros(len(search.start), dtype=bool)
    for c in data.coordinates:
        hyper[c.start : c.start + c.size] = c.name in top
    with progress(_LOOKING) as update:
        if search.center is not None:
            try:
                found = gaussian_at(data, search.center, search.others)
            except np.linalg.LinAlgError:
                found = None
            if found is None or not found.is_finite:
                raise SettingError(
                    "the log density or its gradient is not finite around center=, or so large "
                    "that it overflows. Pass a point nearer to the posterior, or leave center out."
                )
            return found
        return find_gaussian(data, search.start, search.others, update, hyper)


def gaussian_at(data: FullData, position: np.ndarray, others: Sequence[np.ndarray]) -> Gaussian:
    """Return the Gaussian of Laplace's approximation at a point."""
    kind = Full if len(position) <= FULL_SIZE else Stretched
    curvature = Curvature(data, others)
    shape = kind.at(curvature, position)
    return judged(position, shape, _evaluate(curvature, lambda: None))


def find_gaussian(
    data: FullData,
    start: np.ndarray,
    others: Sequence[np.ndarray],
    report: Callable[[str], None] = lambda message: None,
    hyper: np.ndarray | None = None,
) -> Gaussian:
    """Search as `approximate` does, and tell ``report`` what is being done.

    Never on less than all rows alone: what is found on a sample is made that of all, or left.
    """
    curvature = Curvature(data, others)
    passes = itertools.count(1)
    evaluate = _evaluate(
        curvature, lambda: report(f"{_LOOKING}, pass {next(passes)} over all rows")
    )
    sample = sample_of(data, len(start))
    if sample is not None:
        message = f"{_LOOKING} on a sample of {sample.rows:,} rows"
        part = Curvature(sample, others)
        of_sample = _evaluate(part, lambda: report(message))
        found = complete(_search(part, of_sample, start, hyper), of_sample, part, evaluate)
        if found is not None:
            return found
    return _search(curvature, evaluate, start, hyper)


def _evaluate(curvature: Curvature, tell: Callable[[], None]) -> Evaluate:
    """Return a function that evaluates the log density, and tells of it before."""

    def evaluate(position: np.ndarray) -> tuple[float, np.ndarray]:
        tell()
        return curvature.evaluate(position)

    return evaluate


def _search(
    curvature: Curvature, evaluate: Evaluate, start: np.ndarray, hyper: np.ndarray | None
) -> Gaussian:
    """Search from the mode, and from the other start where that may be better."""
    kind = Full if len(start) <= FULL_SIZE else Stretched
    cheap = curvature.data.rows * len(start) <= _CHEAP
    effort = THOROUGH if cheap or kind is Stretched else SPARING

    def search(begin: np.ndarray, until: float) -> Gaussian:
        shape = kind.at(curvature, begin)
        return settle(begin, shape, evaluate, curvature, effort._replace(until=until))

    start = start.astype("float64")
    evaluate(start)  # compiles what is to be compiled, which takes none of the time to search
    began = time.monotonic()
    until = began + SECONDS / 2
    found = search(climb(evaluate, start, until), until)
    is_hierarchical = hyper is not None and hyper.any()
    has_groups = is_hierarchical or curvature.may_have_groups
    is_good = found.settled and found.fisher_divergence < _POOR
    if is_good and not has_groups:
        return found
    until = began + SECONDS
    begin = mean_field(evaluate, start, until, hyper)
    if is_good and np.abs(found.shape.whiten(begin - found.mean)).max() < _SAME:
        return found
    known = [gaussian for gaussian in (found, search(begin, until)) if gaussian.is_finite]
    if not known:
        raise SettingError(
            "cannot find the posterior from the initial point: the log density or its gradient is "
            "not finite there, or so large that it overflows. Start nearer to the posterior: give "
            "variables an initval=... in the model, or pass initial_point=... or center=..."
        )
    return max(known, key=lambda gaussian: gaussian.elbo)
