"""The position of the chain: the unconstrained variables that a step moves, in one vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytensor.tensor as pt
from pymc.blocking import PointType
from pymc.model import Model
from pytensor.graph.basic import Variable

from pymc_sgld.errors import SettingError
from pymc_sgld.minibatch.graph.rebuild import tensor


@dataclass(frozen=True)
class Coordinates:
    """Where a variable lies in the position: entries ``start`` to ``start + size``."""

    name: str  # as the user knows it
    value_name: str  # of the value variable, in the point
    shape: tuple[int, ...]
    dtype: str
    start: int
    size: int

    def label(self, index: int) -> str:
        """Return the name of one entry of the position, such as ``beta[2]``."""
        if not self.shape:
            return self.name
        entry = np.unravel_index(index - self.start, self.shape)
        return f"{self.name}[{', '.join(str(i) for i in entry)}]"


def moved(point: PointType, coordinates: Sequence[Coordinates], position: np.ndarray) -> PointType:
    """Return a point of the model with the variables of a position where that is."""
    new = dict(point)
    for c in coordinates:
        piece = position[c.start : c.start + c.size].reshape(c.shape)
        new[c.value_name] = np.asarray(piece, dtype=c.dtype)
    return new


def position_of(
    point: PointType, coordinates: Sequence[Coordinates], others: Mapping[str, str]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the position at a point of the model, shape (d,), and the values of other variables.

    ``others``: names and dtypes of these.
    """
    needed = [*[c.value_name for c in coordinates], *others]
    missing = [name for name in needed if name not in point]
    if missing:
        raise SettingError(
            f"the point has no values of {missing}: pass one of all value variables, as "
            "model.initial_point() returns it."
        )
    position = np.concatenate([np.ravel(point[c.value_name]) for c in coordinates])
    return position, [np.asarray(point[name], dtype=dtype) for name, dtype in others.items()]


def labels(coordinates: Sequence[Coordinates]) -> list[str]:
    """Return the names of the entries of the position."""
    return [c.label(c.start + i) for c in coordinates for i in range(c.size)]


class Inputs:
    """The position in the place of the value variables, and inputs for the other variables."""

    def __init__(self, model: Model, vars: Sequence[Variable], point: PointType) -> None:
        values = {v: np.asarray(point[v.name], dtype=v.type.dtype) for v in model.value_vars}
        size = sum(values[v].size for v in vars)
        dtype = np.result_type(*[v.type.dtype for v in vars])
        self.position = pt.tensor("position", dtype=str(dtype), shape=(size,))
        self.coordinates: list[Coordinates] = []
        self.pieces: list[Variable] = []
        self.others: dict[str, Variable] = {}
        self.replacements: dict[Variable, Variable] = {}
        self.names: dict[Variable, str] = {}
        self.values: dict[Variable, np.ndarray] = {}
        start = 0
        for v in vars:
            shape = values[v].shape
            name = model.values_to_rvs[v].name
            where = Coordinates(name, v.name, shape, v.type.dtype, start, values[v].size)
            piece = pt.reshape(self.position[start : start + where.size], shape)
            self.coordinates.append(where)
            self._replace(v, piece.astype(v.type.dtype), name)
            self.pieces.append(self.replacements[v])
            start += where.size
        for v in model.value_vars:
            if v not in self.replacements:
                other = tensor(v.name, v.type.dtype, values[v].shape)
                self.others[v.name] = other
                self._replace(v, other, model.values_to_rvs[v].name)
                self.values[other] = values[v]
        position = np.concatenate([values[v].ravel() for v in vars])
        self.values[self.position] = position.astype(dtype)

    def _replace(self, value: Variable, replacement: Variable, name: str) -> None:
        self.replacements[value] = replacement
        self.names[replacement] = name
