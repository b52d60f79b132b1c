r"""The best Gaussian approximation of a posterior, by natural gradients.

The Gaussian :math:`q = N(m, \Lambda^{-1})` that is closest to the posterior :math:`p` in the sense
of variational inference has

.. math::

    E_q \nabla \log p = 0, \qquad \Lambda = -E_q \nabla^2 \log p:

its mean and precision are averages over its width, not values at a point.

References
----------
Opper and Archambeau (2009), The variational Gaussian approximation revisited, equations 12 and 13.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from pymc_sgld.minibatch.full_data import Center
from pymc_sgld.tuning.posterior.covariance import Shape
from pymc_sgld.tuning.posterior.curvature import Curvature

Value = tuple[float, np.ndarray]
"""The log density at a position, and its gradient, shape (d,)."""

Evaluate = Callable[[np.ndarray], Value]
"""Gives them at a position."""

Known = tuple[np.ndarray, np.ndarray]
"""A position, and the gradient of the log density of all rows there, both of shape (d,)."""

_SEED = 20190701  # fixed: what is found is a property of the model, not of a chain
_WINDOW = 8  # steps over which the mean is averaged
_SETTLED = 0.1  # posterior standard deviations that the average may still move, root mean square
NEWS = 0.2  # relative change of the curvature, root mean square, that asks for a Hessian
_JUDGED = 16  # pairs at the end of a search that say how good its result is
_KNOWN = 4  # points whose gradients are kept
_ALIGNED = (20, 80)  # Hessians after which a shape is aligned again


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian approximation of the posterior, in unconstrained coordinates."""

    mean: np.ndarray  # shape (d,)
    shape: Shape  # its covariance
    settled: bool = True  # whether the search ended because nothing moved any more
    # how far it is from the posterior: the mean square of the difference of their gradients,
    # E_q |Lambda^{-1/2} (grad log p - grad log q)|^2 / d
    fisher_divergence: float = 0.0
    # the same in the coordinate where it is greatest, as the mean square of how far the difference
    # of the gradients would move its mean, in standard deviations: the scale of many group effects
    # may be far from Gaussian where all else is
    worst: float = 0.0
    # the lower bound of the log evidence, up to a constant: what the best one has most of
    elbo: float = -np.inf
    # positions of it, and gradients of the log density of all rows there: where the search ended
    known: tuple[Known, ...] = ()
    by_sample: bool = False  # whether the curvature of a sample of the rows was like that of all
    # a point near the mean, where the gradients of all rows are known
    center: Center | None = None

    @property
    def is_finite(self) -> bool:
        """Whether the search has found anything."""
        return bool(np.isfinite(self.mean).all() and np.isfinite(self.shape.variances).all())

    def moves(self, gradients: np.ndarray) -> np.ndarray:
        """Return how far gradients move the mean of each coordinate, in standard deviations."""
        shape = self.shape
        return shape.unwhiten(shape.whiten_gradient(gradients)) / np.sqrt(shape.variances)

    def sample(self, count: int, dtype: Any) -> list[np.ndarray]:
        """Return the mean, and random positions, all of shape (d,)."""
        rng = np.random.default_rng(_SEED)
        z = rng.standard_normal((count - 1, len(self.mean)))
        return [each.astype(dtype) for each in [self.mean, *(self.mean + self.shape.unwhiten(z))]]


class Effort(NamedTuple):
    """How long a search may be."""

    most_steps: int
    least_steps: int  # where Hessians are averaged
    most_hessians: int
    until: float = np.inf  # by time.monotonic


THOROUGH, SPARING = Effort(150, 100, 150), Effort(60, 20, 32)


@np.errstate(all="ignore")  # what is not finite is found in the result
def settle(
    mean: np.ndarray, shape: Shape, evaluate: Evaluate, curvature: Curvature, effort: Effort
) -> Gaussian:
    """Move a Gaussian by natural gradients at random points of it until it stays where it is.

    Points come in pairs around the mean. What a pair says about the width is first seen in its
    gradients; a Hessian is taken only if it is news.
    """
    rng = np.random.default_rng(_SEED)
    path, hessians = _Path(), 0
    for step in range(effort.most_steps):
        if step and time.monotonic() > effort.until:
            break
        pair = Pair.at(mean, shape, evaluate, rng.standard_normal(len(mean)))
        if not pair.is_finite:
            shape = shape.narrower()  # it reaches where there is no density
            path.means.clear()
            continue
        path.add(pair, shape)
        if pair.is_news and hessians < effort.most_hessians:
            place = mean + pair.away if step % 2 else mean - pair.away
            shape = shape.rescaled(curvature, place, min(0.3, 2 / max(1, hessians - 8)), rng)
            hessians += 1
            if hessians in _ALIGNED:
                shape = shape.aligned(curvature, mean)
        length = np.sqrt(np.mean(pair.move**2))
        mean = mean + shape.unwhiten(pair.move) * max(0.2, 0.5 - step / 50) / max(1.0, length)
        path.means.append(mean)
        if (not hessians or step >= effort.least_steps) and path.drift(shape) < _SETTLED:
            return path.gaussian(mean, shape, settled=True)
    return path.gaussian(mean, shape, settled=False)


