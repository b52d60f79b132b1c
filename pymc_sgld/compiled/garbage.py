"""Fewer searches for garbage while graphs are made.

Python looks through objects for cycles that nobody uses, the more often the more objects are made:
through young ones often, and now and then through all of them. What was there before, modules above
all, is as many objects as a graph has by far, and remains: to look through it takes a fifth of the
time to the first draw.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_OFTEN = 10  # times as many new objects as usual, from one search to the next
_NEVER = 2**31 - 1


@contextmanager
def old_objects_remain() -> Iterator[None]:
    """Look through young objects less often, and not through the old ones.

    Afterwards all is as before: what has become garbage meanwhile is found as usual. (With
    ``gc.freeze`` it would not be: Python then forgets how many objects have become old.)
    """
    before = gc.get_threshold()
    gc.set_threshold(_OFTEN * before[0], before[1], _NEVER)
    try:
        yield
    finally:
        gc.set_threshold(*before)
