"""A source of rows: something with a shape and a dtype whose rows are read in blocks."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from copy import copy
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from pymc_sgld.errors import DataError, SettingError
from pymc_sgld.sources.network import Unreachable
from pymc_sgld.sources.shared import LEAST, Shared


class Source(ABC):
    """Rows that are read when they are needed.

    A source is pickled without its rows: what is pickled finds them again, in another process too.

    Parameters
    ----------
    shape : tuple of int
        Rows first.
    dtype : dtype
        What is read is converted to it: half precision to single, another byte order to this
        machine's.
    chunk : int
        Rows that are best read together.

    Attributes
    ----------
    name : str
        The data of the model that it stands for.
    sample : ndarray or None
        Some of its rows, picked at random, while they are needed.
    levels : ndarray of int or None
        All rows, where they are the groups of the rows of other sources, while these are needed.
    unwritten : str
        What is to be said of rows that are not stored.
    is_shuffled : bool
        Whether they are known to be in random order.
    """

    name = "a source"
    unwritten = ""
    is_shuffled = False
    sample: np.ndarray | None = None
    levels: np.ndarray | None = None

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike, chunk: int = 1) -> None:
        self.shape = tuple(int(length) for length in shape)
        self.dtype = readable(dtype)
        self.chunk = max(1, int(chunk))

    @abstractmethod
    def read(self, start: int, stop: int) -> Any:
        """Return the rows from ``start`` to ``stop``, or raise whatever is wrong with them."""

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Return a slice of the rows.

        Raises
        ------
        DataError
            If they cannot be read, or are other or fewer than they should be.
        """
        start, stop, _ = rows.indices(len(self))
        where = f'rows {start} to {stop} of the source of "{self.name}"'
        try:
            array = unmasked(self.read(start, stop))
            expected = (max(0, stop - start), *self.shape[1:])
            if array.shape != expected:
                raise ValueError(f"there are {array.shape}, and there should be {expected}")
            return converted(array, self.dtype)
        except DataError:
            raise
        except Unreachable as error:
            raise DataError(
                f"{where} cannot be read: {error}. Look whether their store can be reached."
            ) from error.__cause__
        except Exception as error:
            raise DataError(
                f"{where} cannot be read: {type(error).__name__}: {error}. Look whether the data "
                "are as they were when this step was made, and make a new one."
            ) from error

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of entries."""
        return prod(self.shape)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return prod(self.shape[1:]) * self.dtype.itemsize

    def named(self, name: str) -> Source:
        """Return the same source for data of that name."""
        new = copy(self)
        new.name, new.sample, new.levels = name, None, None
        return new

    def keep(self, picked: np.ndarray, rows: np.ndarray) -> None:
        """Keep some rows, and their numbers, as its sample."""
        self.sample = rows

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"sample": None, "levels": None}


class ArraySource(Source):
    """Rows of an array, in memory or in a file without a name."""

    def __init__(self, array: np.ndarray | Shared) -> None:
        self._stored = array
        super().__init__(self._array.shape, self._array.dtype)

    @property
    def _array(self) -> np.ndarray:
        return self._stored.array if isinstance(self._stored, Shared) else self._stored

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows."""
        return self._array[start:stop]

    def __getstate__(self) -> dict[str, Any]:
        if isinstance(self._stored, np.ndarray) and self._stored.nbytes >= LEAST:
            self._stored = Shared.of(self._stored)
        return super().__getstate__()


class Length:
    """The length of a file, which must not become less.

    HDF5 reads what lies beyond the end of a file that was cut as zeros, without a word. So the
    length is looked at after every read: what was read before is as it was.
    """

    def __init__(self, path: str | None) -> None:
        self._path = os.path.abspath(path) if path and os.path.isfile(path) else None
        self._size = 0 if self._path is None else os.path.getsize(self._path)

    def check(self) -> None:
        """Raise an OSError if the file is gone, or EOFError if it was cut."""
        if self._path is None:  # a folder, memory, or a file of another machine
            return
        size = os.path.getsize(self._path)
        if size < self._size:
            raise EOFError(f"{self._path} has {size} bytes, and had {self._size}")


class Sliced(Source):
    """Rows of anything that has a shape, a dtype, and rows by slices."""

    def __init__(self, given: Any) -> None:
        self._given = given
        encoding = getattr(given, "encoding", None)  # where xarray names the file
        self._length = Length(encoding.get("source") if isinstance(encoding, dict) else None)
        super().__init__(given.shape, given.dtype, _chunk(given))

    def read(self, start: int, stop: int) -> Any:
        """Return the rows."""
        rows = unmasked(self._rows(start, stop))
        self._length.check()
        return rows

    def _rows(self, start: int, stop: int) -> Any:
        return self._given[start:stop]


class Computed(Sliced):
    """Rows of a dask array, or of an xarray one made of them.

    They are computed in the thread that asks for them: the threads of dask would be missing in a
    process that was forked, which would wait for them for ever.
    """

    def _rows(self, start: int, stop: int) -> Any:
        return self._given[start:stop].compute(scheduler="synchronous")


def is_computed(given: Any) -> bool:
    """Whether dask computes the rows."""
    graph = getattr(given, "__dask_graph__", None)
    return graph is not None and graph() is not None


def _chunk(given: Any) -> int:
    """Return the rows of a chunk, of zarr, HDF5, dask and xarray."""
    chunks = getattr(given, "chunks", None)
    first = chunks[0] if isinstance(chunks, tuple) and chunks else 1
    return max(first) if isinstance(first, tuple) else int(first)


def converted(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return contiguous numbers of a dtype, or raise TypeError where they do not fit into it."""
    if not np.can_cast(array.dtype, dtype, "same_kind"):
        raise TypeError(f"they are {array.dtype}, which does not become {dtype} (missing values?)")
    new = np.ascontiguousarray(array, dtype=dtype)
    if dtype.kind in "iu" and not np.can_cast(array.dtype, dtype) and not (new == array).all():
        raise TypeError(f"they are {array.dtype}, and some are too great for {dtype}")
    return new


def unmasked(rows: Any) -> np.ndarray:
    """Return an array, or raise ValueError where entries are masked: what is beneath is no data."""
    if np.ma.is_masked(rows):
        raise ValueError(
            f"{np.ma.count_masked(rows)} entries are masked, and a source has no missing values: "
            "leave these rows out, or fill them (numpy.ma.filled)"
        )
    return np.asarray(rows)


def readable(dtype: DTypeLike) -> np.dtype:
    """Return a dtype that compiled code can read."""
    found = np.dtype(dtype)
    if found.kind not in "biuf" or found.itemsize > 8:
        raise SettingError(
            f"it has the dtype {found}: it must be of numbers of at most 64 bits, such as float64."
        )
    return np.dtype("float32") if found == np.float16 else found.newbyteorder("=")
