"""What a worker process does: a part of a pass over rows, with functions that it compiles once."""

from __future__ import annotations

import ctypes
import os
import pickle
import platform
import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from pytensor.configdefaults import config

from pymc_sgld.compiled.threads import one_thread
from pymc_sgld.errors import DataError

MOST = 4  # jobs that a worker keeps, the latest, with what was compiled for them
FLAGS = "floatX", "mode", "linker", "numba__fastmath"
"""Of PyTensor's configuration, what changes numbers."""

_OF_DASK = "65536"  # bytes above which its nanny has the C library give memory back
_TRIM, _MAP = -1, -3  # ``M_TRIM_THRESHOLD`` and ``M_MMAP_THRESHOLD`` of mallopt(3)
_KEPT, _LONGEST = 2**28, 2**25  # bytes that are kept at most, and of an array that may be
_of_thread = threading.local()  # two threads would mix up the inputs of a compiled function


@dataclass(frozen=True)
class Sent:
    """A pickle, and a name by which a process knows that it has read it."""

    name: str
    content: bytes


def same(value: Any) -> Any:
    """Return a value: as the result of a task it is kept, and made again where it was lost."""
    return value


def part_of_pass(first: int, end: int, job: Sent, call: Sent) -> Any:
    """Return what a method of a job gives for one part of a table of rows.

    Parameters
    ----------
    first, end : int
        The first row of the part, and the one behind its last.
    job : Sent
        The flags of PyTensor, and a job as `over_parts` has it.
    call : Sent
        The method, the table, and the arguments.
    """
    keep_memory()
    flags, kept = _unpickled(job)
    method, i, arguments = pickle.loads(call.content)
    try:
        with one_thread(), config.change_flags(**flags), np.errstate(all="ignore"):
            [found] = getattr(kept, method)(i, [(first, end)], *arguments)
    except DataError as error:
        if not isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            raise
        raise DataError(
            f"on the worker at {platform.node()}: {error} Workers read data= themselves: its files "
            "must be on storage that all of them see, by the same path, or in an object store."
        ) from error
    return found


def _unpickled(job: Sent) -> Any:
    """Return a job that was read before, or read it."""
    if not hasattr(_of_thread, "jobs"):
        _of_thread.jobs = OrderedDict()
    jobs: OrderedDict[str, Any] = _of_thread.jobs
    if job.name not in jobs:
        jobs[job.name] = pickle.loads(job.content)
    jobs.move_to_end(job.name)
    while len(jobs) > MOST:
        jobs.popitem(last=False)
    return jobs[job.name]


@cache
def keep_memory() -> None:
    """Keep memory for the next block of rows, in a worker of Dask, where the C library can.

    Dask's nanny sets ``MALLOC_TRIM_THRESHOLD_`` to 64 KiB. Then every temporary array of a block is
    made of new pages, which takes longer than to compute with it.
    """
    if os.environ.get("MALLOC_TRIM_THRESHOLD_") == _OF_DASK:
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(None)
            library.mallopt(_TRIM, _KEPT)
            library.mallopt(_MAP, _LONGEST)
