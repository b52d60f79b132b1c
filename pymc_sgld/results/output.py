"""Arrays of results in memory, or in a zarr group on disk, that are written block by block."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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


class Layout(NamedTuple):
    """What an array is like, and how it is written."""

    shape: tuple[int, ...]
    dtype: Any
    dimensions: Sequence[str]
    axis: int  # along which it is written, block by block
    block: int  # entries of that axis in a block


class Output(ABC):
    """Arrays that are written block by block along one of their axes."""

    def __init__(self) -> None:
        self._arrays: dict[str, tuple[Any, Layout]] = {}

    def add(self, name: str, layout: Layout) -> None:
        """Make an array."""
        self._arrays[name] = self._made(name, layout), layout

    def write(self, name: str, start: int, values: np.ndarray) -> None:
        """Write a block of an array."""
        array, layout = self._arrays[name]
        stop = start + values.shape[layout.axis]
        array[(slice(None),) * layout.axis + (slice(start, stop),)] = values

    @abstractmethod
    def _made(self, name: str, layout: Layout) -> Any:
        """Return an array that is to be written."""

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
    def _made(self, name: str, layout: Layout) -> np.ndarray:
        return np.empty(layout.shape, layout.dtype)

    def close(self, coords: Mapping[str, Any], attrs: Mapping[str, Any]) -> xr.Dataset:
        arrays = {name: (layout.dimensions, a) for name, (a, layout) in self._arrays.items()}
        return xr.Dataset(arrays, coords, attrs)


class _Zarr(Output):
    """A group that has its name when it is complete, and another one until then."""

    def __init__(self, path: Path) -> None:
        import zarr

        super().__init__()
        self._path, self._partial = path, path.with_name(f"{path.name}.partial")
        try:
            self._group: Any = zarr.open_group(self._partial, mode="w", zarr_format=2)
        except OSError as error:
            raise SettingError(f"path={str(path)!r} cannot be written to: {error}.") from error

    def _made(self, name: str, layout: Layout) -> Any:
        shape, dtype, dimensions, axis, block = layout
        return self._group.create_array(
            name,
            shape=shape,
            dtype=dtype,
            chunks=(*shape[:axis], block, *shape[axis + 1 :]),
            attributes={"_ARRAY_DIMENSIONS": list(dimensions)},
        )

    def close(self, coords: Mapping[str, Any], attrs: Mapping[str, Any]) -> xr.Dataset:
        own = xr.Dataset(coords=coords, attrs=attrs)
        own.to_zarr(self._partial, mode="a", consolidated=False, zarr_format=2)
        self._partial.rename(self._path)
        return xr.open_dataset(self._path, engine="zarr", chunks=None, consolidated=False)

    def __exit__(self, *error: Any) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)
