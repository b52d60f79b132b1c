"""Threads that read while something else is done. Each ends with what it reads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

THREAD = "pymc_sgld reader"


def in_background[T](function: Callable[..., T], *arguments: Any, name: str = THREAD) -> Future[T]:
    """Call a function in a thread that ends with it; the result raises what it raised."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def _finish_reading() -> None:
    """Wait for the threads that read: a fork would copy the locks that they hold, for ever held."""
    for thread in threading.enumerate():
        if thread.name == THREAD and thread is not threading.current_thread():
            with suppress(RuntimeError):  # it has not begun
                thread.join()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_finish_reading)


def read_ahead[T](calls: Iterable[Callable[[], T]]) -> Iterator[T]:
    """Give the result of each call, while a thread makes the next one."""
    ahead: Future[T] | None = None
    for call in calls:
        done = [] if ahead is None else [ahead.result()]
        ahead = in_background(call)
        yield from done
    if ahead is not None:
        yield ahead.result()
