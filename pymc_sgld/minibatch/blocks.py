"""Rows of a table: all of them, block by block, or some."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby, pairwise
from math import prod
from typing import Any, NamedTuple, Protocol

import numpy as np

from pymc_sgld.minibatch.density import LogDensity, Table
from pymc_sgld.sources.background import read_ahead
from pymc_sgld.sources.source import Source

BLOCK = 4096  # rows: what a block costs is arithmetic, in arrays that stay near the processor
_PART_ROWS, _PART_BYTES = 2**18, 2**26  # of a part, about: whole chunks of as many
_MOST_PARTS = 4096  # of a table: the parts of longer ones are longer
_SEED = 20190706  # fixed: what is found is a property of the model, not of a chain

Part = tuple[int, int]
"""The first row of a part of a table, and the row behind its last."""


class RowBlock(NamedTuple):
    """Rows of a table that are read at once, as many as a batch has."""

    first: int  # its first row
    old: int  # how many at its start were in the block before: the last two may overlap
    end: int  # the row behind its last
    data: list[np.ndarray]

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Return where some rows stand in the block: those, in ascending order, new in it."""
        ends = [self.first + self.old, self.end]
        return rows[slice(*np.searchsorted(rows, ends))] - self.first


def parts_of(table: Table) -> list[Part]:
    """Return the parts of a table whose sums are computed apart, and added in their order.

    They depend on the table alone, so that the sum is the same wherever each of them is computed.
    """
    size, rows = table.batch_size, table.total_size
    arrays = [item.array for item in table.data]
    row_bytes = sum(prod(array.shape[1:]) * array.dtype.itemsize for array in arrays)
    least = min(_PART_ROWS, _PART_BYTES // max(1, row_bytes))
    least = max(least, -(-rows // _MOST_PARTS), 1)
    unit = _read_at_once(table)
    starts = range(0, rows - size + 1, unit * -(-least // unit))
    return list(pairwise([*starts, rows]))


def read_blocks(table: Table, parts: Sequence[Part] | None = None) -> Iterator[RowBlock]:
    """Give the rows of a table in blocks.

    All blocks are as long as a batch of the table: the last two may overlap. Sources are read by
    whole chunks, while the caller computes.

    ``parts``: by default all rows are one. Of several, the last two blocks of each may overlap.
    """
    size, length = table.batch_size, _read_at_once(table)
    parts = [(0, table.total_size)] if parts is None else parts
    places = [
        (min(new, end - size), new) for first, end in parts for new in range(first, end, size)
    ]
    starts = [start for start, _ in places]

    def read(start: int, end: int) -> list[np.ndarray]:
        return [np.asarray(item.array[start:end]) for item in table.data]

    calls = [
        partial(read, start, min(start + length, end))
        for first, end in parts
        for start in range(first, end, length)
    ]
    whole = (read(start, start + size) for start in starts)
    blocks = _cut(read_ahead(calls), starts, size) if table.sources else whole
    for (start, new), data in zip(places, blocks, strict=True):
        yield RowBlock(start, new - start, start + size, data)


def by_part(table: Table, parts: Sequence[Part]) -> Iterator[tuple[Part, Iterator[RowBlock]]]:
    """Give the blocks of each of some parts of a table, which are read as one."""
    firsts = [first for first, _ in parts]
    grouped = groupby(read_blocks(table, parts), lambda block: bisect(firsts, block.first))
    yield from ((parts[place - 1], blocks) for place, blocks in grouped)


def _read_at_once(table: Table) -> int:
    """Return how many rows are read at once: whole chunks, and a block at least."""
    chunk = max((source.chunk for source in table.sources), default=1)
    return chunk * -(-table.batch_size // chunk)


class Job(Protocol):
    """What is computed of the parts of tables, here or by other processes."""

    density: LogDensity

    def portable(self) -> Job:
        """Return what another process can compute with."""


def over_parts(
    job: Job, i: int, parts: Sequence[Part], method: str, *arguments: Any, workers: Any = None
) -> Iterator[Any]:
    """Give what a method of a job gives for each part of a table (1 for the first), in order.

    It is called with ``i``, parts and the arguments: here with all of them, or by ``workers`` with
    one at a time. What has to be read is read by the process that computes.
    """
    if workers is None or len(parts) == 1 or job.density.tables[i - 1].groups:
        return getattr(job, method)(i, parts, *arguments)
    return workers.run(job, method, i, parts, arguments)


def picked(table: Table, rows: np.ndarray) -> Table:
    """Return some rows of a table, in ascending order."""
    arrays = rows_of(table, rows)
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


def rows_of(table: Table, rows: np.ndarray) -> list[np.ndarray]:
    """Return the data of some rows of a table, in ascending order; sources are read through."""
    if not table.sources:
        return [np.asarray(item.array[rows]) for item in table.data]
    parts: list[list[np.ndarray]] = []
    for block in read_blocks(table):
        places = block.places(rows)
        parts.append([array[places] for array in block.data])
    return [np.concatenate(found) for found in zip(*parts, strict=True)]


def _cut(
    parts: Iterable[list[np.ndarray]], starts: Sequence[int], size: int
) -> Iterator[list[np.ndarray]]:
    """Cut blocks of ``size`` rows out of parts that follow each other."""
    parts = iter(parts)
    arrays, first = next(parts), starts[0]
    end = first + len(arrays[0])
    for start in starts:
        while end < start + size:
            kept = [array[start - first :] for array in arrays]
            arrays = [np.concatenate(pair) for pair in zip(kept, next(parts), strict=True)]
            first, end = start, start + len(arrays[0])
        yield [array[start - first : start - first + size] for array in arrays]
