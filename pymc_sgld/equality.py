"""Equality of states that hold arrays, and numbers that are not there yet."""

from __future__ import annotations

from typing import Any

import numpy as np


class Comparable:
    """Equal to another of its class where all attributes are: arrays entry by entry, NaN to NaN."""

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return _equal(vars(self), vars(other))

    __hash__ = None  # type: ignore[assignment]


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, np.ndarray | float):
        return bool(np.array_equal(one, other, equal_nan=True))
    return bool(one == other)
