"""The parameters that a step moves, on their own scale: what the user sees in the result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytensor
from pymc.blocking import PointType
from pymc.model import Model
from pytensor.graph.basic import Variable

from pymc_sgld.backends.numpy_mode import QUICK
from pymc_sgld.minibatch.graph.named_dimensions import lower


class ParameterValues:
    """Gives all entries of some free variables at a point of the model, in one vector.

    Parameters
    ----------
    model : Model
        It holds the transforms.
    vars : sequence of Variable
        Value variables.
    point : dict
        Any point of the model; gives the shapes.
    """

    def __init__(self, model: Model, vars: Sequence[Variable], point: PointType) -> None:
        free = [model.values_to_rvs[value] for value in vars]
        self._moved = [value.name for value in vars]
        self._inputs = [value.name for value in model.value_vars]
        self._function = None
        if any(model.rvs_to_transforms.get(variable) for variable in free):
            self._function = pytensor.function(
                model.value_vars,
                lower(model.replace_rvs_by_values(free)),
                mode=QUICK,
                on_unused_input="ignore",
            )
        self.names = []
        for variable, value in zip(free, self._values(point), strict=True):
            indices = np.ndindex(np.shape(value))
            labels = [f"[{', '.join(map(str, index))}]" if index else "" for index in indices]
            self.names += [f"{variable.name}{label}" for label in labels]

    def __call__(self, point: PointType) -> np.ndarray:
        """Return the values, shape (size,)."""
        return np.concatenate([np.ravel(value) for value in self._values(point)])

    def _values(self, point: PointType) -> list[np.ndarray]:
        if self._function is None:
            return [np.asarray(point[name]) for name in self._moved]
        with np.errstate(all="ignore"):
            return self._function(*[point[name] for name in self._inputs])
