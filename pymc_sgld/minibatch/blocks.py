"""Rows of a table: all of them, block by block, or some."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from pymc_sgld.minibatch.density import Table
from pymc_sgld.sources.background import read_ahead
from pymc_sgld.sources.source import Source

BLOCK = 4096  # rows: what a block costs is arithmetic, in arrays that stay near the processor
_SEED = 20190706  # fixed: what is found is a property of the model, not of a chain


def read_blocks(table: Table) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Give the rows of a table in blocks, each with its first row.

    All blocks are as long as a batch of the table: the last two may overlap. Sources are read by
    whole chunks, while the caller computes.
    """
    size, rows = table.batch_size, table.total_size
    starts = [*range(0, rows - size, size), rows - size]
    if not table.sources:
        for start in starts:
            yield start, [np.asarray(item.array[start : start + size]) for item in table.data]
        return
    chunk = max(source.chunk for source in table.sources)
    length = chunk * -(-size // chunk)

    def read(start: int) -> list[np.ndarray]:
        return [item.array[start : start + length] for item in table.data]

    parts = read_ahead([partial(read, start) for start in range(0, rows, length)])
    yield from zip(starts, _cut(parts, starts, size), strict=True)


def picked(table: Table, rows: np.ndarray) -> Table:
    """Return some rows of a table, in ascending order."""
    arrays = _take(table, rows)
    data = [replace(item, array=array) for item, array in zip(table.data, arrays, strict=True)]
    members = table.members if table.members is None else table.members[rows]
    return replace(table, total_size=len(rows), data=data, members=members)


def sampled(table: Table, rows: int) -> Table:
    """Return a table with some rows of another, in blocks of the same length, or the table."""
    samples = [source.sample for source in table.sources]
    if any(sample is None for sample in samples):
        return table
    known = min([table.total_size, *[len(sample) for sample in samples if sample is not None]])
    rows = int(rows / table.rows_each)
    size = table.batch_size * min(-(-rows // table.batch_size), known // table.batch_size)
    if not size or table.total_size < 2 * size:
        return table
    places = np.sort(np.random.default_rng(_SEED).choice(table.total_size, size, replace=False))

    def some(array: np.ndarray | Source) -> np.ndarray:
        if isinstance(array, np.ndarray):
            return array[places]
        assert array.sample is not None
        return array.sample[:size]  # they are in random order

    data = [replace(item, array=some(item.array)) for item in table.data]
    return replace(table, total_size=size, data=data)


def _take(table: Table, rows: np.ndarray) -> list[np.ndarray]:
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
