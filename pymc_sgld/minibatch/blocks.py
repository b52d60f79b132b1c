"""All rows of a table, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np

from pymc_sgld.minibatch.density import Table
from pymc_sgld.sources.reader import read_ahead

BLOCK = 4096  # rows: what a block costs is arithmetic, in arrays that stay near the processor


def read_blocks(table: Table) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Give the rows of a table in blocks, each with its first row.

    All blocks are as long as a batch of the table: the last two may overlap. Sources are read by
    whole chunks, while the caller computes.
    """
    size, rows = table.batch_size, table.total_size
    starts = [*range(0, rows - size, size), rows - size]
    if not table.data:
        yield from ((start, []) for start in starts)
        return
    chunk = max((source.chunk for source in table.sources), default=1)
    length = chunk * -(-size // chunk)

    def read(start: int) -> list[np.ndarray]:
        return [item.array[start : start + length] for item in table.data]

    calls = [partial(read, start) for start in range(0, rows, length)]
    parts = read_ahead(calls) if table.sources else (call() for call in calls)
    yield from zip(starts, _cut(parts, starts, size), strict=True)


def take_rows(table: Table, rows: np.ndarray) -> list[np.ndarray]:
    """Return the data of some rows of a table, in ascending order; sources are read through."""
    if not table.sources:
        return [np.asarray(item.array[rows]) for item in table.data]
    parts: list[list[np.ndarray]] = []
    seen = 0
    for start, arrays in read_blocks(table):
        end = start + table.batch_size
        first, last = np.searchsorted(rows, [seen, end])
        parts.append([array[rows[first:last] - start] for array in arrays])
        seen = end
    return [np.concatenate(found) for found in zip(*parts, strict=True)]


def _cut(
    parts: Iterable[list[np.ndarray]], starts: Sequence[int], size: int
) -> Iterator[list[np.ndarray]]:
    """Cut blocks of ``size`` rows out of parts that follow each other."""
    parts = iter(parts)
    arrays, first = next(parts), 0
    end = len(arrays[0])
    for start in starts:
        while end < start + size:
            kept = [array[start - first :] for array in arrays]
            arrays = [np.concatenate(pair) for pair in zip(kept, next(parts), strict=True)]
            first, end = start, start + len(arrays[0])
        yield [array[start - first : start - first + size] for array in arrays]
