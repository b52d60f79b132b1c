r"""The posterior as weighted points, as many as its moments need.

With estimates :math:`\log p_k(\theta)` from different rows, whose mean gives the weights, the mean
of a quantity :math:`f` would differ by about

.. math:: \mathrm{Cov}_w(f, \log p_k - \overline{\log p})

with the rows of one of them: the variance of these differences, divided by their number, is that of
what the choice of rows does to the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.tuning.importance.expansion import Expansion
from pymc_sgld.tuning.importance.points import LARGEST_K, Moments, Points, Proposal, moments, smooth
from pymc_sgld.tuning.posterior.covariance import Full
from pymc_sgld.tuning.posterior.variational import Gaussian

FIRST, MOST = 2000, 200_000
"""Points to begin with, and at most."""

FEWEST_ROWS = 2000
"""Of large tables, that are read at each point to begin with."""

LITTLE = 5e8
"""Rows that may be evaluated in any case, all points together."""

_FEW, _ROUNDS = 500, 4  # points that say where others should be, and how often they may
_ALIKE = 0.95  # share of the effective points of a Gaussian, from which the posterior is like one
_ENOUGH = 3  # effective points for each number of a mean and covariance
_CHECKED = 20  # points where all rows are read, to see that those that are read are enough
_SLIPS, _SLIP = 6, 0.1  # errors, and log density, by which the rows that are read may be off
_SEED = 20190717  # fixed: what is found is a property of the model, not of a chain


@dataclass(frozen=True)
class Weighted:
    """Points of the posterior.

    Attributes
    ----------
    density : Expansion
    points : Points
    estimates : ndarray, shape (S, K)
        Of the log density.
    weights : ndarray, shape (S,)
        With a sum of 1.
    k : float
        Shape of the tail of the weights.
    """

    density: Expansion
    points: Points
    estimates: np.ndarray
    weights: np.ndarray
    k: float

    @classmethod
    def at(cls, points: Points, density: Expansion) -> Weighted:
        """Evaluate the density at points."""
        return cls._of(density, points, density(points.positions))

    @classmethod
    def _of(cls, density: Expansion, points: Points, estimates: np.ndarray) -> Weighted:
        log_weights = estimates.mean(axis=1) - points.log_density
        weights, k = smooth(log_weights, far=points.proposal.by_student)
        return cls(density, points, estimates, weights, k)

    def and_more(self, count: int, rng: np.random.Generator) -> Weighted:
        """Return these and further points."""
        proposal = self.points.proposal
        more = proposal.points(count, rng)
        points = Points(proposal, np.concatenate([self.points.z, more.z]))
        found = np.concatenate([self.estimates, self.density(more.positions)])
        return self._of(self.density, points, found)

    @property
    def effective(self) -> float:
        """How many points of equal weight would be as many."""
        return float(1 / np.sum(self.weights**2))

    def moments(self, values: np.ndarray) -> Moments:
        """Return the moments of quantities, shape (S, p), with the errors of points and rows."""
        found = moments(values, self.weights, self.points)
        mean_error, sd_error = self.by_rows(values, found)
        return found._replace(
            mean_error=np.hypot(found.mean_error, mean_error),
            sd_error=np.hypot(found.sd_error, sd_error),
        )

    def tail_of(self, values: np.ndarray) -> float:
        """Return the shape k of the tail of what adds up to a variance, infinite if that is."""
        away = np.abs(values - self.weights @ values)
        if not np.isfinite(away[self.weights > 0]).all():
            return np.inf
        with np.errstate(divide="ignore"):
            return smooth(np.log(self.weights) + 2 * np.log(away))[1]

    def agrees_with_all_rows(self, count: int) -> bool:
        """Whether the estimates are right, up to their error, at the farthest of some points."""
        several = np.random.default_rng(_SEED).choice(len(self.weights), 4 * count, p=self.weights)
        several = np.unique(several)
        distance = (self.points.z[several] ** 2).sum(axis=1)
        chosen = several[np.argsort(-distance)[:count]]
        off = (
            self.estimates[chosen]
            - self.density.of_all_rows(self.points.positions[chosen])[:, None]
        )
        off -= off.mean(axis=0)
        parts = off.shape[1]
        error = off.std(axis=1, ddof=1) / np.sqrt(parts)
        return bool((np.abs(off.mean(axis=1)) <= _SLIP + _SLIPS * error).all())

    def by_rows(self, values: np.ndarray, found: Moments) -> tuple[np.ndarray, np.ndarray]:
        """Return the errors of means and sds, shape (p,), that come from the choice of rows."""
        with np.errstate(invalid="ignore"):
            apart = self.estimates - self.estimates.mean(axis=1, keepdims=True)
        apart[self.weights == 0] = 0  # outside the support
        weighted = self.weights[:, None] * (apart - self.weights @ apart)
        away = values - found.mean
        count = self.estimates.shape[1]
        errors = [
            np.sqrt(((weighted.T @ each) ** 2).sum(axis=0) / max(1, count * (count - 1)))
            for each in (away, away**2)
        ]
        with np.errstate(divide="ignore", invalid="ignore"):
            return errors[0], errors[1] / (2 * found.sd)


class Precise(NamedTuple):
    """Weighted points, and how exact they are.

    Attributes
    ----------
    weighted : Weighted
    by_points, by_rows : float
        The greatest error of a mean or a standard deviation of a coordinate, in its standard
        deviations, by the number of points and by the choice of rows.
    passes : float
        What was read, in evaluations of the log-likelihood of all rows.
    """

    weighted: Weighted
    by_points: float
    by_rows: float
    passes: float


def weigh(
    data: FullData,
    gaussian: Gaussian,
    others: Sequence[np.ndarray],
    error: float,
    most_passes: float,
) -> Precise:
    """Return weighted points of a posterior, so many and with so many rows as an error asks for.

    Parameters
    ----------
    data : FullData
        The log density.
    gaussian : Gaussian
        Near the posterior.
    others : sequence of ndarray
        Values of the variables that the step does not move.
    error : float
        Of means and standard deviations, in standard deviations of the posterior.
    most_passes : float
        What may be read.
    """
    rows, passes = FEWEST_ROWS, 0.0
    allowed = max(most_passes, LITTLE / max(1, data.rows))
    while True:
        density = Expansion(data, gaussian, others, rows)
        proposal = _proposal(density, gaussian)
        rng = np.random.default_rng(_SEED)
        found = Weighted.at(proposal.points(FIRST, rng), density)
        by_points, by_rows = _errors(found)
        passes += density.passes
        if density.is_exact or by_rows <= error or not found.k <= LARGEST_K:
            break
        more = min(rows * max(4.0, 1.2 * (by_rows / error) ** 2), data.rows)
        if passes + 2 * FIRST * min(1.0, density.share * more / rows) > allowed:
            break
        rows = int(more)
    density.passes = passes
    while found.k <= LARGEST_K and by_points > error and len(found.weights) < MOST:
        wanted = len(found.weights) * ((by_points / error) ** 2 * 1.2 - 1)
        count = int(np.clip(wanted, FIRST // 4, 3 * len(found.weights)))
        count = min(count, MOST - len(found.weights))
        if density.passes + count * density.share > allowed:
            break
        found = found.and_more(count, rng)
        by_points, by_rows = _errors(found)
    if not density.is_exact and by_rows <= error and not found.agrees_with_all_rows(_CHECKED):
        by_rows = np.inf
    return Precise(found, by_points, by_rows, density.passes)


def _errors(found: Weighted) -> tuple[float, float]:
    """Return the greatest errors of coordinates by points and by rows, in standard deviations."""
    positions = found.points.positions
    known = moments(positions, found.weights, found.points)
    pairs = (known.mean_error, known.sd_error), found.by_rows(positions, known)
    by_points, by_rows = (float(np.nan_to_num(pair / known.sd, nan=np.inf).max()) for pair in pairs)
    return by_points, by_rows


def _proposal(density: Expansion, gaussian: Gaussian) -> Proposal:
    """Return where points are to come from: of few coordinates, where the weights say."""
    assert isinstance(gaussian.shape, Full)
    proposal = Proposal(gaussian.mean, gaussian.shape)
    if not proposal.by_student:
        return proposal
    size, rng = len(gaussian.mean), np.random.default_rng(_SEED)
    for _ in range(_ROUNDS):
        found = Weighted.at(proposal.points(_FEW, rng), density)
        by_gaussian = found.points.gaussian
        of_gaussian = by_gaussian.sum() ** 2 / np.sum(by_gaussian**2)
        enough = _ENOUGH * size * (size + 3) / 2
        if found.effective < enough or found.effective > _ALIKE * of_gaussian:
            break
        proposal = proposal.fitted(found.points, found.weights)
        if found.effective > _FEW / 2:
            break
    return proposal
