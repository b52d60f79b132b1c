"""What a coupled difference compares: what the user sees of the variables that a step moves.

These are the parameters on their own scale, and the Deterministics that follow from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import prod

import numpy as np
import pytensor
from pymc.blocking import PointType
from pymc.model import Model
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import ancestors
from pytensor.scan.op import Scan
from pytensor.tensor.random.type import RandomType

from pymc_sgld.backends.numpy_mode import QUICK
from pymc_sgld.minibatch.graph.named_dimensions import lower

MOST_ENTRIES = 1000  # of all Deterministics that are compared
MOST_DATA = 10_000  # numbers that one of them may read


class ParameterValues:
    """Gives all entries of some free variables at a point of the model, in one vector.

    Those of the Deterministics that depend on these variables follow. Left out are Deterministics
    that are not float, that have an entry for each row of the data, that read more than `MOST_DATA`
    numbers, that draw random numbers or run a loop, and those that would make more than
    `MOST_ENTRIES` entries.

    Parameters
    ----------
    model : Model
        It holds the transforms.
    vars : sequence of Variable
        Value variables.
    point : dict
        Any point of the model; gives the shapes.

    Attributes
    ----------
    names : list of str
        Of the entries.
    """

    def __init__(self, model: Model, vars: Sequence[Variable], point: PointType) -> None:
        free = [model.values_to_rvs[value] for value in vars]
        self._moved = [value.name for value in vars]
        self._inputs = [value.name for value in model.value_vars]
        self._function = None
        if any(model.rvs_to_transforms.get(variable) for variable in free):
            self._function = _compile(model, lower(model.replace_rvs_by_values(free)))
        self.names = []
        for variable, value in zip(free, self._free(point), strict=True):
            self.names += _labels(variable.name, np.shape(value))
        derived = list(_comparable(model, vars, point))
        self._of_derived = _compile(model, [graph for _, graph, _ in derived]) if derived else None
        self._derived_size = sum(prod(shape) for _, _, shape in derived)
        for name, _, shape in derived:
            self.names += _labels(name, shape)

    def __call__(self, point: PointType) -> np.ndarray:
        """Return the values, shape (size,); NaN for Deterministics that fail at the point."""
        values = [np.ravel(value) for value in self._free(point)]
        if self._of_derived is not None:
            values.append(self._derived(point))
        return np.concatenate(values)

    def _free(self, point: PointType) -> list[np.ndarray]:
        if self._function is None:
            return [np.asarray(point[name]) for name in self._moved]
        with np.errstate(all="ignore"):
            return self._function(*[point[name] for name in self._inputs])

    def _derived(self, point: PointType) -> np.ndarray:
        """Return the Deterministics: an operation that fails, or new data, end no chain."""
        assert self._of_derived is not None
        try:
            with np.errstate(all="ignore"):
                values = self._of_derived(*[point[name] for name in self._inputs])
        except Exception:
            return np.full(self._derived_size, np.nan)
        found = np.concatenate([np.ravel(value) for value in values])
        return found if len(found) == self._derived_size else np.full(self._derived_size, np.nan)


def _compile(model: Model, graphs: Sequence[Variable]) -> pytensor.compile.Function:
    return pytensor.function(model.value_vars, graphs, mode=QUICK, on_unused_input="ignore")


def _labels(name: str, shape: tuple[int, ...]) -> list[str]:
    """Return the names of the entries of a variable, such as ``beta[2]``."""
    indices = np.ndindex(shape)
    return [f"{name}[{', '.join(map(str, index))}]" if index else name for index in indices]


def _comparable(
    model: Model, vars: Sequence[Variable], point: PointType
) -> Iterator[tuple[str, Variable, tuple[int, ...]]]:
    """Give the name, the graph and the shape of each Deterministic that is compared."""
    graphs = lower(model.replace_rvs_by_values(model.deterministics))
    named = zip(model.deterministics, graphs, strict=True)
    found = [(variable.name, graph) for variable, graph in named if _is_cheap(graph, vars)]
    if not found:
        return
    # which PyTensor infers: nothing is computed
    shapes = _compile(model, [graph.shape for _, graph in found])
    sizes = shapes(*[point[value.name] for value in model.value_vars])
    observed = [model.rvs_to_values[variable] for variable in model.observed_RVs]
    rows = {shape[0] for shape in _shapes_of_data(ancestors(observed)) if shape}
    left = MOST_ENTRIES
    for (name, graph), size in zip(found, sizes, strict=True):
        shape = tuple(map(int, size))
        by_row = rows & set(shape)
        if by_row and any(by_row & set(data) for data in _shapes_of_data(ancestors([graph]))):
            continue
        if prod(shape) <= left:
            left -= prod(shape)
            yield name, graph, shape


def _is_cheap(graph: Variable, vars: Sequence[Variable]) -> bool:
    """Whether a graph gives numbers that the variables move, always the same, and in no time."""
    if not np.issubdtype(graph.type.dtype, np.floating):
        return False
    needed = set(ancestors([graph]))
    if needed.isdisjoint(vars):
        return False
    if any(isinstance(variable.type, RandomType) for variable in needed):
        return False
    if any(isinstance(variable.owner.op, Scan) for variable in needed if variable.owner):
        return False
    return sum(map(prod, _shapes_of_data(needed))) <= MOST_DATA


def _shapes_of_data(variables: Iterable[Variable]) -> list[tuple[int, ...]]:
    """Return the shapes of the arrays among some variables."""
    found = []
    for variable in variables:
        if isinstance(variable, Constant):
            found.append(np.shape(variable.data))
        elif isinstance(variable, SharedVariable):
            found.append(np.shape(variable.get_value(borrow=True)))
    return found
