"""Standard normal numbers: those of NumPy's generator, drawn by compiled code.

NumPy calls its bit generator for one number after the other. Compiled by Numba, the same algorithm
gives the same numbers, and leaves the generator in the same state, in half the time or less.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod

import numpy as np

WORTHWHILE = 2048  # numbers, from which it makes up for a call that takes longer


def standard_normal(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype
) -> np.ndarray:
    """Return what ``rng.standard_normal(shape, dtype)`` returns: float32 or float64."""
    size = prod(shape)
    if size < WORTHWHILE:
        return rng.standard_normal(shape, dtype=dtype)
    return _compiled(_DRAWS[dtype])(rng, size).reshape(shape)


@cache
def _compiled(function: Callable) -> Callable:
    import numba  # here: it takes long to import

    try:
        return numba.njit(function, cache=True)
    except RuntimeError:  # there is no directory for it that can be written to
        return numba.njit(function)


def _singles(rng: np.random.Generator, size: int) -> np.ndarray:
    return rng.standard_normal(size, np.float32)


def _doubles(rng: np.random.Generator, size: int) -> np.ndarray:
    return rng.standard_normal(size)


_DRAWS = {np.dtype(np.float32): _singles, np.dtype(np.float64): _doubles}
