"""What the user gave as sources of rows, checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from pymc_sgld.errors import SettingError, warn
from pymc_sgld.sources.chunked import Hdf5, Zarr
from pymc_sgld.sources.files import Mapped, memory_map_of
from pymc_sgld.sources.source import ArraySource, Computed, Sliced, Source, is_computed, unmasked

SMALL = 2**26
"""Bytes of sources that are read once, and kept in memory."""


def bind(data: Any) -> dict[str, Source]:
    """Return a source for each name.

    What is read before sampling, or to judge a run, is read many times. So sources that are small,
    together, are read here.
    """
    if data is None:
        return {}
    if not isinstance(data, Mapping) or not all(isinstance(name, str) for name in data):
        raise SettingError(
            f"data is a {_kind(data)}: it must be a dictionary from the names of pm.Data or "
            'observed variables to sources of rows, such as {"X": X}.'
        )
    found = {name: _bind(name, given) for name, given in data.items()}
    slow = {name: one for name, one in found.items() if not isinstance(one, ArraySource | Mapped)}
    if sum(len(source) * source.row_bytes for source in slow.values()) > SMALL:
        return found
    return found | {name: _in_memory(source) for name, source in slow.items()}


def _in_memory(source: Source) -> Source:
    """Return the rows of a source as an array."""
    stored = ArraySource(source[:]).named(source.name)
    stored.is_shuffled = source.is_shuffled
    return stored


def _bind(name: str, given: Any) -> Source:
    """Return a source for one name."""
    what = f'data["{name}"] is a {_kind(given)}: '
    if isinstance(given, str | os.PathLike):
        path = os.fspath(given)
        way = "zarr.open_array" if "://" in path else f'np.load({path!r}, mmap_mode="r")'
        raise SettingError(
            f"{what}a path, which does not say how to read it. Open it: {way}, for instance, or "
            "pymc_sgld.sources.parquet."
        )
    try:
        has_rows = all(hasattr(given, part) for part in ("shape", "dtype", "__getitem__"))
    except Exception as error:  # of a file that was closed, for one
        raise SettingError(
            f"{what}its shape cannot be read ({error}). Is its file open?"
        ) from error
    if not isinstance(given, Source) and not has_rows:
        raise SettingError(
            f"{what}pass an array, such as numpy.asarray(…) or df.to_numpy(), or one of "
            "pymc_sgld.sources."
        )
    try:
        source = _adapted(given)
    except (SettingError, TypeError) as error:
        raise SettingError(f"{what}{error}") from None
    except Exception as error:  # of a library that reads it
        raise SettingError(
            f"{what}it cannot be read ({type(error).__name__}: {error}). Is its file open?"
        ) from error
    if not source.shape or not len(source):
        raise SettingError(f"{what}its shape is {source.shape}: it must have rows.")
    if source.unwritten:
        warn(what + source.unwritten)
    return source.named(name)


def _kind(given: Any) -> str:
    """Return the name of a type, with its module where that says something."""
    module, name = type(given).__module__, type(given).__qualname__
    return name if module == "builtins" else f"{module}.{name}"


def _adapted(given: Any) -> Source:
    if isinstance(given, Source):
        return given
    if isinstance(given, np.ma.MaskedArray):
        try:
            return ArraySource(unmasked(given))
        except ValueError as error:
            raise SettingError(f"{error}.") from None
    if isinstance(given, np.ndarray):
        original = memory_map_of(given)
        return ArraySource(np.asarray(given)) if original is None else Mapped(given, original)
    library = type(given).__module__.partition(".")[0]
    if library == "h5py":
        return Hdf5(given)
    if library == "zarr":
        return Zarr(given)
    if is_computed(given):
        return Computed(given)
    return Sliced(given)
