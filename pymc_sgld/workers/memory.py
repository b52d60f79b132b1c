"""Memory that a worker keeps for the next block of rows.

Dask's nanny sets ``MALLOC_TRIM_THRESHOLD_`` to 64 KiB, so that the C library gives memory back as
soon as it is free. Then every temporary array of a block is made of new pages, which takes longer
than to compute with it.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from functools import cache

_OF_DASK = "65536"
_TRIM, _MAP = -1, -3  # ``M_TRIM_THRESHOLD`` and ``M_MMAP_THRESHOLD`` of mallopt(3)
_KEPT, _LONGEST = 2**28, 2**25  # bytes that are kept at most, and of an array that may be


@cache
def keep_memory() -> None:
    """Undo it in this process, where the C library can."""
    if os.environ.get("MALLOC_TRIM_THRESHOLD_") == _OF_DASK:
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(None)
            library.mallopt(_TRIM, _KEPT)
            library.mallopt(_MAP, _LONGEST)
