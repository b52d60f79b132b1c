r"""What an order of rows is, and what batches that are epochs of rows have in common.

In an epoch every row is read once: what one batch has too much of, the others have too little of.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

Reads = Any
"""What some updates read, in an order's own words: only it and what reads the data look inside.

It has a length, the number of updates, and slices of it are the reads of some of them.
"""


class RowOrder(ABC):
    """Which rows each update reads.

    Attributes
    ----------
    total_size, batch_size : int
        Rows of the data, and of a batch.
    by_epochs : bool
        Whether every row is read once an epoch; else batches are independent of each other.
    """

    by_epochs = True

    def __init__(self, total_size: int, batch_size: int) -> None:
        self.total_size, self.batch_size = total_size, batch_size

    @property
    @abstractmethod
    def is_contiguous(self) -> bool:
        """Whether a batch is one slice of the data."""

    @abstractmethod
    def reads(self, rng: np.random.Generator, seed: int, first_update: int, updates: int) -> Reads:
        """Return what consecutive updates read: a function of seed and counts, or of ``rng``."""

    @abstractmethod
    def rows(self, reads: Reads) -> np.ndarray:
        """Return the rows of each update in the data that are at hand, shape (k, batch_size)."""

    @abstractmethod
    def first_rows(self, reads: Reads) -> np.ndarray:
        """Return the first of them, shape (k,): all that is needed of batches that are slices."""

    @property
    def spread(self) -> float:
        """The variance of a batch's mean over half that of a difference of consecutive ones.

        But for the last one of the N / n batches of an epoch, the next has other rows of it.
        """
        return 1 / (1 + min(self.batch_size / self.total_size, 0.5)) if self.by_epochs else 1.0

    def accumulated(self, left: np.ndarray) -> np.ndarray:
        """Return what becomes of gradient noise of variance one, shape (d, d).

        The covariance of ``x <- left * x + noise`` that consecutive batches leave, with ``left`` of
        shape (d,) in (-1, 1), averaged over the updates of an epoch.
        """
        if self.by_epochs:
            return _over_epochs(self.total_size, self.batch_size, left)
        return independent(left)


def independent(left: np.ndarray) -> np.ndarray:
    """Return the covariance that noise without a memory leaves, shape (d, d)."""
    return 1 / (1 - np.outer(left, left))


def _over_epochs(total_size: int, batch_size: int, left: np.ndarray) -> np.ndarray:
    r"""Return less than for independent batches: those of an epoch make up for each other.

    With K batches of variance 1 and covariance -1/(K - 1), and :math:`\lambda_i \lambda_j = c`.
    """
    batches = max(2.0, total_size / batch_size)
    slow = batches * np.abs(1 - left).max() < 1e-3
    if slow:
        return np.full((len(left), len(left)), (batches + 1) / 6)
    one, other = left[:, None], left[None, :]
    both = one * other

    def mean_power(base: np.ndarray) -> np.ndarray:
        return base * (1 - base**batches) / (1 - base) / batches

    apart = (1 - one) * (1 - other) * (batches - 1)
    epoch = (1 - both**batches) / (1 - both) * batches / (batches - 1)
    epoch = epoch - (1 - one**batches) * (1 - other**batches) / apart
    earlier = both / (1 - both) / batches * epoch
    current = batches / (batches - 1) * (1 - mean_power(both)) / (1 - both)
    cancelled = 1 - mean_power(one) - mean_power(other) + mean_power(both)
    return earlier + current - cancelled / apart
