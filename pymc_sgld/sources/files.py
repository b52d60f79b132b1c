"""Memory maps of files. What is pickled is their path."""

from __future__ import annotations

import mmap
import os
from typing import Any

import numpy as np

from pymc_sgld.errors import SettingError
from pymc_sgld.sources.source import Source


class Mapped(Source):
    """Rows of a memory map, or of a view of one.

    They are read with the file's own functions: a file that was cut is an error then, and not the
    end of the process.
    """

    def __init__(self, array: np.ndarray, original: np.memmap) -> None:
        if original.mode == "c":
            raise SettingError(
                'it is a memory map with mode="c", whose changes no other process sees: open it '
                'with mode="r".'
            )
        super().__init__(array.shape, array.dtype)
        assert original.filename is not None
        self._path, self._stored = os.path.abspath(original.filename), array.dtype
        self._strides = array.strides
        root: Any = array
        while isinstance(root, np.ndarray):
            root = root.base
        begin = np.frombuffer(root, "uint8").ctypes.data
        start = original.offset - original.offset % mmap.ALLOCATIONGRANULARITY
        self._offset = start + array.ctypes.data - begin
        self._plain = array.flags.c_contiguous

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows."""
        shape = (stop - start, *self.shape[1:])
        if not self._plain:
            return self._by_mapping()[start:stop]
        rows = np.empty(shape, self._stored)
        with open(self._path, "rb", buffering=0) as file:
            file.seek(self._offset + start * self._strides[0])
            wanted = memoryview(rows.reshape(-1).view("uint8"))
            while len(wanted) and (found := file.readinto(wanted)):
                wanted = wanted[found:]
        if len(wanted):
            raise EOFError(f"{self._path} ends {len(wanted)} bytes before them")
        return rows

    def _by_mapping(self) -> np.ndarray:
        """Map the file: rows that do not lie one after the other."""
        steps = zip(self.shape, self._strides, strict=True)
        end = self._offset + sum((n - 1) * step for n, step in steps if step > 0)
        end += self._stored.itemsize
        size = os.path.getsize(self._path)
        if size < end:
            raise EOFError(f"{self._path} has {size} bytes, and had at least {end}")
        whole = np.memmap(self._path, "uint8", "r")
        return np.ndarray(self.shape, self._stored, whole, self._offset, self._strides)


def memory_map_of(array: np.ndarray) -> np.memmap | None:
    """Return the memory map of a file that an array is, or is a view of."""
    found, current = None, array
    while isinstance(current, np.ndarray):
        if isinstance(current, np.memmap) and current.filename is not None:
            found = current
        if current.base is None:
            return None  # in memory
        current = current.base
    return found if isinstance(current, mmap.mmap) else None
