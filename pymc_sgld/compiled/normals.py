"""Standard normal numbers: of NumPy's generator, or of compiled code with a key from it.

NumPy makes one number after the other. Where an update takes many, as the weights of a network,
that takes longer than its gradient. The compiled code of :mod:`pymc_sgld.compiled.philox` takes
a fifth of the time, in single precision.
"""

from __future__ import annotations

from math import prod

import numpy as np

MANY = 512  # numbers of an update, from which on compiled code makes them


def standard_normal(
    rng: np.random.Generator, shape: tuple[int, int], dtype: np.dtype
) -> np.ndarray:
    """Return standard normal numbers: float32 or float64.

    Parameters
    ----------
    rng : Generator
        Of the numbers, or of a key of 64 bits that determines all of them.
    shape : tuple of int
        Updates, and numbers of each.
    """
    if shape[-1] < MANY:
        return rng.standard_normal(shape, dtype=dtype)
    from pymc_sgld.compiled import philox  # here: it takes long to import

    key = rng.integers(1 << 32, size=2, dtype=np.uint32)
    size, together = prod(shape), philox.PER_COUNTER * philox.BLOCK
    found = np.empty(-(-size // together) * together, dtype)
    radii = np.empty(philox.BLOCK, dtype)
    philox.fill((key[0], key[1]), found, radii, radii.view(f"i{dtype.itemsize}"))
    return found[:size].reshape(shape)
