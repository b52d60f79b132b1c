"""The selection of some rows of the data, in graphs of a log density.

``select(variable, axis)`` returns the variable as it would be if only the selected rows of the
data existed along ``axis``. A rule for an op (``rules``) says which axes of its inputs those rows
are; at a leaf (a variable that does not depend on the position) the selection becomes a batch that
is read at every update. An op that mixes rows has no rule, and stops the push with an error. So
the result is right by construction: nothing has to guess which arrays are data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.scalar.basic import Cast
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.subtensor import AdvancedSubtensor

from pymc_sgld.minibatch.graph.fixed import FixedValues
from pymc_sgld.minibatch.graph.rebuild import tensor
from pymc_sgld.minibatch.selection.rules import RowsMixed, select_through


@dataclass(frozen=True)
class Data:
    """Data that an update reads: ``variable`` stands in the graph for rows of ``array``.

    Attributes
    ----------
    variable : TensorVariable, shape (batch_size, ...) or that of the array
        The selected rows on the first axis, or the whole array.
    array : ndarray or Source, shape (total_size, ...)
        All rows.
    names : tuple of str
        Names of the data in the model that the array was made of.
    by_row : bool
        Whether the variable holds selected rows.
    template : ndarray or None
        The rows that the model has in the place of a source.
    """

    variable: Variable
    array: Any
    names: tuple[str, ...]
    by_row: bool
    template: np.ndarray | None = None

    @property
    def whole(self) -> np.ndarray:
        """All rows, in memory."""
        return self.array if isinstance(self.array, np.ndarray) else self.array[:]


class RowSelection:
    """The selection of ``batch_size`` of ``total_size`` rows, and the data that it reaches.

    ``parameters`` names the variables at which the position enters the graphs.
    """

    def __init__(
        self,
        fixed: FixedValues,
        parameters: Mapping[Variable, str],
        total_size: int,
        batch_size: int,
    ) -> None:
        self.fixed = fixed
        self.parameters = parameters
        self.total_size = total_size
        self.batch_size = batch_size
        self.data: list[Data] = []
        self._selected: dict[tuple[Variable, int], Variable] = {}

    def select(self, variable: Variable, axis: int) -> Variable:
        """Return ``variable`` with only the selected rows along ``axis``.

        Raises
        ------
        RowsMixed
            When an op without a rule, or a parameter with one entry per row, is in the way.
        """
        key = (variable, axis)
        if key not in self._selected:
            self._selected[key] = self._select(variable, axis)
        return self._selected[key]

    def _select(self, variable: Variable, axis: int) -> Variable:
        node = variable.owner
        if self.fixed.is_fixed(variable) and not _is_cheaper_to_compute(node):
            return self._read(variable, axis)
        if variable in self.parameters:
            raise RowsMixed(f'"{self.parameters[variable]}" has one entry per row')
        if node is None:
            raise RowsMixed(f'"{variable}" is not data')
        made = select_through(node.op, node, axis, self)
        return made if isinstance(made, Variable) else made[node.outputs.index(variable)]

    def broadcasts(self, variable: Variable, axis: int) -> bool:
        """Whether a variable has no rows on that axis: its length is 1 there."""
        if variable.type.shape[axis] is None and self.fixed.is_fixed(variable):
            return self.fixed.value(variable).shape[axis] == 1
        return variable.type.shape[axis] == 1

    def _read(self, variable: Variable, axis: int) -> Variable:
        array = np.moveaxis(self.fixed.value(variable), axis, 0)
        if len(array) != self.total_size:
            raise RowsMixed(
                f'"{variable.name or variable}" has {len(array)} entries in the place of rows'
            )
        batch = self.read(array, variable.name, self.fixed.names(variable))
        return pt.moveaxis(batch, 0, axis) if axis else batch

    def read(self, array: np.ndarray, name: str | None, sources: Sequence[str] = ()) -> Variable:
        """Return the selected rows of an array that has the rows on its first axis."""
        batch = tensor(name, array.dtype.name, (self.batch_size, *array.shape[1:]))
        self.data.append(Data(batch, array, tuple(sources), by_row=True))
        return batch

    def at(self, entries: np.ndarray, length: int, repeats: bool = True) -> RowSelection:
        """Return the selection of one entry for each row, from axes of ``length`` entries.

        Without ``repeats`` each of these belongs to one row, and parameters are refused.
        """
        if np.array_equal(entries, np.arange(length)):
            return self
        return _Entries(self, entries, length, repeats)


class _Entries(RowSelection):
    """The selection of ``entries[row]`` for the selected rows, from axes of another length."""

    def __init__(self, rows: RowSelection, entries: np.ndarray, length: int, repeats: bool) -> None:
        super().__init__(rows.fixed, rows.parameters, length, rows.batch_size)
        self._rows = rows
        self._entries = entries
        self._index: Variable | None = None
        self._repeats = repeats and length < len(entries)

    def _select(self, variable: Variable, axis: int) -> Variable:
        if variable in self.parameters and self._repeats:  # as one that is indexed by a group
            return self._read(variable, axis)
        return super()._select(variable, axis)

    def _read(self, variable: Variable, axis: int) -> Variable:
        if self._index is None:
            self._index = self.read(np.arange(self.total_size), None)
        return pt.take(variable, self._index, axis=axis)

    def read(self, array: np.ndarray, name: str | None, sources: Sequence[str] = ()) -> Variable:
        return self._rows.read(array[self._entries], name, sources)


def _is_cheaper_to_compute(node: Apply | None) -> bool:
    """Whether to read the inputs of a fixed node and compute its output for every batch.

    A transposed array is the same data, a cast to a wider type would only be more to read, and a
    number per row that is made of others (``y < 0``) is not worth an array of its own, nor is a
    table whose rows are repeated. Everything else (a standardised design matrix, a spline basis)
    is computed once, for all rows.
    """
    if node is None:
        return False
    if isinstance(node.op, DimShuffle):
        return True
    if isinstance(node.op, AdvancedSubtensor):
        before, after = node.inputs[0].type.shape, node.outputs[0].type.shape
        return len(after) > 1 and None not in (*before, *after) and prod(before) < prod(after)
    if not isinstance(node.op, Elemwise):
        return False
    if isinstance(node.op.scalar_op, Cast):
        before, after = node.inputs[0].type.dtype, node.outputs[0].type.dtype
        return np.dtype(before).itemsize <= np.dtype(after).itemsize
    return node.outputs[0].type.ndim == 1
