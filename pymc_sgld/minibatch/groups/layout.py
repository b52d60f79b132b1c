"""Groups of rows in the place of rows: classes of groups of about one size, their rows padded.

A batch is a number of groups with all of their rows. So that arrays have one shape at every update,
the groups of a class have as many rows as the largest of them; what a smaller one lacks is filled
up by its first row, which then counts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MOST_CLASSES = 3  # each is graphs of its own to compile: seconds
_WORTHWHILE = 0.25  # of the rows, that another class must save
SAVED = 100_000  # rows that it must save: to compile it takes as long as many passes over them
_SIZES = 64  # candidates for the largest size of a class


@dataclass(eq=False)
class SizeClass:
    """Groups of about one size.

    Attributes
    ----------
    name : str
        Says what they are.
    members : ndarray of int, shape (groups,)
        Which groups they are.
    rows : dict
        By the name of an observed variable, its rows in each group, shape (groups, longest).
    counted : dict
        By the same name, which of these are rows of the group, likewise.
    start : ndarray, shape (groups, q)
        Effects from which the mode of each group is searched.
    """

    name: str
    members: np.ndarray
    rows: dict[str, np.ndarray]
    counted: dict[str, np.ndarray]
    start: np.ndarray
    _padded: dict[Any, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.members)

    @property
    def longest(self) -> int:
        """Rows of a group, those that count nothing among them."""
        return sum(rows.shape[1] for rows in self.rows.values())

    @property
    def sizes(self) -> np.ndarray:
        """Rows of each group, shape (groups,)."""
        return np.sum([counted.sum(axis=1) for counted in self.counted.values()], axis=0)

    def padded(self, array: np.ndarray, name: str) -> np.ndarray:
        """Return the rows of an array by groups, shape (groups, longest, ...)."""
        return self._kept(array, name, self.rows[name])

    def of_groups(self, array: np.ndarray) -> np.ndarray:
        """Return the entries of an array that has one for each group, shape (groups, ...)."""
        return self._kept(array, "", self.members)

    def _kept(self, array: np.ndarray, name: str, entries: np.ndarray) -> np.ndarray:
        memory = array.__array_interface__["data"][0]  # views of one array are one
        key = name, memory, array.dtype.str, array.shape, array.strides
        if key not in self._padded:  # the array is kept, so that its memory is its own
            self._padded[key] = array, array[entries]
        return self._padded[key][1]


def classes_of(
    index: Mapping[str, np.ndarray], groups: int, q: int, dtype: str = "float64"
) -> list[SizeClass]:
    """Return groups in classes of about one size, from the smallest to the largest.

    Parameters
    ----------
    index : dict
        By the name of an observed variable, the group of each of its rows.
    groups : int
        How many groups there are.
    q : int
        Effects of a group.
    """
    counts = {name: np.bincount(of, minlength=groups) for name, of in index.items()}
    order = {name: np.argsort(of, kind="stable") for name, of in index.items()}
    total = np.sum(list(counts.values()), axis=0)
    found = []
    largest = _largest_sizes(total)
    for above, most in zip([-1, *largest[:-1]], largest, strict=True):
        members = np.flatnonzero((total > above) & (total <= most))
        rows, counted = {}, {}
        for name, of_group in counts.items():
            first = np.concatenate([[0], np.cumsum(of_group)[:-1]])[members]
            length = of_group[members]
            within = np.arange(max(1, int(length.max())))
            counted[name] = within < length[:, None]
            place = first[:, None] + np.where(counted[name], within, 0)
            rows[name] = order[name][np.minimum(place, len(order[name]) - 1)]
        sizes = total[members]
        least, most = int(sizes.min()), int(sizes.max())
        span = f"{least} to {most}" if least < most else f"{most}"
        name = f"{len(members)} groups of {span} rows"
        found.append(SizeClass(name, members, rows, counted, np.zeros((len(members), q), dtype)))
    return found


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
