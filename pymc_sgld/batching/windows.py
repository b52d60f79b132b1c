"""The order in which rows of a source are read: random blocks, whose rows are shuffled together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pymc_sgld.batching.order import RowOrder


@dataclass(frozen=True)
class WindowReads:
    """What updates read: all rows from the first to the last of them, in the order of a seed."""

    seed: int  # of the order
    updates: range  # counts of the updates

    def __len__(self) -> int:
        return len(self.updates)

    def __getitem__(self, part: slice) -> WindowReads:
        return WindowReads(self.seed, self.updates[part])


class Window(NamedTuple):
    """Blocks whose rows are shuffled together."""

    # the blocks, in the order of the file
    starts: np.ndarray
    stops: np.ndarray
    places: np.ndarray  # shape (rows,): where each of their rows goes


class WindowOrder(RowOrder):
    """Epochs in a new random order each, for rows that are quickly read in contiguous blocks only.

    In every epoch the blocks of the source are put in random order and cut into windows of
    ``window`` blocks. The rows of a window are shuffled together, and come one window after the
    other: every row exactly once an epoch. Batches of n rows cut this stream, across the ends of
    windows and epochs. Everything is a function of the seed and the count of updates.

    Batches are random subsets of a window, not of all rows. That makes a difference where rows of
    one block are alike, as in sorted data: see ``tuning.sorted_sources``.

    Parameters
    ----------
    block : int
        Rows of a block; the last one may have fewer.
    window : int
        Blocks of a window. Windows of an epoch have equally many, up to one.
    """

    is_contiguous = True  # the rows of consecutive updates are read one after the other

    def __init__(self, total_size: int, batch_size: int, block: int, window: int) -> None:
        super().__init__(total_size, batch_size)
        self.block = block
        self.blocks = -(-total_size // block)
        self.windows = -(-self.blocks // window)
        self._epochs: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Pickle no order of blocks: it is a function of the seed and the epoch."""
        return self.__dict__ | {"_epochs": {}}

    @property
    def blocks_of_window(self) -> float:
        """Blocks of a window, on average."""
        return self.blocks / self.windows

    def reads(
        self, rng: np.random.Generator, seed: int, first_update: int, updates: int
    ) -> WindowReads:
        """Return what consecutive updates read."""
        return WindowReads(seed, range(first_update, first_update + updates))

    def rows(self, reads: WindowReads) -> np.ndarray:
        """Return the rows of each update among those that are read, shape (k, batch_size)."""
        return self.first_rows(reads)[:, None] + np.arange(self.batch_size)

    def first_rows(self, reads: WindowReads) -> np.ndarray:
        """Return the first row of each update among those that are read, shape (k,)."""
        return np.arange(0, len(reads) * self.batch_size, self.batch_size)

    def locate(self, seed: int, row: int) -> tuple[int, int, int]:
        """Return epoch, window and place in the window of a row of the stream."""
        epoch, row = divmod(row, self.total_size)
        ends = self._layout(seed, epoch)[1]
        window = int(np.searchsorted(ends, row, side="right"))
        return epoch, window, row - (int(ends[window - 1]) if window else 0)

    def following(self, epoch: int, window: int) -> tuple[int, int]:
        """Return the window after one."""
        return (epoch, window + 1) if window + 1 < self.windows else (epoch + 1, 0)

    def window(self, seed: int, epoch: int, number: int) -> Window:
        """Return a window of an epoch."""
        blocks = np.sort(np.array_split(self._layout(seed, epoch)[0], self.windows)[number])
        starts = blocks * self.block
        stops = np.minimum(starts + self.block, self.total_size)
        rng = np.random.default_rng((seed, epoch, 1 + number))
        return Window(starts, stops, rng.permutation(int((stops - starts).sum())))

    def _layout(self, seed: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the order of the blocks of an epoch, and the rows to the end of each window."""
        if (seed, epoch) not in self._epochs:
            while len(self._epochs) > 3:  # two epochs of a chain and of its coupled chain
                self._epochs.pop(next(iter(self._epochs)))
            order = np.random.default_rng((seed, epoch)).permutation(self.blocks)
            short = self.blocks * self.block - self.total_size
            lengths = np.where(order == self.blocks - 1, self.block - short, self.block)
            ends = np.cumsum([part.sum() for part in np.array_split(lengths, self.windows)])
            self._epochs[seed, epoch] = order, ends
        return self._epochs[seed, epoch]
