"""Sources that live in files: memory maps and Parquet. What is pickled is their path."""

from __future__ import annotations

import mmap
import os
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from pymc_sgld.errors import DataError, SettingError
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


class Parquet(Source):
    """Rows of Parquet files, one after the other; see :func:`parquet`."""

    def __init__(
        self, paths: Sequence[str], columns: str | Sequence[str], dtype: DTypeLike | None
    ) -> None:
        self._paths = list(paths)
        self._columns = [columns] if isinstance(columns, str) else list(columns)
        self._one = isinstance(columns, str)
        self._groups: list[tuple[str, int]] = []
        lengths: list[int] = []
        found: list[np.dtype] = []
        for path in self._paths:
            try:
                file = _parquet_file(path)
            except ValueError as error:
                raise DataError(
                    f"{path} cannot be read as Parquet: {error} A file that was cut has lost its "
                    "end, where Parquet says what is in it: write it again."
                ) from None
            missing = [name for name in self._columns if name not in file.schema_arrow.names]
            if missing:
                raise SettingError(
                    f"{path} has no columns {missing}: it has {file.schema_arrow.names}."
                )
            found += [_dtype_of(path, name, file.schema_arrow) for name in self._columns]
            self._groups += [(path, i) for i in range(file.metadata.num_row_groups)]
            lengths += [
                file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)
            ]
        self._ends = list(accumulate(lengths))
        shape = (sum(lengths),) if self._one else (sum(lengths), len(self._columns))
        dtype = np.result_type(*found) if dtype is None else dtype
        super().__init__(shape, dtype, max(lengths, default=1))

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return the rows, by the row groups that they are in."""
        parts = []
        for group in range(bisect_right(self._ends, start), len(self._groups)):
            first = self._ends[group - 1] if group else 0
            if first >= stop:
                break
            path, number = self._groups[group]
            table = _parquet_file(path).read_row_group(number, columns=self._columns)
            table = table.slice(max(0, start - first), stop - max(start, first))
            columns = [table.column(name).to_numpy() for name in self._columns]
            parts.append(columns[0] if self._one else np.column_stack(columns))
        return np.concatenate(parts)


def parquet(
    path: str | Path | Sequence[str | Path],
    columns: str | Sequence[str],
    dtype: DTypeLike | None = None,
) -> Source:
    """Return columns of Parquet files as a source of rows.

    A file is read by its row groups, which a random order of the rows reads whole: groups of some
    thousand rows are read fastest. Needs pyarrow.

    Parameters
    ----------
    path : path or sequence of paths
        One file, or several whose rows follow each other.
    columns : str or sequence of str
        One name gives rows that are numbers, shape (rows,); several give shape (rows, columns).
    dtype : dtype, optional
        By default one that holds the numbers of all columns.

    Returns
    -------
    Source
        For ``SGLD(data={name: source})``.

    Raises
    ------
    SettingError
        If a file has no such column, or the column no numbers.
    DataError
        If a file was cut, or is no Parquet.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from pymc_sgld import sources
    >>> table = pd.DataFrame({"age": [31.0, 45.0, 52.0], "sick": [0, 1, 1]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table.to_parquet(f"{folder}/people.parquet")
    ...     source = sources.parquet(f"{folder}/people.parquet", ["age", "sick"])
    ...     source[1:3].tolist()
    [[45.0, 1.0], [52.0, 1.0]]
    """
    paths = [path] if isinstance(path, str | Path) else list(path)
    return Parquet([os.path.abspath(each) for each in paths], columns, dtype)


def _parquet_file(path: str) -> Any:
    from pyarrow.parquet import ParquetFile

    return ParquetFile(path)


def _dtype_of(path: str, column: str, schema: Any) -> np.dtype:
    """Return the dtype of a column of numbers."""
    kind = schema.field(column).type
    with suppress(TypeError, NotImplementedError):
        found = np.dtype(kind.to_pandas_dtype())
        if found.kind in "biuf":
            return found
    raise SettingError(f'column "{column}" of {path} is of type {kind}: it must be of numbers.')
