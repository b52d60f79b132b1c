"""Rows that the model picks by a fixed index, picked from the data: ``f(X)[i]`` is ``f(X[i])``.

Otherwise a model that leaves out the rows with missing values, reorders its rows or cuts them would
compute all of them to use a few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.tensor.subtensor import AdvancedSubtensor, Subtensor, indices_from_subtensor

from pymc_sgld.minibatch.graph.dispatch import RowsMixed
from pymc_sgld.minibatch.graph.fixed import FixedValues
from pymc_sgld.minibatch.graph.rebuild import rebuild
from pymc_sgld.minibatch.selection.rows import RowSelection


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
        axis, index, others = found
        if inputs[0].type.shape[axis] == 1 or len(index) == 0:
            return None  # nothing is picked from what may be broadcast
        if len(index) > prod(inputs[0].type.shape[: axis + 1 + len(others)][axis:]):
            return None
        rows = PickedRows(fixed, parameters, inputs[0], axis, index)
        try:
            picked = rows.select(inputs[0], axis)
        except RowsMixed:
            return None
        if others and isinstance(others[0], np.ndarray):
            return [picked[(np.arange(len(index)), *others)]]
        return [picked[(slice(None),) * (axis + 1) + tuple(others)] if others else picked]

    fixed.replace_outputs(rebuild(fixed.outputs, rule=move))


def _fixed_index(
    node: Apply, inputs: list[Variable], fixed: FixedValues
) -> tuple[int, np.ndarray, list] | None:
    """Return an axis that a node indexes, the entries that it keeps, and indices of the next axes.

    None where the index is not fixed, or is something else than a slice, a list, or lists of
    entries of the first axes.
    """
    variable, *flat = inputs
    entries = list(indices_from_subtensor(flat, node.op.idx_list))
    used = [a for a, entry in enumerate(entries) if entry != slice(None)]
    if not used or variable.type.shape[used[0]] is None:
        return None
    axis = used[0]
    everything = np.arange(variable.type.shape[axis])
    entry, others = entries[axis], entries[axis + 1 :]
    if isinstance(entry, slice):
        cut = fixed.cut(entry)
        return None if len(used) > 1 or cut is None else (axis, everything[cut], [])
    arrays = [entries[a] for a in used if not isinstance(entries[a], slice) and entries[a].ndim]
    if entry.ndim == 0 or not all(fixed.is_fixed(array) for array in arrays):
        return None
    lists = [
        part
        for value in map(fixed.value, arrays)
        for part in (np.nonzero(value) if value.dtype == bool else [value])
    ]
    if any(part.ndim != 1 or len(part) != len(lists[0]) for part in lists):
        return None
    if len(lists) > 1:
        if used != list(range(len(arrays))):  # lists with slices between them
            return None
        others = lists[1:]
    try:
        return axis, everything[lists[0]], others
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

    def leaf(self, variable: Variable, axis: int) -> Variable | None:
        """Return the picked rows of data."""
        return self.read_fixed(variable, axis)

    def read(self, array: np.ndarray, name: str | None, sources: Sequence[str] = ()) -> Variable:
        """Return the picked rows of an array that has the rows on its first axis."""
        name = sources[0] if sources else name
        return pt.constant(array[self._index], name=name, dtype=array.dtype.name)