@np.errstate(all="ignore")
def judged(mean: np.ndarray, shape: Shape, evaluate: Evaluate) -> Gaussian:
    """Return a Gaussian with how far it is from the posterior, by some pairs of its points."""
    rng, path = np.random.default_rng(_SEED), _Path(means=[mean])
    for _ in range(_JUDGED // 2):
        pair = Pair.at(mean, shape, evaluate, rng.standard_normal(len(mean)))
        path.add(pair, shape)
    return path.gaussian(mean, shape, settled=True)


class Pair(NamedTuple):
    """Two points of a Gaussian, on either side of its mean, and what is found there.

    ``gradient`` is the mean of both, ``move`` where it says that the mean should go, ``bend`` how
    far the curvature between the points is from that of the Gaussian, of shape (d,), the latter in
    standard deviations; ``bound`` is the lower bound of the log evidence, ``known`` the points.
    """

    away: np.ndarray
    gradient: np.ndarray
    move: np.ndarray
    bend: np.ndarray
    bound: float
    known: tuple[Known, Known]

    @classmethod
    def at(cls, mean: np.ndarray, shape: Shape, evaluate: Evaluate, z: np.ndarray) -> Pair:
        """Evaluate the density at the points of a Gaussian that belong to ``z`` and ``-z``."""
        away = shape.unwhiten(z)
        with np.errstate(all="ignore"):
            return cls.of(mean, shape, z, evaluate(mean + away), evaluate(mean - away))

    @classmethod
    def of(cls, mean: np.ndarray, shape: Shape, z: np.ndarray, one: Value, other: Value) -> Pair:
        """Return what the density and its gradient say at the points of ``z`` and ``-z``."""
        away = shape.unwhiten(z)
        (high, above), (low, below) = one, other
        with np.errstate(all="ignore"):
            bend = shape.whiten_gradient(below - above) / 2 - z
            gradient = (above + below) / 2
            move = shape.whiten_gradient(gradient)
        known = (mean + away, above), (mean - away, below)
        bound = (high + low) / 2 + shape.half_log_determinant
        return cls(away, gradient, move, bend, bound, known)

    @property
    def is_finite(self) -> bool:
        """Whether all of it is a number."""
        return bool(np.isfinite([self.bend.sum(), self.move.sum()]).all())

    @property
    def is_news(self) -> bool:
        """Whether the width should change."""
        return bool(np.mean(self.bend**2) > NEWS**2)

    def by_coordinate(self, shape: Shape) -> np.ndarray:
        """Return how far this would move the mean of each coordinate, squared, shape (d,)."""
        moves = shape.unwhiten(np.array([self.move + self.bend, self.move - self.bend]))
        return np.mean(moves**2, axis=0) / shape.variances

    @property
    def fisher_divergence(self) -> float:
        """The difference of the gradients of both densities, squared."""
        return float(np.mean(self.bend**2 + self.move**2))


@dataclass
class _Path:
    """Where a search has been, and what it met there."""

    means: list[np.ndarray] = field(default_factory=list)
    divergences: list[float] = field(default_factory=list)
    by_coordinate: list[np.ndarray] = field(default_factory=list)
    bounds: list[float] = field(default_factory=list)
    known: deque[Known] = field(default_factory=lambda: deque(maxlen=_KNOWN))

    def add(self, pair: Pair, shape: Shape) -> None:
        """Take down what a pair says of the Gaussian."""
        self.divergences.append(pair.fisher_divergence)
        self.by_coordinate.append(pair.by_coordinate(shape))
        self.bounds.append(pair.bound)
        self.known.extend(pair.known)

    def drift(self, shape: Shape) -> float:
        """Return how far the average mean has moved, in standard deviations."""
        if len(self.means) < 2 * _WINDOW:
            return np.inf
        late = np.mean(self.means[-_WINDOW:], axis=0)
        early = np.mean(self.means[-2 * _WINDOW : -_WINDOW], axis=0)
        return float(np.sqrt(np.mean(shape.whiten(late - early) ** 2)))

    def gaussian(self, mean: np.ndarray, shape: Shape, settled: bool) -> Gaussian:
        """Return where the search ended, by the averages of its last steps."""
        late = np.mean(self.means[-_WINDOW:], axis=0) if self.means else mean
        if not self.divergences:
            return Gaussian(late, shape, settled, np.inf, np.inf)
        late_ones = slice(max(len(self.divergences) // 2, len(self.divergences) - _JUDGED), None)
        divergence, elbo = (
            np.mean(self.divergences[late_ones]),
            np.mean(self.bounds[late_ones]),
        )
        worst = np.mean(self.by_coordinate[late_ones], axis=0).max()
        divergence, worst = np.nan_to_num([divergence, worst], nan=np.inf)
        known = tuple(self.known)
        return Gaussian(late, shape, settled, float(divergence), float(worst), float(elbo), known)
