"""The selection of some rows of the data, in graphs of a log density.

``select(variable, axis)`` returns the variable as it would be if only the selected rows of the
data existed along ``axis``. A rule for an op (``rules``) says which axes of its inputs those rows
are; at a leaf (a variable that does not depend on the position) the selection becomes a batch that
is read at every update. An op that mixes rows has no rule, and stops the push with an error. So
the result is right by construction: nothing has to guess which arrays are data.

What a leaf is depends on where the rows come from: each kind of selection is a class of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
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

from pymc_sgld.minibatch.graph.dispatch import RowsMixed, select_through
from pymc_sgld.minibatch.graph.fixed import FixedValues
from pymc_sgld.minibatch.graph.rebuild import tensor


@dataclass(frozen=True)
class Data:
    """Data that an update reads: ``variable`` stands in the graph for rows of ``array``."""

    # shape (batch_size, ...): the selected rows on the first axis, or the whole array
    variable: Variable
    array: Any  # shape (total_size, ...): all rows
    names: tuple[str, ...]  # names of the data in the model that the array was made of
    by_row: bool  # whether the variable holds selected rows
    template: np.ndarray | None = None  # the rows that the model has in the place of a source

    @property
    def whole(self) -> np.ndarray:
        """All rows, in memory."""
        return self.array if isinstance(self.array, np.ndarray) else self.array[:]


class RowSelection(ABC):
    """The selection of ``batch_size`` of ``total_size`` rows.

    Parameters
    ----------
    parameters : dict
        The variables at which the position enters the graphs, with their names.
    total_size, batch_size : int
        Rows of the data, and those that are selected.

    ``data``: what an update reads by the row.
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

    @abstractmethod
    def leaf(self, variable: Variable, axis: int) -> Variable | None:
        """Return the selected rows of a variable at which the selection ends, or None: it goes on.

        Raises
        ------
        RowsMixed
            When the variable cannot be read by rows.
        """

    @abstractmethod
    def read(self, array: np.ndarray, name: str | None, sources: Sequence[str] = ()) -> Variable:
        """Return the selected rows of an array that has the rows on its first axis."""

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
        found = self.leaf(variable, axis)
        if found is not None:
            return found
        if variable in self.parameters:
            raise RowsMixed(f'"{self.parameters[variable]}" is a parameter with one entry per row')
        node = variable.owner
        if node is None:
            raise RowsMixed(f'"{variable}" is not data')
        made = select_through(node.op, node, axis, self)
        return made if isinstance(made, Variable) else made[node.outputs.index(variable)]

    def broadcasts(self, variable: Variable, axis: int) -> bool:
        """Whether a variable has no rows on that axis: its length is 1 there."""
        if variable.type.shape[axis] is None and self.fixed.is_fixed(variable):
            return self.fixed.value(variable).shape[axis] == 1
        return variable.type.shape[axis] == 1

    def select_if_long(self, variable: Variable, axis: int) -> Variable:
        """Return a variable as it is where it has no rows on that axis; else the selected ones.

        An axis before its first one, below zero, is one that it has not.
        """
        without = axis < 0 or self.broadcasts(variable, axis)
        return variable if without else self.select(variable, axis)

    def at(self, entries: np.ndarray, length: int, repeats: bool = True) -> RowSelection:
        """Return the selection of one entry for each row, from axes of ``length`` entries.

        Without ``repeats`` each of these belongs to one row, and parameters are refused.
        """
        if np.array_equal(entries, np.arange(length)):
            return self
        return _Entries(self, entries, length, repeats)

    def is_read(self, variable: Variable) -> bool:
        """Whether rows of a variable are read, and not computed from what it is made of."""
        return self.fixed.is_fixed(variable) and not _is_cheaper_to_compute(variable.owner)

    def read_fixed(self, variable: Variable, axis: int) -> Variable | None:
        """Return the selected rows of data in memory, or None where a variable is something else.

        Raises
        ------
        RowsMixed
            When it has another number of rows.
        """
        if not self.is_read(variable):
            return None
        array = np.moveaxis(self.fixed.value(variable), axis, 0)
        if len(array) != self.total_size:
            raise RowsMixed(
                f'"{variable.name or variable}" has {len(array)} entries in the place of rows'
            )
        batch = self.read(array, variable.name, self.fixed.names(variable))
        return pt.moveaxis(batch, 0, axis) if axis else batch


class BatchSelection(RowSelection):
    """The selection of the rows of a batch, which is another one at every update."""

    def all_rows(self, graph: Variable) -> str | None:
        """Return the data in memory with all their rows that a graph holds, in words, or None."""
        for variable in self.fixed.largest_fixed([graph]):
            if self.total_size in variable.type.shape and self.total_size > self.batch_size:
                sources = ", ".join(f'"{source}"' for source in self.fixed.names(variable))
                return f"every row depends on all rows of {sources or 'its data'}"
        return None

    @abstractmethod
    def leftover(self, graph: Variable) -> str | None:
        """Return what a selected graph reads of the rows in another way, in words, or None."""

    @abstractmethod
    def condition(self, condition: Variable) -> Variable:
        """Return a condition of the density for the selected rows; one without rows as it is.

        Raises
        ------
        RowsMixed
            When all rows enter it.
        """


class StoredRows(BatchSelection):
    """The rows of a batch of data in memory."""

    def leaf(self, variable: Variable, axis: int) -> Variable | None:
        """Return rows of data."""
        return self.read_fixed(variable, axis)

    def read(self, array: np.ndarray, name: str | None, sources: Sequence[str] = ()) -> Variable:
        """Return an input for the selected rows of an array."""
        batch = tensor(name, array.dtype.name, (self.batch_size, *array.shape[1:]))
        self.data.append(Data(batch, array, tuple(sources), by_row=True))
        return batch

    def leftover(self, graph: Variable) -> str | None:
        """Return the data with all their rows that a graph holds in spite of the selection."""
        return self.all_rows(graph)

    def condition(self, condition: Variable) -> Variable:
        """Return a condition for the selected rows."""
        axes = [a for a, length in enumerate(condition.type.shape) if length == self.total_size]
        if not axes or self.total_size == self.batch_size or self.fixed.is_fixed(condition):
            return condition
        try:
            return self.select(condition, axes[0])
        except RowsMixed as error:
            if self.leftover(condition) is None:
                return condition  # made of as many parameters as there are rows
            raise RowsMixed(f"in a check of its parameters, {error.reason}") from error


class _Entries(RowSelection):
    """The selection of ``entries[row]`` for the selected rows, from axes of another length."""

    def __init__(self, rows: RowSelection, entries: np.ndarray, length: int, repeats: bool) -> None:
        super().__init__(rows.fixed, rows.parameters, length, rows.batch_size)
        self._rows = rows
        self._entries = entries
        self._index: Variable | None = None
        self._repeats = repeats and length < len(entries)

    def leaf(self, variable: Variable, axis: int) -> Variable | None:
        indexed = variable in self.parameters and self._repeats  # as by a group
        if not indexed and not self.is_read(variable):
            return None
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
