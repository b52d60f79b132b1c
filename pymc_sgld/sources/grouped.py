"""Sources whose rows are groups, each with all of its own rows.

Groups are read quickly where their rows lie one after the other. So rows that are stored in
another order are sorted once, into a temporary file: a pass over the source appends each row to
its part of the file, and each part is sorted in memory. What is held is the group of each row,
twice, and one part.
"""

from __future__ import annotations

import shutil
import tempfile
from itertools import pairwise
from typing import Any

import numpy as np

from pymc_sgld.errors import DataError
from pymc_sgld.progress import progress
from pymc_sgld.sources.shared import Shared
from pymc_sgld.sources.source import ArraySource, Source

BLOCK_BYTES, PART_BYTES = 2**23, 2**26  # that are read at once, and that are sorted in memory


class GroupOrder:
    """The rows of sources in the order of their groups.

    Parameters
    ----------
    groups : ndarray of int, shape (groups,)
        All groups, in the order that their rows are to have: a random one, unless the rows are
        stored in it.
    counts : ndarray, shape (groups,)
        How many rows each has, in the same order.

    ``first``, shape (groups + 1,): where the rows of each group begin, and where all of them end.
    """

    def __init__(
        self, levels: np.ndarray, groups: np.ndarray, counts: np.ndarray, in_place: bool
    ) -> None:
        self._levels, self._groups, self.in_place = levels, groups, in_place
        self._first = np.concatenate([[0], np.cumsum(counts, dtype="int64")])
        self.first = ArraySource(self._first)
        self._found: dict[Source, Source] = {}

    def of(self, source: Source) -> Source:
        """Return the rows of a source in this order: itself, or a sorted copy."""
        if self.in_place:
            return source
        if source not in self._found:
            self._found[source] = self._sorted(source)
        return self._found[source]

    def _sorted(self, source: Source) -> Source:
        rows, row_bytes = len(source), max(1, source.row_bytes)
        written = _file_for(source)
        ranks = np.empty(rows, np.min_scalar_type(len(self._groups)))
        rank_of = np.empty(len(self._groups), ranks.dtype)
        rank_of[self._groups] = np.arange(len(self._groups))
        cut = self._first[:-1] // max(1, PART_BYTES // row_bytes)
        _, begins, part_of = np.unique(cut, return_index=True, return_inverse=True)
        begins = np.append(self._first[begins], rows)
        filled = begins[:-1].copy()
        length = source.chunk * max(1, BLOCK_BYTES // row_bytes // source.chunk)
        starts = range(0, rows, length)
        message = f'sorting "{source.name}" by groups'
        with progress(message, len(starts) + len(filled)) as update:
            for start in starts:
                block = source[start : start + length]
                rank = rank_of[self._levels[start : start + length]]
                part = part_of[rank]
                order = np.argsort(part, kind="stable")
                found, at = np.unique(part[order], return_index=True)
                for p, here in zip(found.tolist(), np.split(order, at[1:]), strict=True):
                    to = slice(filled[p], filled[p] + len(here))
                    written.array[to], ranks[to] = block[here], rank[here]
                    filled[p] += len(here)
                update()
            for start, stop in pairwise(begins.tolist()):
                order = np.argsort(ranks[start:stop], kind="stable")
                written.array[start:stop] = written.array[start:stop][order]
                update()
        return ArraySource(written).named(source.name)


def _file_for(source: Source) -> Shared:
    """Return a temporary file for a copy of a source."""
    folder, needed = tempfile.gettempdir(), len(source) * source.row_bytes
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f'a copy of "{source.name}" with its rows in the order of their groups takes '
            f"{needed:,} bytes, and {folder} has room for {free:,}: set the environment variable "
            "TMPDIR to a folder with more, store the rows in the order of their groups, or pass "
            "marginalize=False."
        )
    return Shared(source.shape, source.dtype, folder)


class Grouped(Source):
    """The groups of a class, with the rows that a source has of each.

    Parameters
    ----------
    begin : int
        The first group in this order.
    groups, longest : int
        How many groups there are, and the rows of the largest. What another one lacks is filled up
        by its first row.
    """

    def __init__(
        self, source: Source, order: GroupOrder, begin: int, groups: int, longest: int
    ) -> None:
        rows = order.first[begin : begin + groups + 1]
        chunk = source.chunk * groups // max(1, rows[-1] - rows[0]) if order.in_place else 1
        super().__init__((groups, longest, *source.shape[1:]), source.dtype, min(chunk, groups))
        self.name, self._source, self._order = source.name, source, order
        self._begin, self._first = begin, order.first
        self._rows: Source | None = None
        self.is_shuffled = not order.in_place

    def sort(self) -> None:
        """Have the rows in the order of their groups, if they are not."""
        self._rows = self._order.of(self._source)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return groups."""
        if self._rows is None:
            self.sort()
        assert self._rows is not None
        first = self._first[self._begin + start : self._begin + stop + 1]
        places = places_of(first[:-1], np.diff(first), self.shape[1])
        begin = min(int(first[0]), len(self._rows) - 1)
        end = max(int(first[-1]), begin + 1)
        return self._rows[begin:end][np.minimum(places, end - 1) - begin]

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_source": None, "_order": None}


def places_of(first: np.ndarray, counts: np.ndarray, longest: int) -> np.ndarray:
    """Return where the rows of groups are, shape (groups, longest), in rows sorted by group.

    What a group lacks is its first row. Of one without rows, it is where its first would be.
    """
    within = np.arange(longest)
    return first[:, None] + np.where(within < counts[:, None], within, 0)


class OfGroups(ArraySource):
    """An array with an entry for each group of a class, which may change before it is pickled."""

    def __init__(self, array: np.ndarray) -> None:
        super().__init__(array)
        self._picked: np.ndarray | None = None

    @property
    def sample(self) -> np.ndarray | None:
        """Entries of the groups that were picked, as they are now."""
        return None if self._picked is None else self._array[self._picked]

    @sample.setter
    def sample(self, value: np.ndarray | None) -> None:
        assert value is None, "keep tells which groups they are"
        self._picked = None

    def keep(self, picked: np.ndarray, rows: np.ndarray) -> None:
        """Keep which groups they are."""
        self._picked = picked

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_picked": None}
