"""Worker processes that end with the process that began them, however that ends.

A worker that was forked waits for its parent to ask for the next draw, on a pipe that its siblings
hold open as well: nobody closes it when the parent is killed, and the worker would wait for ever.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time

_WORKER = "worker_chain_"  # how PyMC names them; other processes may outlive those above them
_EVERY = 1.0  # seconds between two looks
_watched: set[int] = set()  # processes in which a thread looks


class Parent:
    """The process that began this one, where Python's multiprocessing did."""

    def __init__(self) -> None:
        self._process, self._above = multiprocessing.parent_process(), os.getppid()

    @property
    def is_gone(self) -> bool:
        """Whether it has ended since; never in a process that is nobody's worker."""
        if self._process is None:
            return False
        return os.getppid() != self._above or not self._process.is_alive()


def end_with_parent() -> None:
    """In a worker of PyMC, begin to look whether the parent is there; elsewhere do nothing."""
    is_worker = multiprocessing.current_process().name.startswith(_WORKER)
    if not is_worker or os.getpid() in _watched:
        return
    _watched.add(os.getpid())
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_EVERY)
    os._exit(1)
