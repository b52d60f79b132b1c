"""Batches that the model declares itself, by ``pm.Minibatch``.

``pm.Minibatch`` picks rows with a random generator of its own, and ``total_size`` scales their
likelihood. Here its outputs become the batch that an update reads: the model runs as it is written,
with the rows in the order that the step chooses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from pymc.data import MinibatchOp
from pymc.model import Model
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.traversal import ancestors, toposort
from pytensor.tensor.type import TensorType

from pymc_sgld.errors import MinibatchError
from pymc_sgld.minibatch.graph.dispatch import RowsMixed
from pymc_sgld.minibatch.graph.fixed import FixedValues
from pymc_sgld.minibatch.graph.rebuild import rebuild, tensor
from pymc_sgld.minibatch.selection.rows import BatchSelection, Data


class Declared:
    """One call of ``pm.Minibatch``.

    ``leaves``: for each output of the call, the variable that takes its place.
    """

    def __init__(self, nodes: Sequence[Apply]) -> None:
        arrays = [v for v in nodes[0].inputs if isinstance(v.type, TensorType)]
        fixed = FixedValues(arrays, {})
        self.sources: dict[SharedVariable, np.ndarray] = fixed.sources
        self.total_size = 0
        self.leaves: dict[Variable, Variable] = {}
        self.data: list[Data] = []
        for i, array in enumerate(fixed.outputs):
            if not fixed.is_fixed(array):
                raise MinibatchError(
                    f'pm.Minibatch takes rows of "{array.name or array}", which is not data: pass '
                    "it arrays or pm.Data."
                )
            value = fixed.value(array)
            if self.data and len(value) != self.total_size:
                raise MinibatchError(
                    "pm.Minibatch takes rows of arrays of different lengths, "
                    f"{self.total_size} and {len(value)}: they must be as long as each other."
                )
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


class DeclaredRows(BatchSelection):
    """The rows of a batch that the model declares, where they must be alone on their axis.

    The batch is there already, but whether its rows are independent is not known: a stand-in takes
    the place of each leaf that the selection arrives at. A leaf that is left in a selected graph
    entered it in another way, through a mean over the batch or with one of its rows for all of
    them. Data that are found in the place of rows do not belong to the batch, unless all of their
    rows are the same.
    """

    def __init__(
        self, declared: Declared, fixed: FixedValues, parameters: Mapping[Variable, str]
    ) -> None:
        super().__init__(fixed, parameters, declared.batch_size, declared.batch_size)
        self._stand_ins = {
            item.variable: item.variable.type(item.variable.name) for item in declared.data
        }
        self.data = [
            replace(item, variable=self._stand_ins[item.variable]) for item in declared.data
        ]

    def leftover(self, graph: Variable) -> str | None:
        """Return that a graph reads the batch other than by its selected rows, or None."""
        if self._reads_batch(graph):
            return "every row depends on all rows of a batch of pm.Minibatch"
        return None

    def condition(self, condition: Variable) -> Variable:
        """Return a condition, all of whose rows are those of the batch."""
        return rebuild([condition], self._stand_ins)[0]

    def broadcasts(self, variable: Variable, axis: int) -> bool:
        """Whether a variable has no rows on that axis: of a batch of one row it may have."""
        return super().broadcasts(variable, axis) and not self._reads_batch(variable)

    def leaf(self, variable: Variable, axis: int) -> Variable | None:
        """Return rows of the batch, or data that are the same in every row."""
        if variable in self._stand_ins:
            if axis:
                raise RowsMixed("the batch of pm.Minibatch is not on the axis of the rows")
            return self._stand_ins[variable]
        if not self.is_read(variable):
            return None
        array = np.moveaxis(self.fixed.value(variable), axis, 0)
        if not (array == array[:1]).all():
            names = ", ".join(f'"{name}"' for name in self.fixed.names(variable))
            raise RowsMixed(
                f"{names or 'other data'} of {len(array)} entries stand beside the rows of "
                "pm.Minibatch without being among them: pass all data to one call of it"
            )
        return variable

    def read(self, array: np.ndarray, name: str | None, sources: Sequence[str] = ()) -> Variable:
        """Refuse what would have to be read beside the rows of the batch."""
        raise RowsMixed("the rows of pm.Minibatch are joined with others")

    def _reads_batch(self, graph: Variable) -> bool:
        return any(variable in self._stand_ins for variable in ancestors([graph]))


def check_all_sampled(vars: Sequence[Variable], model: Model) -> None:
    """Refuse to leave variables to other steps, which would see another batch at every call."""
    values = [model.rvs_to_values[rv] for rv in model.observed_RVs]
    made = ancestors([*model.observed_RVs, *values, *model.potentials])
    if not any(v.owner is not None and isinstance(v.owner.op, MinibatchOp) for v in made):
        return
    left = [model.values_to_rvs[value].name for value in model.value_vars if value not in vars]
    if left:
        raise MinibatchError(
            f"the model uses pm.Minibatch, and {', '.join(f'"{name}"' for name in left)} would be "
            "sampled by another step, which evaluates the density on one random batch after the "
            "other: its result would not be the posterior. Write the model with all its data, "
            "without pm.Minibatch and total_size, or let this step sample all variables."
        )
