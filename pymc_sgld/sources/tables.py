"""Parquet, in files and in object stores. What is pickled is the way to them."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from glob import glob
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from pymc_sgld.errors import DataError, SettingError
from pymc_sgld.progress import progress
from pymc_sgld.sources.network import Unreachable
from pymc_sgld.sources.objects import Store
from pymc_sgld.sources.source import Source

_AT_ONCE = 16  # objects whose ends are read at the same time


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
        for path, metadata in zip(self._paths, self._all_metadata(), strict=True):
            schema, where = metadata.schema.to_arrow_schema(), self._name(path)
            missing = [name for name in self._columns if name not in schema.names]
            if missing:
                raise SettingError(f"{where} has no columns {missing}: it has {schema.names}.")
            found += [_dtype_of(where, name, schema) for name in self._columns]
            self._groups += [(path, i) for i in range(metadata.num_row_groups)]
            lengths += [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
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
            table = self._table(path, number)
            table = table.slice(max(0, start - first), stop - max(start, first))
            columns = [table.column(name).to_numpy() for name in self._columns]
            parts.append(columns[0] if self._one else np.column_stack(columns))
        return np.concatenate(parts)

    def _all_metadata(self) -> Iterator[Any]:
        """Give what each file says of itself at its end."""
        return map(self._opened, self._paths)

    def _opened(self, path: str) -> Any:
        """Return what a file says of itself, or say why it cannot be used."""
        try:
            return self._metadata(path)
        except ValueError as error:
            raise DataError(
                f"{self._name(path)} cannot be read as Parquet: {error} A file that was cut has "
                "lost its end, where Parquet says what is in it: write it again."
            ) from None

    def _metadata(self, path: str) -> Any:
        from pyarrow.parquet import read_metadata

        return read_metadata(path)

    def _table(self, path: str, group: int) -> Any:
        """Return the columns of a row group."""
        from pyarrow.parquet import ParquetFile

        return ParquetFile(path).read_row_group(group, columns=self._columns)

    def _name(self, path: str) -> str:
        """Return a file's name for the user."""
        return path


class RemoteParquet(Parquet):
    """Rows of Parquet files in an object store, one after the other; see :func:`parquet`.

    What a file says of itself at its end is read once by each process, and kept.
    """

    def __init__(
        self,
        urls: Sequence[str],
        columns: str | Sequence[str],
        dtype: DTypeLike | None,
        options: Mapping[str, Any],
    ) -> None:
        self._store, paths = Store.of(urls, options)
        super().__init__(paths, columns, dtype)

    def _all_metadata(self) -> Iterator[Any]:
        count = len(self._paths)
        with (
            progress(f"what is in {count} Parquet files", count) as update,
            ThreadPoolExecutor(_AT_ONCE) as pool,
        ):
            for found in pool.map(self._opened, self._paths):
                update()
                yield found

    def _opened(self, path: str) -> Any:
        try:
            return super()._opened(path)
        except (DataError, FileNotFoundError):
            raise
        except Exception as error:
            what = "" if isinstance(error, Unreachable) else f"{type(error).__name__}: "
            raise DataError(
                f"{self._name(path)} cannot be read: {what}{error}. Look at its name and at "
                "storage_options."
            ) from error

    def _metadata(self, path: str) -> Any:
        from pyarrow.parquet import read_metadata

        return self._store.read(path, read_metadata)

    def _table(self, path: str, group: int) -> Any:
        from pyarrow.parquet import ParquetFile

        metadata = self._metadata(path)
        chunks = [metadata.row_group(group).column(i) for i in range(metadata.num_columns)]
        places = [_place(chunk) for chunk in chunks if chunk.path_in_schema in self._columns]
        parts = self._store.parts(path, places)  # all that is needed: nothing is read beyond it
        file = ParquetFile(parts, metadata=metadata, pre_buffer=False)
        return file.read_row_group(group, columns=self._columns)

    def _name(self, path: str) -> str:
        return self._store.url(path)


def _place(chunk: Any) -> tuple[int, int]:
    """Return where the bytes of a column of a row group begin and end."""
    begin = chunk.data_page_offset
    if chunk.has_dictionary_page:
        begin = min(begin, chunk.dictionary_page_offset)
    return begin, begin + chunk.total_compressed_size


def parquet(
    path: str | Path | Sequence[str | Path],
    columns: str | Sequence[str],
    dtype: DTypeLike | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Source:
    """Return columns of Parquet files as a source of rows.

    A file is read by its row groups, which a random order of the rows reads whole: groups of some
    thousand rows are read fastest from a disk, and longer ones from an object store. Of those, the
    byte ranges of these columns are read. Needs pyarrow, and fsspec for URLs.

    Parameters
    ----------
    path : path, URL, or sequence of these
        One file, or several whose rows follow each other. ``*`` stands for all names that match, in
        their order: ``"s3://bucket/part-*.parquet"``.
    columns : str or sequence of str
        One name gives rows that are numbers, shape (rows,); several give shape (rows, columns).
    dtype : dtype, optional
        By default one that holds the numbers of all columns.
    storage_options : dict, optional
        What fsspec makes the file system of the URLs with: credentials, an endpoint, time limits.
        They are in the pickle of the source, and so of the step.

    Returns
    -------
    Source
        For ``SGLD(data={name: source})``.

    Raises
    ------
    SettingError
        If a file has no such column, or the column no numbers; if URLs are not in one store.
    DataError
        If a file was cut, is no Parquet, or its store refuses or cannot be reached for a minute.
    FileNotFoundError
        If there is no such file.

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
    given = [os.fspath(each) for each in ([path] if isinstance(path, str | Path) else path)]
    remote = ["://" in each for each in given]
    if remote and all(remote):
        return RemoteParquet(given, columns, dtype, storage_options or {})
    if any(remote) or storage_options is not None:
        raise SettingError(
            f"{given} are {'not all' if any(remote) else 'no'} URLs: storage_options are for URLs, "
            "and files of this machine are a source of their own."
        )
    paths = [os.path.abspath(name) for each in given for name in _matching(each)]
    return Parquet(paths, columns, dtype)


def _matching(path: str) -> list[str]:
    """Return the files that a path stands for."""
    if "*" not in path or os.path.exists(path):
        return [path]
    if not (found := sorted(glob(path))):
        raise FileNotFoundError(f"no file has a name like {path}")
    return found


def _dtype_of(path: str, column: str, schema: Any) -> np.dtype:
    """Return the dtype of a column of numbers."""
    kind = schema.field(column).type
    with suppress(TypeError, NotImplementedError):  # of columns of text, lists and dates
        found = np.dtype(kind.to_pandas_dtype())
        if found.kind in "biuf":
            return found
    raise SettingError(f'column "{column}" of {path} is of type {kind}: it must be of numbers.')
