"""What the user gave as sources of rows, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pymc_sgld.errors import SettingError
from pymc_sgld.sources.files import Hdf5, Mapped, memory_map_of
from pymc_sgld.sources.source import Sliced, Source, Stored


def bind(data: Any) -> dict[str, Source]:
    """Return a source for each name.

    Raises
    ------
    SettingError
        For something that is no source.
    """
    if data is None:
        return {}
    if not isinstance(data, Mapping) or not all(isinstance(name, str) for name in data):
        raise SettingError(
            f"data={data!r:.60} must be a dictionary from the names of pm.Data or observed "
            "variables to sources of rows."
        )
    return {name: _bind(name, given) for name, given in data.items()}


def _bind(name: str, given: Any) -> Source:
    """Return a source for one name."""
    what = f'data["{name}"] is a {type(given).__module__}.{type(given).__name__}: '
    if not isinstance(given, Source) and not all(
        hasattr(given, part) for part in ("shape", "dtype", "__getitem__")
    ):
        raise SettingError(
            f"{what}a source of rows has a shape, a dtype, and rows by slices, as arrays have. See "
            "pymc_sgld.sources for files and iterators."
        )
    try:
        source = _adapted(given)
    except (SettingError, TypeError) as error:
        raise SettingError(f"{what}{error}") from None
    if not source.shape or not len(source):
        raise SettingError(f"{what}its shape is {source.shape}: it must have rows.")
    return source.named(name)


def _adapted(given: Any) -> Source:
    if isinstance(given, Source):
        return given
    if isinstance(given, np.ndarray):
        original = memory_map_of(given)
        return Stored(np.asarray(given)) if original is None else Mapped(given, original)
    if type(given).__module__.partition(".")[0] == "h5py":
        return Hdf5(given)
    return Sliced(given)
