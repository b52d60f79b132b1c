"""The order in which rows of a source are read: random blocks, whose rows are shuffled together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pymc_sgld.batching.epochs import Reshuffle, spread_of_epochs
from pymc_sgld.errors import SettingError
from pymc_sgld.sources.source import Source

BLOCK_BYTES = 2**17  # read at once: long enough for any disk to be quick
WINDOW_BYTES = 2**24  # shuffled together
LEAST_BLOCKS = 16  # of a window
_MOST_BYTES = 2**30  # of a window


class Window(NamedTuple):
    """Blocks whose rows are shuffled together.

    Attributes
    ----------
    starts, stops : ndarray
        The blocks, in the order of the file.
    places : ndarray, shape (rows,)
        Where each of their rows goes.
    """

    starts: np.ndarray
    stops: np.ndarray
    places: np.ndarray


class WindowOrder(Reshuffle):
    """Epochs in a new random order each, for rows that are quickly read in contiguous blocks only.

    In every epoch the blocks of the source are put in random order and cut into windows of
    ``window`` blocks. The rows of a window are shuffled together, and come one window after the
    other: every row exactly once an epoch. Batches of n rows cut this stream, across the ends of
    windows and epochs. Everything is a function of the seed and the count of updates.

    Batches are random subsets of a window, not of all rows. That makes a difference where rows of
    one block are alike, as in sorted data: see ``tuning.order``.

    Parameters
    ----------
    total_size, batch_size : int
        Rows of the source, and of a batch.
    block : int
        Rows of a block; the last one may have fewer.
    window : int
        Blocks of a window. Windows of an epoch have equally many, up to one.
    """

    def __init__(self, total_size: int, batch_size: int, block: int, window: int) -> None:
        self.total_size = total_size
        self.batch_size = self.block_size = batch_size
        self.spread = spread_of_epochs(total_size, batch_size)
        self.block = block
        self.blocks = -(-total_size // block)
        self.windows = -(-self.blocks // window)
        self._epochs: dict = {}

    @classmethod
    def of(cls, sources: list[Source], batch_size: int) -> WindowOrder:
        """Return the order for sources that are read together."""
        rows = len(sources[0])
        row_bytes = max(1, sum(source.row_bytes for source in sources))
        chunk = max(source.chunk for source in sources)
        block = min(rows, chunk * max(1, BLOCK_BYTES // row_bytes // chunk))
        window = max(LEAST_BLOCKS, WINDOW_BYTES // (block * row_bytes))
        if min(window * block, rows) * row_bytes > _MOST_BYTES:
            [source] = [source for source in sources if source.chunk == chunk][:1]
            raise SettingError(
                f'the source of "{source.name}" has chunks of {chunk} rows, {block * row_bytes:,} '
                f"bytes: {LEAST_BLOCKS} of them, which have to be in memory together, are too "
                "many. Store the data in smaller chunks, or write a copy by "
                "pymc_sgld.sources.shuffled."
            )
        return cls(rows, batch_size, block, window)

    @property
    def blocks_of_window(self) -> float:
        """Blocks of a window, on average."""
        return self.blocks / self.windows

    def starts(
        self, rng: np.random.Generator, seed: int, first_update: int, updates: int
    ) -> np.ndarray:
        """Return the seed and the count of each update, shape (updates, 2)."""
        counts = np.arange(first_update, first_update + updates)
        return np.column_stack([np.full(updates, seed, dtype="int64"), counts])

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

    def storage_order(self) -> None:
        """Leave the rows where they are."""
        return None
