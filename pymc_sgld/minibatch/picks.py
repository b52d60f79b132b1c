"""Rows that the model picks by a fixed index, picked from the data: ``f(X)[i]`` is ``f(X[i])``.

Otherwise a model that leaves out the rows with missing values, reorders its rows or cuts them would
compute all of them to use a few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.tensor.subtensor import AdvancedSubtensor, Subtensor, indices_from_subtensor

from pymc_sgld.minibatch.fixed import FixedValues
from pymc_sgld.minibatch.graphs import rebuild
from pymc_sgld.minibatch.rows import RowSelection
from pymc_sgld.minibatch.rules import RowsMixed


def pick_from_data(fixed: FixedValues, parameters: Mapping[Variable, str]) -> None:
    """Move fixed indices in the graphs of ``fixed`` to the data, where no parameter is in the way.

    An index that repeats rows (``effect[group]``) stays where it is: it would make more to read.
    """

    def move(node: Apply, inputs: list[Variable]) -> list[Variable] | None:
        if not isinstance(node.op, Subtensor | AdvancedSubtensor) or fixed.is_fixed(inputs[0]):
            return None
        found = _fixed_index(node, inputs, fixed)
        if found is None:
            return None
        axis, index = found
        if len(index) > inputs[0].type.shape[axis]:
            return None
        try:
            return [PickedRows(fixed, parameters, inputs[0], axis, index).select(inputs[0], axis)]
        except RowsMixed:
            return None

    fixed.replace_outputs(rebuild(fixed.outputs, rule=move))


def _fixed_index(
    node: Apply, inputs: list[Variable], fixed: FixedValues
) -> tuple[int, np.ndarray] | None:
    """Return the one axis that a node indexes and the entries that it keeps, if both are fixed."""
    variable, *flat = inputs
    entries = list(indices_from_subtensor(flat, node.op.idx_list))
    used = [a for a, entry in enumerate(entries) if entry != slice(None)]
    if len(used) != 1 or variable.type.shape[used[0]] is None:
        return None
    [axis] = used
    everything = np.arange(variable.type.shape[axis])
    entry = entries[axis]
    if isinstance(entry, slice):
        bounds = (entry.start, entry.stop, entry.step)
        if not all(b is None or fixed.is_fixed(b) for b in bounds):
            return None
        return axis, everything[
            slice(*[None if b is None else int(fixed.value(b)) for b in bounds])
        ]
    if entry.type.ndim != 1 or not fixed.is_fixed(entry):
        return None
    try:
        return axis, everything[fixed.value(entry)]
    except IndexError:  # out of range, which the evaluation of the graph will say
        return None


class PickedRows(RowSelection):
    """The selection of rows that are the same at every update: leaves become constants."""

    def __init__(
        self,
        fixed: FixedValues,
        parameters: Mapping[Variable, str],
        variable: Variable,
        axis: int,
        index: np.ndarray,
    ) -> None:
        super().__init__(fixed, parameters, variable.type.shape[axis], len(index))
        self._index = index

    def read(self, array: np.ndarray, name: str | None, sources: Sequence[str] = ()) -> Variable:
        """Return the picked rows of an array that has the rows on its first axis."""
        name = sources[0] if sources else name
        return pt.constant(array[self._index], name=name, dtype=array.dtype.name)
