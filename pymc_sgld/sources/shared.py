"""Arrays that worker processes map instead of copying them.

A pickled array is as long as its data; the pickle of a shared one is a handle. On Linux the memory
is a file without a name, which no crash can leave behind; elsewhere it is a named segment of
shared memory, removed with the array.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from math import prod
from multiprocessing.shared_memory import SharedMemory
from typing import Any, NamedTuple

import numpy as np

from pymc_sgld.errors import DataError, SettingError

LEAST = 65_536  # bytes below which an array is rather copied
MOST_SENT = 2**30  # bytes of an array in a pickle for another machine
_by_value: ContextVar[bool] = ContextVar("_by_value", default=False)
NAMELESS = sys.platform == "linux"  # files without a name can be opened by another process


@contextmanager
def by_value() -> Iterator[None]:
    """Within it, what is pickled holds the data: for processes of other machines."""
    token = _by_value.set(True)
    try:
        yield
    finally:
        _by_value.reset(token)


def check_sent(size: int, what: str) -> None:
    """Refuse to send very large arrays to other machines.

    Raises
    ------
    SettingError
        For more than a gigabyte.
    """
    if size > MOST_SENT:
        raise SettingError(
            f"{size / 1e9:.1f} GB in the memory of this process ({what}) would be sent to each "
            "worker. Put them into files that workers can open, such as zarr or Parquet, and pass "
            "these as data=."
        )


class _Memory(NamedTuple):
    """Some memory, what another process finds it by, and what gives it back."""

    buffer: Any
    handle: Callable[[], tuple]
    release: Callable[[], None]


class Shared:
    """An array in memory that other processes of this machine can map.

    It lives as long as this object and those that were unpickled from it. It has to be unpickled
    while the process that pickled it lives.

    ``folder``: where to put the data into a file, for more of them than fit into memory.
    ``array``: to be written by its maker only.

    Examples
    --------
    >>> import pickle
    >>> shared = Shared((1000, 1000), np.dtype("float64"))
    >>> shared.array[:] = 1.0
    >>> len(pickle.dumps(shared)) < 1000
    True
    >>> float(pickle.loads(pickle.dumps(shared)).array.sum())
    1000000.0
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, folder: str | None = None) -> None:
        size = max(1, prod(shape) * dtype.itemsize)
        if NAMELESS:
            memory = _make_nameless(size, folder)
        else:
            memory = _make_named(size) if folder is None else _make_file(size, folder)
        self._map(memory, shape, dtype)

    @classmethod
    def of(cls, array: np.ndarray) -> Shared:
        """Return a shared copy of an array."""
        shared = cls(array.shape, array.dtype)
        shared.array[...] = array
        return shared

    def _map(self, memory: _Memory, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.array = np.ndarray(shape, dtype, buffer=memory.buffer)
        self._handle = memory.handle
        weakref.finalize(self, memory.release)

    def __reduce__(self) -> Any:
        """Pickle the handle."""
        if _by_value.get():
            check_sent(self.array.nbytes, "data of this step")
            return Shared.of, (self.array,)
        return _attach, (self._handle(), self.array.shape, self.array.dtype)


def _attach(handle: tuple, shape: tuple[int, ...], dtype: np.dtype) -> Shared:
    """Return the shared array of another process."""
    shared = object.__new__(Shared)
    kind, *rest = handle
    shared._map(_OPEN[kind](*rest), shape, dtype)
    return shared


def _make_nameless(size: int, folder: str | None) -> _Memory:
    """Return memory, or a file, that nobody can find by a name."""
    if folder is None:
        descriptor = os.memfd_create("pymc_sgld")
    else:
        descriptor, path = tempfile.mkstemp(prefix="pymc_sgld-", dir=folder)
        os.unlink(path)
        os.posix_fallocate(descriptor, 0, size)  # a full disk is an error here, not later a signal
    os.truncate(descriptor, size)
    return _nameless(descriptor, size)


def _nameless(descriptor: int, size: int) -> _Memory:
    found = os.fstat(descriptor)

    def handle() -> tuple:
        return "nameless", os.getpid(), descriptor, found.st_dev, found.st_ino, size

    return _Memory(mmap.mmap(descriptor, size), handle, lambda: os.close(descriptor))


def _open_nameless(process: int, number: int, device: int, inode: int, size: int) -> _Memory:
    try:
        descriptor = os.open(f"/proc/{process}/fd/{number}", os.O_RDWR)
    except OSError:
        raise _gone() from None
    found = os.fstat(descriptor)
    if (found.st_dev, found.st_ino) != (device, inode):  # another process has this number now
        os.close(descriptor)
        raise _gone()
    return _nameless(descriptor, size)


def _gone() -> DataError:
    return DataError(
        "the data of this step are gone: they lived in the memory of the process that made it, "
        "which has ended. Make a new one."
    )


def _make_named(size: int) -> _Memory:
    """Return a segment of shared memory."""
    memory = SharedMemory(create=True, size=size)
    return _named(memory, memory.unlink)


def _open_named(name: str) -> _Memory:
    untracked = {"track": False} if sys.version_info >= (3, 13) else {}
    try:
        memory = SharedMemory(name, **untracked)
    except FileNotFoundError:
        raise _gone() from None
    return _named(memory, lambda: None)


def _named(memory: SharedMemory, unlink: Callable[[], None]) -> _Memory:
    assert memory.buf is not None
    buffer = np.frombuffer(memory.buf, "uint8")  # holds a view, so that nothing can close it

    def close() -> None:
        try:
            memory.close()
        except BufferError:  # the interpreter ends, and an array is still there
            memory.close = lambda: None  # type: ignore[method-assign]

    weakref.finalize(buffer.base, close)  # with the last array
    return _Memory(buffer, lambda: ("named", memory.name), unlink)


def _make_file(size: int, folder: str) -> _Memory:
    """Return a file that is removed with the array."""
    descriptor, path = tempfile.mkstemp(prefix="pymc_sgld-", dir=folder)
    with os.fdopen(descriptor, "r+b") as file:
        file.truncate(size)

    def release() -> None:
        with suppress(OSError):  # of a system that keeps files which are mapped
            os.unlink(path)

    return _Memory(_open_file(path).buffer, lambda: ("file", path), release)


def _open_file(path: str) -> _Memory:
    try:
        with open(path, "r+b") as file:
            return _Memory(mmap.mmap(file.fileno(), 0), lambda: ("file", path), lambda: None)
    except FileNotFoundError:
        raise _gone() from None


_OPEN: dict[str, Callable[..., _Memory]] = {
    "nameless": _open_nameless,
    "named": _open_named,
    "file": _open_file,
}
