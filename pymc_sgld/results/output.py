"""Arrays of results in memory, or in a zarr group on disk, that are written block by block."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from pymc.backends.arviz import coords_and_dims_for_inferencedata
from pymc.model import Model
from pytensor.xtensor.type import XTensorType

from pymc_sgld.errors import SettingError
from pymc_sgld.minibatch.graph.named_dimensions import rows_first


def names_of_dimensions(
    model: Model, name: str, shape: tuple[int, ...], rows: bool = True
) -> tuple[list[str], dict[str, Any]]:
    """Return the dimensions of a variable, as ArviZ names them, and their coordinates.

    Coordinates of another length than the dimension has are left out, as those of a template are.

    ``rows``: whether the coordinates of the first dimension are meant as well.
    """
    coords, dims = coords_and_dims_for_inferencedata(model)
    variable = model[name]
    if isinstance(variable.type, XTensorType):
        found = list(rows_first(variable, model.rvs_to_values[variable]).type.dims)
    else:
        found = list(dims.get(name, ()))
    found += [f"{name}_dim_{i}" for i in range(len(found), len(shape))]
    found = [f"{name}_dim_{i}" if each is None else each for i, each in enumerate(found)]
    lengths = dict(list(zip(found, shape, strict=True))[0 if rows else 1 :])
    fitting = {d: coords[d] for d, n in lengths.items() if d in coords and len(coords[d]) == n}
    return found, fitting


class Output(ABC):
    """Arrays that are written block by block along one of their axes."""

    @abstractmethod
    def add(
        self,
        name: str,
        shape: Sequence[int],
        dtype: Any,
        dimensions: Sequence[str],
        axis: int,
        block: int,
    ) -> None:
        """Make an array, which will be written in blocks of so many entries of that axis."""

    @abstractmethod
    def write(self, name: str, start: int, values: np.ndarray) -> None:
        """Write a block of an array."""

    @abstractmethod
    def close(self, coords: Mapping[str, Any], attrs: Mapping[str, Any]) -> xr.Dataset:
        """Return all arrays with coordinates and attributes."""

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *error: Any) -> None:
        """Leave nothing behind."""


def output(path: str | Path | None) -> Output:
    """Return where arrays are written: a new folder for zarr, or memory."""
    if path is None:
        return _Memory()
    if not isinstance(path, str | os.PathLike):
        raise SettingError(f"path={path!r} must be the name of a new folder.")
    if os.path.lexists(path):
        raise SettingError(
            f"path={os.fspath(path)!r} is there already: remove it, or name another folder. "
            "Nothing is overwritten."
        )
    try:
        import zarr  # noqa: F401
    except ImportError:
        raise SettingError(
            "path= writes zarr, which is not installed: pip install zarr, or leave path out."
        ) from None
    return _Zarr(Path(path))


class _Memory(Output):
    def __init__(self) -> None:
        self._arrays: dict[str, tuple[Sequence[str], np.ndarray, int]] = {}

    def add(
        self,
        name: str,
        shape: Sequence[int],
        dtype: Any,
        dimensions: Sequence[str],
        axis: int,
        block: int,
    ) -> None:
        self._arrays[name] = dimensions, np.empty(shape, dtype), axis

    def write(self, name: str, start: int, values: np.ndarray) -> None:
        _, array, axis = self._arrays[name]
        stop = start + values.shape[axis]
        array[(slice(None),) * axis + (slice(start, stop),)] = values

    def close(self, coords: Mapping[str, Any], attrs: Mapping[str, Any]) -> xr.Dataset:
        arrays = {name: (dims, array) for name, (dims, array, _) in self._arrays.items()}
        return xr.Dataset(arrays, coords, attrs)


class _Zarr(Output):
    """A group that has its name when it is complete, and another one until then."""

    def __init__(self, path: Path) -> None:
        import zarr

        self._path, self._partial = path, path.with_name(f"{path.name}.partial")
        try:
            self._group: Any = zarr.open_group(self._partial, mode="w", zarr_format=2)
        except OSError as error:
            raise SettingError(f"path={str(path)!r} cannot be written to: {error}.") from error
        self._axes: dict[str, int] = {}

    def add(
        self,
        name: str,
        shape: Sequence[int],
        dtype: Any,
        dimensions: Sequence[str],
        axis: int,
        block: int,
    ) -> None:
        chunks = [block if i == axis else n for i, n in enumerate(shape)]
        attributes: dict[str, Any] = {"_ARRAY_DIMENSIONS": list(dimensions)}
        self._group.create_array(
            name, shape=tuple(shape), dtype=dtype, chunks=tuple(chunks), attributes=attributes
        )
        self._axes[name] = axis

    def write(self, name: str, start: int, values: np.ndarray) -> None:
        axis = self._axes[name]
        stop = start + values.shape[axis]
        self._group[name][(slice(None),) * axis + (slice(start, stop),)] = values

    def close(self, coords: Mapping[str, Any], attrs: Mapping[str, Any]) -> xr.Dataset:
        own = xr.Dataset(coords=coords, attrs=attrs)
        own.to_zarr(self._partial, mode="a", consolidated=False, zarr_format=2)
        self._partial.rename(self._path)
        return xr.open_dataset(self._path, engine="zarr", chunks=None, consolidated=False)

    def __exit__(self, *error: Any) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)
