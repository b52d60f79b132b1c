"""The difference estimator of a sum over all rows, from a sample of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Sums:
    """The sum of numbers that come in blocks, and the sum of their squared distances."""

    def __init__(self) -> None:
        self.count, self._first, self._sum, self._squares = 0, 0.0, 0.0, 0.0

    def add(self, values: np.ndarray) -> None:
        """Take in some numbers."""
        if not self.count:
            self._first = float(values.mean())  # distances from here lose no digits
        self.count += values.size
        off = values - self._first
        self._sum += float(off.sum())
        self._squares += float(np.square(off).sum())

    @property
    def total(self) -> float:
        """The sum of all numbers."""
        return self._sum + self.count * self._first

    def squares(self, point: float) -> float:
        """Return the sum of the squared distances from a point."""
        off = point - self._first
        return self._squares - 2 * off * self._sum + self.count * off**2


class EstimatedTotal(NamedTuple):
    """An estimate of a sum over all rows."""

    total: float
    se: float  # of the total as an estimate for other data: sqrt(N) times the sd of a row
    subsampling_se: float  # what is due to the choice of the rows


def difference_estimator(
    exact: np.ndarray, approximate: np.ndarray, everywhere: Sums
) -> EstimatedTotal:
    r"""Return the estimate of a sum over all rows from a sample of them.

    Of all N rows :math:`i` an approximation :math:`a_i` is known, and :math:`e_i` itself of m rows
    that were picked at random without replacement. With the mean and the variance :math:`s^2` of
    :math:`d_i = e_i - a_i` in the sample,

    .. math::

        \hat t = \sum_{i=1}^N a_i + N \bar d, \qquad
        v = N^2 \left(1 - \frac mN\right) \frac{s^2}{m} ,

    and with :math:`c = \hat t / N` the variance of the :math:`e_i` among all rows, times N, is

    .. math:: \sum_{i=1}^N (a_i - c)^2 + N\, \overline{(e_i - c)^2 - (a_i - c)^2} + v / N .

    Parameters
    ----------
    exact, approximate : ndarray, shape (m,)
        In the rows of the sample.
    everywhere : Sums
        The approximation in all rows.

    References
    ----------
    Magnusson and others (2020), Leave-one-out cross-validation for Bayesian model comparison in
    large data.
    """
    count, sampled = everywhere.count, len(exact)
    off = exact - approximate
    total = everywhere.total + count * float(off.mean())
    spread = float(off.var(ddof=1)) if sampled > 1 else np.inf
    variance = count**2 * (1 - sampled / count) * spread / sampled if sampled < count else 0.0
    c = total / count
    correction = float(np.mean((exact - c) ** 2 - (approximate - c) ** 2))
    squares = everywhere.squares(c) + count * correction + variance / count
    return EstimatedTotal(total, float(np.sqrt(max(0.0, squares))), float(np.sqrt(variance)))


def rows_for(share: float, estimate: EstimatedTotal, sampled: int, count: int) -> int:
    """Return how many rows make the error of the choice so large a share of the standard error."""
    if sampled >= count:
        return count
    spread = estimate.subsampling_se**2 / (1 / sampled - 1 / count)  # N^2 s^2
    wanted = (share * estimate.se) ** 2
    return min(count, int(np.ceil(1 / (wanted / spread + 1 / count)))) if spread else sampled
