"""Which rows of data in memory each update reads: their order, drawn with NumPy.

An order is a pure function of a seed and the count of updates (``Reshuffle``) or of a random
generator (the other two), so that a restored chain replays its rows exactly.

Reading contiguous blocks of rows is faster than reading single random rows, and that is what keeps
the time of an update independent of the number of rows. ``Reshuffle`` therefore moves blocks of
rows of data that were shuffled once. A block is as long as the batch allows while at least
``MIN_BLOCKS`` blocks remain: with K blocks of a fixed shuffle, the variance of the gradient noise
has a relative error of about sqrt(2 / K) (and none for single rows).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pymc_sgld.batching.order import RowOrder

MIN_BLOCKS = 512
_STORAGE_SEED = 20110628  # fixed: the storage order is part of the construction, not of a chain


class StoredOrder(RowOrder):
    """An order of rows that are stored in memory, read in blocks of contiguous rows."""

    def __init__(self, total_size: int, batch_size: int, block_size: int = 1) -> None:
        super().__init__(total_size, batch_size)
        self.block_size = block_size

    @property
    def is_contiguous(self) -> bool:
        """Whether a batch is one block."""
        return self.block_size == self.batch_size

    def rows(self, reads: np.ndarray) -> np.ndarray:
        """Return the stored rows of each update; blocks wrap around the end of the storage."""
        rows = (reads[..., None] + np.arange(self.block_size)) % self.total_size
        return rows.reshape(len(reads), self.batch_size)

    def first_rows(self, reads: np.ndarray) -> np.ndarray:
        """Return the first row of the first block of each update."""
        return reads[:, 0]

    def storage_order(self) -> np.ndarray | None:
        """Return the permutation in which the rows are stored, or None: as they are."""
        return None


class WithReplacement(StoredOrder):
    """Every row of every batch is drawn independently and uniformly."""

    name, by_epochs = "with_replacement", False

    def reads(
        self, rng: np.random.Generator, seed: int, first_update: int, updates: int
    ) -> np.ndarray:
        """Return independent rows, shape (updates, batch_size)."""
        return rng.integers(self.total_size, size=(updates, self.batch_size))


class WithoutReplacement(StoredOrder):
    """Every batch is a uniform random subset of the rows, independent of other batches."""

    name, by_epochs = "without_replacement", False

    def reads(
        self, rng: np.random.Generator, seed: int, first_update: int, updates: int
    ) -> np.ndarray:
        """Return one random subset a row, shape (updates, batch_size)."""
        batches = [
            rng.choice(self.total_size, self.batch_size, replace=False, shuffle=False)
            for _ in range(updates)
        ]
        return np.stack(batches)


class FixedBlocks(StoredOrder):
    """One of the same blocks in every update, at random: what is known of one comes back.

    The rows are shuffled once, and a batch is a block. Where the batch size does not divide the
    number of rows, the last block ends with the rows, and begins with some of the one before.
    """

    by_epochs = False

    def __init__(self, total_size: int, batch_size: int) -> None:
        super().__init__(total_size, batch_size, batch_size)
        self.blocks = -(-total_size // batch_size)

    def reads(
        self, rng: np.random.Generator, seed: int, first_update: int, updates: int
    ) -> np.ndarray:
        """Return the first rows of independent blocks, shape (updates, 1)."""
        return self._starts(rng.integers(self.blocks, size=(updates, 1)))

    def in_turn(self, first: int, updates: int) -> np.ndarray:
        """Return what updates read that take one block after the other, shape (updates, 1)."""
        return self._starts(np.arange(first, first + updates)[:, None] % self.blocks)

    def places(self, reads: np.ndarray) -> np.ndarray:
        """Return which blocks these are, shape (updates,)."""
        return -(-reads[:, 0] // self.batch_size)

    def storage_order(self) -> np.ndarray:
        """Return the fixed shuffle behind the blocks."""
        return np.random.default_rng(_STORAGE_SEED).permutation(self.total_size)

    def _starts(self, places: np.ndarray) -> np.ndarray:
        return np.minimum(places * self.batch_size, self.total_size - self.batch_size)


class Reshuffle(StoredOrder):
    """Epochs in a new random order each: every row is read exactly once an epoch.

    The rows of all epochs form one stream, cut into blocks of ``block_size`` rows and batches of
    ``batch_size``. When the block size does not divide the number of rows, the ragged end of an
    epoch and the first rows of the next share a block (it wraps around the end of the storage), so
    shapes are static and no row is skipped or read twice in an epoch. Blocks that lie within an
    epoch are visited in random order.
    """

    name = "reshuffle"

    def __init__(self, total_size: int, batch_size: int) -> None:
        block_size = max(
            size
            for size in range(1, batch_size + 1)
            if batch_size % size == 0 and (size == 1 or total_size // size >= MIN_BLOCKS)
        )
        super().__init__(total_size, batch_size, block_size)
        self._epochs: dict[int, tuple[int, np.ndarray]] = {}  # the latest of each seed

    def __getstate__(self) -> dict[str, Any]:
        """Pickle no permutation: it is a function of the seed and the epoch."""
        return self.__dict__ | {"_epochs": {}}

    def reads(
        self, rng: np.random.Generator, seed: int, first_update: int, updates: int
    ) -> np.ndarray:
        """Return the blocks of the updates, shape (updates, batch_size // block_size)."""
        per_update = self.batch_size // self.block_size
        block, last = first_update * per_update, (first_update + updates) * per_update
        pieces = []
        while block < last:
            epoch = block * self.block_size // self.total_size
            starts, first_block = self._epoch(seed, epoch)
            piece = starts[block - first_block : last - first_block]
            pieces.append(piece)
            block += len(piece)
        return np.concatenate(pieces).reshape(updates, per_update)

    def _epoch(self, seed: int, epoch: int) -> tuple[np.ndarray, int]:
        """Return the starts of the blocks that begin in an epoch, and the first one's number."""
        cached = self._epochs.get(seed)
        if cached is None or cached[0] != epoch:
            while len(self._epochs) > 1:  # a chain and its coupled chain
                self._epochs.pop(next(iter(self._epochs)))
            self._epochs.pop(seed, None)
            self._epochs[seed] = cached = epoch, self._epoch_starts(seed, epoch)
        return cached[1], -(-epoch * self.total_size // self.block_size)

    def _epoch_starts(self, seed: int, epoch: int) -> np.ndarray:
        size, rows = self.block_size, self.total_size
        first = -(-epoch * rows // size)  # the first block that begins in this epoch
        stop = (epoch + 1) * rows // size  # the first that does not end in it
        offset = first * size - epoch * rows
        order = np.random.default_rng((seed, epoch)).permutation(stop - first)
        starts = offset + order * size
        if stop * size < (epoch + 1) * rows:  # the ragged end, shared with the next epoch
            starts = np.append(starts, stop * size - epoch * rows)
        return starts

    def storage_order(self) -> np.ndarray | None:
        """Return the fixed shuffle behind the blocks; single rows need none."""
        if self.block_size == 1:
            return None
        return np.random.default_rng(_STORAGE_SEED).permutation(self.total_size)


ORDERS = {order.name: order for order in (Reshuffle, WithReplacement, WithoutReplacement)}


def make_order(batching: str, total_size: int, batch_size: int) -> StoredOrder:
    """Return the row order of that name."""
    return ORDERS[batching](total_size, batch_size)
