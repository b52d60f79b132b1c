"""All rows of a table, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from pymc_sgld.minibatch.density import Table
from pymc_sgld.sources.reader import read_ahead

BLOCK = 16_384  # rows: long enough that what a block costs is arithmetic


def read_blocks(table: Table) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Give the rows of a table in blocks, each with its first row.

    All blocks are as long as a batch of the table: the last two may overlap. Those of sources are
    read while the caller computes.
    """
    size = table.batch_size
    starts = [*range(0, table.total_size - size, size), table.total_size - size]

    def read(start: int) -> list[np.ndarray]:
        return [item.array[start : start + size] for item in table.data]

    calls = [partial(read, start) for start in starts]
    blocks = read_ahead(calls) if table.sources else (call() for call in calls)
    yield from zip(starts, blocks, strict=True)
