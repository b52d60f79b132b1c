"""Fewer searches for garbage while graphs are made.

Python looks through all objects for cycles that nobody uses, the more often the more objects are
made. What was there before, modules above all, is as many objects as a graph has by far, and
remains: to look through it takes a fifth of the time to the first draw.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_OFTEN = 10  # times as many new objects as usual, from one search to the next


@contextmanager
def old_objects_remain() -> Iterator[None]:
    """Leave out the objects that exist, and look through new ones less often.

    Afterwards all is as before: an application that has frozen objects itself keeps them so.
    """
    is_free = gc.isenabled() and not gc.get_freeze_count()
    before = gc.get_threshold()
    if is_free:
        gc.freeze()
        gc.set_threshold(_OFTEN * before[0], *before[1:])
    try:
        yield
    finally:
        if is_free:
            gc.set_threshold(*before)
            gc.unfreeze()
