"""Files that are whole or not there, and locks that end with the process that holds them."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pymc_sgld.errors import DataError, SettingError
from pymc_sgld.storage import files as storage

try:
    import fcntl
except ImportError:  # a system without locks of this kind: two runs are not told apart
    fcntl = None  # type: ignore[assignment]

ORPHANS = 10.0  # seconds that a resume waits for the workers of a run that was killed


def write(path: Path, meta: Any, arrays: dict[str, np.ndarray]) -> None:
    """Write a file, or leave the one that is there."""
    with _explained(path):
        storage.write(path, path.with_suffix(".new"), meta, arrays)


def read(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """Return what `write` was given.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    try:
        return storage.read(path)
    except storage.NotWhole:
        raise damaged(path) from None


def append(path: Path, place: int, content: bytes) -> None:
    """Put bytes at a place of a file, and nothing behind them."""
    with _explained(path), open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
        file.seek(place)
        file.write(content)
        file.truncate()
        file.flush()
        storage.flush(file.fileno())


def damaged(path: Path) -> DataError:
    """Return the error for a file that does not have what was written."""
    what, rest = "the whole checkpoint", "starts anew"
    if path.parent.name.startswith("chain"):
        what, rest = f"the folder {path.parent}", "samples this chain anew"
    return DataError(
        f'checkpoint: "{path}" is damaged. Restore it from a copy; or remove {what}, and the same '
        f"call {rest}."
    )


def make_folder(path: Path) -> None:
    """Make a folder, and those above it."""
    with _explained(path):
        if not path.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            storage.flush_folder(path.parent)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f'checkpoint: cannot write "{path}": {error.strerror or error}. What was committed '
            "before is safe: make room, or let the folder be written to, and the same call goes "
            "on from there. To start elsewhere, pass another folder."
        ) from error


class Lock:
    """A lock of the kernel on a file: it is gone with the process, however that ends.

    A process that waits for this one holds no lock against it: the parent of a worker, whose own
    run of the chain was interrupted.

    Parameters
    ----------
    path : Path
    what : str
        What is locked, for the message.
    allies : sequence of int
        Processes that do not count.
    """

    def __init__(self, path: Path, what: str, allies: tuple[int, ...] = ()) -> None:
        with _explained(path):
            self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if fcntl is None:
            return
        until = time.monotonic() + ORPHANS
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(self._descriptor, 1000, 0).decode()
                if holder in [_named(process) for process in allies]:
                    return
                if time.monotonic() > until:
                    self.release()
                    raise SettingError(
                        f"checkpoint: another run is at work on {what} (process "
                        f"{holder or 'unknown'}; waited {ORPHANS:.0f} seconds for it to end). Let "
                        "it finish or end it, or pass another folder."
                    ) from None
                time.sleep(0.05)
            else:
                os.ftruncate(self._descriptor, 0)
                os.pwrite(self._descriptor, _named(os.getpid()).encode(), 0)
                return

    def release(self) -> None:
        """Let others in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _named(process: int) -> str:
    return f"{process} on {platform.node()}"
