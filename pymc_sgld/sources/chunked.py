"""Sources stored in chunks: HDF5 and zarr, which read what was never written as a fill value."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from math import prod
from typing import Any

from pymc_sgld.sources.network import patiently
from pymc_sgld.sources.source import Length, Sliced, Source


class Hdf5(Source):
    """Rows of an HDF5 dataset, which every process opens for itself."""

    def __init__(self, dataset: Any) -> None:
        super().__init__(dataset.shape, dataset.dtype, dataset.chunks[0] if dataset.chunks else 1)
        self._path, self._dataset = os.path.abspath(dataset.file.filename), dataset.name
        self._open: tuple[int, Any] = (os.getpid(), dataset)
        self._length = Length(self._path)
        if dataset.chunks:
            chunks = _count(dataset.shape, dataset.chunks)
            missing = chunks - dataset.id.get_num_chunks()
            self.unwritten = _unwritten(missing, chunks, dataset.fillvalue)
        elif dataset.is_virtual:
            self.unwritten = _unmapped(dataset)
        elif not (dataset.external or dataset.id.get_storage_size()):
            self.unwritten = _unwritten(1, 1, dataset.fillvalue)

    def read(self, start: int, stop: int) -> Any:
        """Return the rows."""
        process, dataset = self._open
        if process != os.getpid() or not dataset:
            import h5py

            dataset = h5py.File(self._path, "r")[self._dataset]
            self._open = os.getpid(), dataset
        rows = dataset[start:stop]
        self._length.check()
        return rows

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_open": (0, None)}


class Zarr(Sliced):
    """Rows of a zarr array.

    Where all chunks are there at first, one that is not there later is an error, if this version
    of zarr can tell. Connections do not survive a fork: every process opens an array in an object
    store for itself.
    """

    def __init__(self, array: Any) -> None:
        self._process: int | None = os.getpid()
        self._remote = _is_remote(array)
        stored = getattr(array, "shards", None) or array.chunks
        chunks = _count(array.shape, stored) * _count(stored, array.chunks)
        there = self._read(lambda: array.nchunks_initialized)  # which counts all chunks of a shard
        missing = chunks - there
        strict = None
        if hasattr(getattr(array, "config", None), "read_missing_chunks"):
            strict = array.with_config({"read_missing_chunks": False})
        if self._remote and not there and strict is not None:
            with suppress(Exception):  # there are chunks, in a store that does not list them
                self._read(lambda: strict[:1])
                missing = 0
        self.unwritten = _unwritten(missing, chunks, array.fill_value)
        if self.unwritten:
            self.unwritten += (
                f" If all that they hold is {array.fill_value}, zarr left them out, and nothing is "
                'wrong: arrays that are made with config={"write_empty_chunks": True} have them.'
            )
        elif strict is not None:
            array = strict
        super().__init__(array)

    def named(self, name: str) -> Source:
        """Return the same source for data of that name."""
        new = super().named(name)
        new.__dict__["_process"] = self._process
        return new

    def _rows(self, start: int, stop: int) -> Any:
        if self._process is None:  # unpickled here
            self._process = os.getpid()
        if self._remote and self._process != os.getpid():
            if not hasattr(self._given.store, "fs"):
                raise RuntimeError(
                    'obstore does not survive a fork: pass mp_ctx="forkserver" to pm.sample'
                )
            self._given = pickle.loads(pickle.dumps(self._given))
            self._process = os.getpid()
        return self._read(lambda: self._given[start:stop], (stop - start) * self.row_bytes)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_process": None}

    def _read[T](self, read: Callable[[], T], size: int = 0) -> T:
        return patiently(read, size) if self._remote else read()


def _is_remote(array: Any) -> bool:
    """Whether the chunks of a zarr array come by fsspec or obstore."""
    store = getattr(array, "store", None)
    return hasattr(store, "fs") or type(store).__name__ == "ObjectStore"


def _count(shape: tuple[int, ...], chunk: tuple[int, ...]) -> int:
    """Return the number of chunks of an array."""
    return prod(-(-length // part) for length, part in zip(shape, chunk, strict=True))


def _unmapped(dataset: Any) -> str:
    """Say that a virtual dataset has entries, or files, that are not there."""
    parts, folder = dataset.virtual_sources(), os.path.dirname(dataset.file.filename)
    absent = [
        part.file_name
        for part in parts
        if part.file_name != "." and not os.path.exists(os.path.join(folder, part.file_name))
    ]
    mapped = sum(part.vspace.get_select_npoints() for part in parts)
    if not absent and mapped >= prod(dataset.shape):
        return ""
    what = f"the files {absent}" if absent else f"{prod(dataset.shape) - mapped} of its entries"
    return f"{what} are missing behind it, and read as {dataset.fillvalue}: write them."


def _unwritten(missing: int, chunks: int, fill_value: Any) -> str:
    """Say that chunks are missing."""
    if missing <= 0:
        return ""
    return (
        f"{missing} of its {chunks} chunks were never written or are lost, and read as "
        f"{fill_value}: write them."
    )
