"""Files of JSON and arrays that are whole or not there."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

_META = "meta"
_DAMAGED = zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, AttributeError, TypeError


class NotWhole(Exception):
    """A file that does not have what was written, or is another one."""


def write(path: Path, beside: Path, meta: Any, arrays: dict[str, np.ndarray]) -> None:
    """Write a file beside, flush it to the disk, and give it its name: now it is there, whole.

    Raises
    ------
    OSError
        With what was there before as it was, and nothing beside it.
    """
    with _removed_if_not_whole(beside):
        with open(beside, "wb") as file:
            np.savez(file, allow_pickle=False, **(arrays | {_META: np.array(json.dumps(meta))}))
            flush(file.fileno())
        os.replace(beside, path)
        flush_folder(path.parent)


def read(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """Return what `write` was given.

    Raises
    ------
    NotWhole
        If the file is damaged, or another one.
    OSError
        If it cannot be read.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return json.loads(str(arrays.pop(_META))), arrays
    except _DAMAGED as error:
        raise NotWhole(str(path)) from error


def flush(descriptor: int) -> None:
    """Put a file on the disk."""
    os.fsync(descriptor)


def flush_folder(path: Path) -> None:
    """Put the names in a folder on the disk."""
    if os.name == "nt":  # where a folder cannot be opened
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        flush(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _removed_if_not_whole(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(OSError):  # on a full disk it is in the way
            path.unlink()
        raise
