r"""Points around a posterior, their importance weights, and the moments these give.

Points come from a Gaussian :math:`q` near the posterior or, of few coordinates, from a multivariate
Student distribution :math:`r` of its mean and covariance, whose tails reach farther, moved to where
the weights of first points say. With the log density of the posterior, their weights are

.. math:: \log w(\theta) = \log p(\theta) - \log r(\theta),

the largest of them smoothed by a Pareto distribution. Its shape :math:`\hat k` says whether that
works: up to 0.7 it does. Points of the Student distribution reach so far that weights of which the
largest are all about the same have no tail, whatever a fit to their small differences says.

Where the posterior is nearly :math:`q`, most of the error of a weighted mean is that of the points.
It is known: with :math:`w_0 = q / r` and :math:`y` standard normal under :math:`q`, the means of
:math:`w_0 - 1` and of :math:`w_0 (y^2 - 1)` are 0. A regression on them, with :math:`y` in the
direction of the parameter, takes out what they explain; linear terms vanish in pairs of points on
either side of the mean.

References
----------
Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling.
Owen and Zhou (2000), Safe and effective importance sampling: control variates. Hill (1975), A
simple general approach to inference about the tail of a distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy
from arviz_stats.base.array import array_stats

from pymc_sgld.tuning.posterior.covariance import Full

FREEDOM = 4.0
"""Degrees of freedom of the Student distribution: fewer reach farther, and waste more points."""

MOST_BY_STUDENT = 12
"""Coordinates up to which it serves: beyond, hardly any of its points is where the mass is."""

_TAIL, _ALIKE = 0.95, 1e-9  # of log weights, whose largest are smoothed
_BOUNDED = np.log(2.0)  # by which the largest of a tail exceeds the least, if it is none
LARGEST_K = 0.7
"""Of the Pareto distribution, up to which weights can be relied on (Vehtari et al. 2024)."""


@dataclass(frozen=True)
class Proposal:
    """Where points come from.

    Attributes
    ----------
    mean : ndarray, shape (d,)
    shape : Full
        Covariance of the Gaussian, and scale of the Student distribution.
    """

    mean: np.ndarray
    shape: Full

    @property
    def by_student(self) -> bool:
        """Whether points come from a Student distribution."""
        return len(self.mean) <= MOST_BY_STUDENT

    def points(self, count: int, rng: np.random.Generator) -> Points:
        """Return that many points, rounded down to pairs."""
        half = rng.standard_normal((count // 2, len(self.mean)))
        if self.by_student:
            half /= np.sqrt(rng.chisquare(FREEDOM, (len(half), 1)) / FREEDOM)
        return Points(self, np.stack([half, -half], axis=1).reshape(-1, len(self.mean)))

    def fitted(self, points: Points, weights: np.ndarray) -> Proposal:
        """Return the proposal with the mean and covariance that weighted points have."""
        positions = points.positions
        mean = weights @ positions
        away = positions - mean
        return Proposal(mean, Full(np.linalg.inv(away.T @ (away * weights[:, None]))))


@dataclass(frozen=True)
class Points:
    """Points of a proposal.

    Attributes
    ----------
    proposal : Proposal
    z : ndarray, shape (S, d)
        In its standard deviations. One of a pair follows the other.
    """

    proposal: Proposal
    z: np.ndarray

    @property
    def positions(self) -> np.ndarray:
        """The points, shape (S, d)."""
        return self.proposal.mean + self.proposal.shape.unwhiten(self.z)

    @property
    def _squares(self) -> np.ndarray:
        return (self.z**2).sum(axis=1)

    @property
    def log_density(self) -> np.ndarray:
        """Of the proposal, shape (S,), up to the constant that the Gaussian has as well."""
        if not self.proposal.by_student:
            return -self._squares / 2
        size = self.z.shape[1]
        return -(FREEDOM + size) / 2 * np.log1p(self._squares / FREEDOM) + self._constant

    @property
    def _constant(self) -> float:
        size, gammaln = self.z.shape[1], scipy.special.gammaln
        half = gammaln((FREEDOM + size) / 2) - gammaln(FREEDOM / 2)
        return float(half - size / 2 * np.log(FREEDOM / 2))

    @property
    def gaussian(self) -> np.ndarray:
        """Density of the Gaussian over that of the proposal, shape (S,): 1 on average."""
        return np.exp(-self._squares / 2 - self.log_density)


def smooth(log_weights: np.ndarray, far: bool = False) -> tuple[np.ndarray, float]:
    """Return weights with a sum of 1, shape (S,), and the shape k of their tail.

    ``far``: whether points reach into the tails of the posterior, so that bounds may be seen.
    """
    log_weights = np.where(np.isfinite(log_weights), log_weights, -np.inf)
    if not np.isfinite(log_weights).any():
        return np.full(len(log_weights), 1 / len(log_weights)), np.inf
    log_weights = log_weights - log_weights.max()
    k = -np.inf  # no tail: the largest weights are alike
    least = np.quantile(log_weights, _TAIL, method="lower")
    if least < -_ALIKE:
        smoothed, fitted = array_stats.psislw(-log_weights)
        k = np.inf if np.isnan(fitted) else float(fitted)
        if far and k > LARGEST_K and least > -_BOUNDED:
            k = float(np.mean(log_weights[log_weights > least]) - least)  # Hill's estimate
        else:
            log_weights = smoothed
    weights = np.exp(log_weights - log_weights.max())
    return weights / weights.sum(), k


class Moments(NamedTuple):
    """Means and standard deviations of quantities, with their errors, all of shape (p,)."""

    mean: np.ndarray
    sd: np.ndarray
    mean_error: np.ndarray
    sd_error: np.ndarray


def moments(values: np.ndarray, weights: np.ndarray, points: Points) -> Moments:
    """Return the moments of quantities by weighted points.

    Parameters
    ----------
    values : ndarray, shape (S, p)
        Of the quantities at the points.
    weights : ndarray, shape (S,)
        Of the points.
    points : Points
        In pairs.
    """
    relative, known = weights * len(weights), points.gaussian
    mean = weights @ values
    away = values - mean
    square = known[:, None] * (_along(points.z, away, weights) ** 2 - 1)
    constant = np.broadcast_to((known - 1)[:, None], square.shape)
    controls = np.stack([square, constant])
    shift, mean_error = _corrected(relative[:, None] * away, controls)
    variance = weights @ away**2
    more, error = _corrected(relative[:, None] * (away**2 - variance), controls)
    sd = np.sqrt(np.maximum(variance + more - shift**2, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return Moments(mean + shift, sd, mean_error, error / (2 * sd))


def _along(z: np.ndarray, away: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the coordinate of each quantity, shape (S, p): standard normal, and a sum of ``z``."""
    scaled = np.sqrt(weights)[:, None]
    direction = np.linalg.lstsq(scaled * z, scaled * away, rcond=None)[0]
    length = np.linalg.norm(direction, axis=0)
    return z @ (direction / np.where(length > 0, length, 1.0))


def _corrected(influence: np.ndarray, controls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what controls of mean 0 say that a mean is off by, and the error that is left.

    Parameters
    ----------
    influence : ndarray, shape (S, p)
        Of each point on a mean.
    controls : ndarray, shape (c, S, p)
        Of known mean 0.
    """
    pairs = (influence[::2] + influence[1::2]) / 2
    known = (controls[:, ::2] + controls[:, 1::2]) / 2
    means = known.mean(axis=1)
    centered, around = known - means[:, None], pairs - pairs.mean(axis=0)
    inner = np.einsum("asp,bsp->pab", centered, centered)
    outer = np.einsum("asp,sp->pa", centered, around)
    slopes = np.einsum("pab,pb->ap", np.linalg.pinv(inner, hermitian=True), outer)
    left = around - np.einsum("ap,asp->sp", slopes, centered)
    error = np.sqrt((left**2).sum(axis=0) / len(left) / max(1, len(left) - 3))
    return pairs.mean(axis=0) - (slopes * means).sum(axis=0), error
