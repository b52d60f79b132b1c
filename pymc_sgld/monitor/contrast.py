r"""A part of a chain beside itself with half the step size.

A second chain, the shadow, makes two updates with :math:`\varepsilon / 2` where the chain makes one
with :math:`\varepsilon`. Both see the same Brownian motion, so they stay close, and the difference
of their averages is known far better than either average: it is the change of the bias, in means
as in variances, whatever its cause. A bias of order :math:`p` in :math:`\varepsilon` is
:math:`2^p / (2^p - 1)` times that change.

References
----------
Giles, Nagapetyan, Szpruch, Vollmer and Zygalakis (2020), Multilevel Monte Carlo for scalable
Bayesian computations, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

GROUPS = 20  # of consecutive draws, whose averages give the error
SHARE = 0.2  # of the draws of a chain, its last ones
FEWEST = 40  # draws of a contrast: two a group
SETTLE = 5  # draws before the first that counts


class Bias(NamedTuple):
    """Estimates with standard errors, each of shape (d,), in units of the posterior's sd.

    Attributes
    ----------
    shift, shift_error : ndarray
        Of the mean, over the standard deviation.
    inflation, inflation_error : ndarray
        Of the variance, relative.
    """

    shift: np.ndarray
    shift_error: np.ndarray
    inflation: np.ndarray
    inflation_error: np.ndarray


@dataclass
class Contrast:
    """The chain's own moments, and the differences of the shadow.

    Parameters
    ----------
    size : int
        Coordinates.
    draws : int
        Draws after tuning that the chain will make.
    factor : float
        By which a difference is multiplied, ``2^p / (2^p - 1)``.
    """

    size: int
    draws: int
    factor: float
    position: np.ndarray = field(default_factory=lambda: np.zeros(0))
    previous_noise: np.ndarray = field(default_factory=lambda: np.zeros(0))
    updates: int = 0
    failed: bool = False
    _count: int = 0
    _compared: int = 0

    def __post_init__(self) -> None:
        self._mean, self._squares = np.zeros(self.size), np.zeros(self.size)
        self._sums = np.zeros((GROUPS, 2, self.size))
        self._counts = np.zeros(GROUPS)

    @property
    def length(self) -> int:
        """Draws with a shadow; none in a short chain."""
        length = int(SHARE * self.draws)
        return length if length >= FEWEST + SETTLE else 0

    @property
    def active(self) -> bool:
        """Whether the next draw has a shadow."""
        return not self.failed and self.draws - self.length <= self._count < self.draws

    def record(self, position: np.ndarray) -> None:
        """Take in a draw of the chain without a shadow."""
        self._count += 1
        away = position - self._mean
        self._mean = self._mean + away / self._count
        self._squares = self._squares + away * (position - self._mean)

    def compare(self, position: np.ndarray, shadow: np.ndarray) -> None:
        """Take in a draw of the chain and of its shadow."""
        self._count += 1
        self.position = shadow
        self._compared += 1
        if self._compared > SETTLE:
            group = (self._compared - SETTLE - 1) * GROUPS // (self.length - SETTLE)
            mine, other = position - self._mean, shadow - self._mean
            self._sums[group] += [mine - other, mine**2 - other**2]
            self._counts[group] += 1

    def bias(self) -> Bias | None:
        """Return what the differences say, or None where there are too few."""
        if self.failed or not self._counts.all():
            return None
        variance = self._squares / (self.draws - self.length - 1)
        with np.errstate(all="ignore"):
            groups = self._sums / self._counts[:, None, None]
            groups = self.factor * groups / np.stack([np.sqrt(variance), variance])
        mean, error = groups.mean(axis=0), groups.std(axis=0, ddof=1) / np.sqrt(GROUPS)
        return Bias(mean[0], error[0], mean[1], error[1])
