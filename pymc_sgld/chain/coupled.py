r"""A part of a chain beside itself with half the step size.

A second chain, the coupled chain, makes two updates with :math:`\varepsilon / 2` where the
chain makes one with :math:`\varepsilon`. Both see the same Brownian motion, so they stay close, and
the difference of their averages is known far better than either average: it is the change of the
bias, in means as in variances, whatever its cause. A bias of order :math:`p` in
:math:`\varepsilon` is :math:`2^p / (2^p - 1)` times that change.

References
----------
Giles, Majka, Szpruch, Vollmer and Zygalakis (2020), Multi-level Monte Carlo methods for the
approximation of invariant measures of stochastic differential equations, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pymc_sgld.dynamics.base import State
from pymc_sgld.equality import Comparable

GROUPS = 20  # of consecutive draws, whose averages give the error
SHARE = 0.2  # of the draws of a chain, its last ones
TUNING_SHARE = 0.5  # of the draws before
LEAST = 100  # draws of a coupled difference, where a chain has as many
FEWEST = 40  # draws of a coupled difference: two a group
SETTLE = 5  # draws before the first that counts


def coupled_draws(draws: int, share: float = SHARE) -> int:
    """Return how many of some draws are coupled: their last ones, or none if there are few."""
    length = min(draws, max(int(share * draws), LEAST))
    return length if length >= FEWEST + SETTLE else 0


class CoupledBias(NamedTuple):
    """Estimates with standard errors, each of shape (size,).

    Attributes
    ----------
    shift, shift_error : ndarray
        Of the mean, in standard deviations.
    inflation, inflation_error : ndarray
        Of the variance, relative.
    """

    shift: np.ndarray
    shift_error: np.ndarray
    inflation: np.ndarray
    inflation_error: np.ndarray


@dataclass(eq=False)
class CoupledDifference(Comparable):
    """The differences between a chain and its coupled chain, in what `ParameterValues` gives.

    Parameters
    ----------
    size : int
        Entries of the parameters.
    length : int
        Draws with a coupled chain.
    order : int
        Of the bias in the step size.
    """

    size: int
    length: int
    order: int
    state: State = ()  # of the coupled chain; empty before it starts
    updates: int = 0
    failed: bool = False
    _compared: int = 0

    def __post_init__(self) -> None:
        self._origin = np.zeros(self.size)
        self._own = np.zeros((2, self.size))
        self._differences = np.zeros((GROUPS, 2, self.size))
        self._counts = np.zeros(GROUPS)

    def compare(self, chain: np.ndarray, coupled: np.ndarray) -> None:
        """Take in the parameters of a draw of the chain and of its coupled chain, shape (size,)."""
        self._compared += 1
        if self._compared <= SETTLE:
            self._origin = chain
            return
        group = (self._compared - SETTLE - 1) * GROUPS // (self.length - SETTLE)
        with np.errstate(all="ignore"):  # Deterministics may overflow, or be NaN
            own, other = chain - self._origin, coupled - self._origin
            self._own += [own, own**2]
            self._differences[group] += [own - other, own**2 - other**2]
        self._counts[group] += 1

    def bias(self) -> CoupledBias | None:
        """Return what the differences say, or None where there are too few."""
        if self.failed or not self._counts.all():
            return None
        factor = 2**self.order / (2**self.order - 1)
        with np.errstate(all="ignore"):
            mean, square = self._own / self._counts.sum()
            shift, squares = np.moveaxis(self._differences / self._counts[:, None, None], 1, 0)
            squares = squares - 2 * mean * shift  # around the mean, not the origin
            variance = square - mean**2
            groups = factor * np.stack([shift / np.sqrt(variance), squares / variance])
            estimates, errors = groups.mean(axis=1), _errors_of_means(groups)
        return CoupledBias(estimates[0], errors[0], estimates[1], errors[1])


def _errors_of_means(groups: np.ndarray) -> np.ndarray:
    """Return the standard errors of means over axis 1 of groups that follow each other.

    Groups that are no longer than the memory of a chain are alike: by the correlation of
    neighbours, as in a process of first order.
    """
    away = groups - groups.mean(axis=1, keepdims=True)
    square = (away**2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = (away[:, 1:] * away[:, :-1]).sum(axis=1) / square
    alike = np.clip(np.nan_to_num(alike) + 1 / GROUPS, 0, 0.95)  # the sample's own is too small
    return np.sqrt(square / (GROUPS - 1) / GROUPS * (1 + alike) / (1 - alike))
