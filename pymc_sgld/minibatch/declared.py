"""Batches that the model declares itself, by ``pm.Minibatch``.

``pm.Minibatch`` picks rows with a random generator of its own, and ``total_size`` scales their
likelihood. Here its outputs become the batch that an update reads: the model runs as it is written,
with the rows in the order that the step chooses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pymc.data import MinibatchOp
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.traversal import ancestors, toposort
from pytensor.tensor.type import TensorType

from pymc_sgld.errors import MinibatchError
from pymc_sgld.minibatch.fixed import FixedValues
from pymc_sgld.minibatch.graphs import tensor
from pymc_sgld.minibatch.rows import Data, RowSelection
from pymc_sgld.minibatch.rules import RowsMixed


class Declared:
    """One call of ``pm.Minibatch``.

    Parameters
    ----------
    nodes : sequence of Apply
        Its node in the graphs, and copies of it.

    Attributes
    ----------
    total_size, batch_size : int
        Rows of the data, and of a batch.
    leaves : dict
        For each output of the call, the variable that takes its place.
    data : list of Data
        What these read.
    sources : dict
        The ``pm.Data`` behind them, with their values.
    """

    def __init__(self, nodes: Sequence[Apply]) -> None:
        arrays = [v for v in nodes[0].inputs if isinstance(v.type, TensorType)]
        fixed = FixedValues(arrays, {})
        self.sources: dict[SharedVariable, np.ndarray] = fixed.sources
        self.leaves: dict[Variable, Variable] = {}
        self.data: list[Data] = []
        for i, array in enumerate(fixed.outputs):
            if not fixed.is_fixed(array):
                raise MinibatchError(
                    f'pm.Minibatch takes rows of "{array.name or array}", which is not data: pass '
                    "it arrays or pm.Data."
                )
            value = fixed.value(array)
            self.total_size = len(value)
            self.batch_size = int(nodes[0].outputs[i].type.shape[0])
            shape = (self.batch_size, *value.shape[1:])
            leaf = tensor(nodes[0].outputs[i].name, array.type.dtype, shape)
            self.leaves.update({node.outputs[i]: leaf for node in nodes})
            self.data.append(Data(leaf, value, tuple(fixed.names(array)), by_row=True))
        if self.batch_size > self.total_size:
            raise MinibatchError(
                f"pm.Minibatch takes batches of {self.batch_size} rows from {self.total_size}: "
                f"use at most {self.total_size}."
            )

    def starts(self) -> list[int]:
        """Return the first rows of batches that cover all rows; the last two may overlap."""
        last = self.total_size - self.batch_size
        return [*range(0, last, self.batch_size), last]

    @staticmethod
    def find(graphs: Sequence[Variable]) -> list[Declared]:
        """Return the calls of ``pm.Minibatch`` in graphs, told apart by their random generator."""
        calls: dict[Variable, list[Apply]] = {}
        for node in toposort(graphs):
            if isinstance(node.op, MinibatchOp):
                calls.setdefault(node.inputs[-1], []).append(node)
        return [Declared(nodes) for nodes in calls.values()]

    @staticmethod
    def of(graph: Variable, declared: Sequence[Declared]) -> list[Declared]:
        """Return the calls whose rows a graph reads, by the variables in their place."""
        found = set(ancestors([graph]))
        return [minibatch for minibatch in declared if found & set(minibatch.leaves.values())]


class DeclaredRows(RowSelection):
    """The rows of a batch that the model declares, where they must be alone on their axis.

    Nothing is left to select; what is found beside them in the place of rows does not belong to
    the batch, unless all of its rows are the same.
    """

    def __init__(
        self, declared: Declared, fixed: FixedValues, parameters: Mapping[Variable, str]
    ) -> None:
        super().__init__(fixed, parameters, declared.batch_size, declared.batch_size)
        self._leaves = set(declared.leaves.values())

    def _select(self, variable: Variable, axis: int) -> Variable:
        if variable not in self._leaves:
            return super()._select(variable, axis)
        if axis:
            raise RowsMixed("the batch of pm.Minibatch is not on the axis of the rows")
        return variable

    def read(self, array: np.ndarray, name: str | None, sources: Sequence[str] = ()) -> Variable:
        """Refuse what would have to be read beside the rows of the batch."""
        raise RowsMixed("the rows of pm.Minibatch are joined with others")

    def _read(self, variable: Variable, axis: int) -> Variable:
        array = np.moveaxis(self.fixed.value(variable), axis, 0)
        if not (array == array[:1]).all():
            names = ", ".join(f'"{name}"' for name in self.fixed.names(variable))
            raise RowsMixed(
                f"{names or 'other data'} of {len(array)} entries stand beside the rows of "
                "pm.Minibatch without being among them: pass all data to one call of it"
            )
        return variable
