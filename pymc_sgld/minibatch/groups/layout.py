"""Groups of rows in the place of rows: classes of groups of about one size, their rows padded.

A batch is a number of groups with all of their rows. So that arrays have one shape at every update,
the groups of a class have as many rows as the largest of them; what a smaller one lacks is filled
up by its first row, which then counts nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from pymc_sgld.sources.grouped import Grouped, GroupOrder, OfGroups, places_of
from pymc_sgld.sources.source import Source

MOST_CLASSES = 3  # each is graphs of its own to compile: seconds
_WORTHWHILE = 0.25  # of the rows, that another class must save
SAVED = 100_000  # rows that it must save: to compile it takes as long as many passes over them
_SIZES = 64  # candidates for the largest size of a class
_BLOCK = 2**20  # rows
_SEED = 20190723  # fixed: the order of groups is a property of the model, not of a chain


class SizeClass(ABC):
    """Groups of about one size.

    Parameters
    ----------
    members : ndarray of int, shape (groups,)
        Which groups they are.
    counts : dict
        By the name of an observed variable, how many of its rows each group has, shape (groups,).
    q : int
        Effects of a group.

    ``start``, shape (groups, q): effects from which the mode of each group is searched.
    """

    def __init__(
        self, members: np.ndarray, counts: Mapping[str, np.ndarray], q: int, dtype: str
    ) -> None:
        self.members, self.counts = members, dict(counts)
        self.start = np.zeros((len(members), q), dtype)
        sizes = self.sizes
        least, most = int(sizes.min()), int(sizes.max())
        span = f"{least} to {most}" if least < most else f"{most}"
        self.name = f"{len(members)} groups of {span} rows"
        self._kept: dict[Any, tuple[Any, Any]] = {}

    def __len__(self) -> int:
        return len(self.members)

    def longest_of(self, name: str) -> int:
        """Return how many rows of an observed variable a group has, with those that fill it up."""
        return max(1, int(self.counts[name].max()))

    @property
    def longest(self) -> int:
        """Rows of a group, those that count nothing among them."""
        return sum(map(self.longest_of, self.counts))

    @property
    def sizes(self) -> np.ndarray:
        """Rows of each group, shape (groups,)."""
        return np.sum(list(self.counts.values()), axis=0)

    @abstractmethod
    def padded(self, array: Any, name: str) -> Any:
        """Return the rows of an array, or of a source, by groups: shape (groups, longest, ...)."""

    @abstractmethod
    def of_groups(self, array: np.ndarray) -> Any:
        """Return the entries of an array that has one for each group, shape (groups, ...)."""

    @abstractmethod
    def as_read(self, array: np.ndarray) -> Any:
        """Return an array with an entry for each group of the class as a table reads it."""

    def _keep(self, array: np.ndarray, name: str, make: Callable[[], Any]) -> Any:
        """Return what was made of an array before, or make it: views of one array are one."""
        memory = array.__array_interface__["data"][0]
        key = name, memory, array.dtype.str, array.shape, array.strides
        if key not in self._kept:  # the array is kept, so that its memory is its own
            self._kept[key] = array, make()
        return self._kept[key][1]

    def __getstate__(self) -> dict[str, Any]:
        """Pickle no data: the tables have them."""
        return self.__dict__ | {"_kept": {}}


class InMemory(SizeClass):
    """Groups whose rows are in memory.

    ``rows``: by the name of an observed variable, its rows in each group, shape (groups, longest).
    """

    def __init__(
        self,
        members: np.ndarray,
        counts: Mapping[str, np.ndarray],
        q: int,
        dtype: str,
        rows: Mapping[str, np.ndarray],
    ) -> None:
        super().__init__(members, counts, q, dtype)
        self.rows = dict(rows)

    def padded(self, array: np.ndarray, name: str) -> np.ndarray:
        """Return the rows of an array by groups."""
        return self._keep(array, name, lambda: array[self.rows[name]])

    def of_groups(self, array: np.ndarray) -> np.ndarray:
        """Return entries of an array."""
        return self._keep(array, "", lambda: array[self.members])

    def as_read(self, array: np.ndarray) -> np.ndarray:
        """Return an array as it is."""
        return array

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"rows": {}}


class FromSources(SizeClass):
    """Groups whose rows are read from sources.

    Parameters
    ----------
    orders : dict
        By the name of an observed variable, the order of its rows.
    begin : int
        The first of the groups in these.
    """

    def __init__(
        self,
        members: np.ndarray,
        counts: Mapping[str, np.ndarray],
        q: int,
        dtype: str,
        orders: Mapping[str, GroupOrder],
        begin: int,
    ) -> None:
        super().__init__(members, counts, q, dtype)
        self._orders, self._begin = dict(orders), int(begin)
        self._grouped: dict[tuple[Source, str], Grouped] = {}

    def padded(self, array: Source, name: str) -> Grouped:
        """Return the rows of a source by groups."""
        if (array, name) not in self._grouped:
            at = self._orders[name], self._begin, len(self), self.longest_of(name)
            self._grouped[array, name] = Grouped(array, *at)
        return self._grouped[array, name]

    def of_groups(self, array: np.ndarray) -> Source:
        """Return entries of an array, as a source."""
        return self._keep(array, "", lambda: OfGroups(array[self.members]))

    def as_read(self, array: np.ndarray) -> Source:
        """Return an array as a source, which follows its changes."""
        return self._keep(array, "as read", lambda: OfGroups(array))

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_orders": {}, "_grouped": {}}


def classes_of(
    index: Mapping[str, np.ndarray], groups: int, q: int, dtype: str = "float64"
) -> list[InMemory]:
    """Return groups in classes of about one size, from the smallest to the largest.

    ``index``: by the name of an observed variable, the group of each of its rows.
    """
    counts = {name: np.bincount(of, minlength=groups) for name, of in index.items()}
    order = {name: np.argsort(of, kind="stable") for name, of in index.items()}
    found = []
    for members in members_of(counts.values()):
        rows = {}
        for name, of_group in counts.items():
            first = np.concatenate([[0], np.cumsum(of_group)[:-1]])[members]
            length = of_group[members]
            place = places_of(first, length, max(1, int(length.max())))
            rows[name] = order[name][np.minimum(place, len(order[name]) - 1)]
        own = {name: of_group[members] for name, of_group in counts.items()}
        found.append(InMemory(members, own, q, dtype, rows))
    return found


def classes_of_sources(
    levels: Mapping[str, np.ndarray], groups: int, q: int, dtype: str = "float64"
) -> list[FromSources]:
    """Return the same for rows that are read from sources.

    Where these do not have the rows of one group after the other already, their order is to be
    another one anyway: then groups are in random order, so that any that follow each other are a
    random part of their class.

    ``levels``: by the name of an observed variable, the group of each of its rows.
    """
    counts = {name: counted(of, groups) for name, of in levels.items()}
    classes = members_of(counts.values())
    order = np.concatenate(classes)
    in_place = all(_is_sorted(of, order) for of in levels.values())
    if not in_place:
        rng = np.random.default_rng(_SEED)
        classes = [rng.permutation(members) for members in classes]
        order = np.concatenate(classes)
    orders = {
        name: GroupOrder(of, order, counts[name][order], in_place) for name, of in levels.items()
    }
    begins = np.cumsum([0, *map(len, classes)])
    return [
        FromSources(members, {n: c[members] for n, c in counts.items()}, q, dtype, orders, begin)
        for members, begin in zip(classes, begins, strict=False)
    ]


def counted(levels: np.ndarray, groups: int) -> np.ndarray:
    """Return how many rows each group has, block by block: a sum by NumPy copies its input."""
    found = np.zeros(groups, "int64")
    length = max(_BLOCK, groups)
    for start in range(0, len(levels), length):
        found += np.bincount(levels[start : start + length], minlength=groups)
    return found


def _is_sorted(levels: np.ndarray, order: np.ndarray) -> bool:
    """Whether rows lie in an order of groups, one group after the other."""
    rank = np.empty(len(order), "int64")
    rank[order] = np.arange(len(order))
    last = 0
    for start in range(0, len(levels), _BLOCK):
        block = rank[levels[start : start + _BLOCK]]
        if block[0] < last or (np.diff(block) < 0).any():
            return False
        last = block[-1]
    return True


def members_of(counts: Collection[np.ndarray]) -> list[np.ndarray]:
    """Return which groups are in each class, from the smallest to the largest.

    ``counts``, shape (groups,): rows of each group, of each observed variable.
    """
    total = np.sum(list(counts), axis=0)
    largest = _largest_sizes(total)
    return [
        np.flatnonzero((total > above) & (total <= most))
        for above, most in zip([-1, *largest[:-1]], largest, strict=True)
    ]


def _largest_sizes(sizes: np.ndarray) -> list[int]:
    """Return the largest size of each class, so that few rows are read that count nothing."""
    values, counts = np.unique(sizes, return_counts=True)
    if len(values) > _SIZES:
        places = np.unique(np.quantile(sizes, np.linspace(0, 1, _SIZES), method="higher"))
        counts = np.diff(np.searchsorted(np.sort(sizes), places, side="right"), prepend=0)
        values = places
    held = np.concatenate([[0], np.cumsum(counts)])
    # cost[i]: rows of the groups up to the i-th size, in so many classes as the round
    cost = [held[i] * values[i - 1] if i else 0 for i in range(len(values) + 1)]
    chosen: list[list[int]] = [[i] for i in range(len(values) + 1)]
    best = chosen[-1]
    for _ in range(MOST_CLASSES - 1):
        new_cost, new_chosen = [0], [[0]]
        for i in range(1, len(values) + 1):
            k = min(range(i), key=lambda k: cost[k] + (held[i] - held[k]) * values[i - 1])
            new_cost.append(cost[k] + (held[i] - held[k]) * values[i - 1])
            new_chosen.append([*chosen[k], i] if k else [i])
        if cost[-1] - new_cost[-1] < max(SAVED, _WORTHWHILE * cost[-1]):
            break
        cost, chosen = new_cost, new_chosen
        best = chosen[-1]
    return [int(values[i - 1]) for i in best]
