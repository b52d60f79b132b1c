"""The selection of groups: of what has one entry for each of them, and of their rows.

The effects of the groups of a batch are variables of their own. Where the model picks the effect of
each row by its group, ``f(effects)[group]``, the selection of rows goes over to one of groups:
the same graph ``f`` of the effects of the batch, repeated for the rows of each group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.subtensor import AdvancedSubtensor

from pymc_sgld.minibatch.graph.dispatch import RowsMixed
from pymc_sgld.minibatch.graph.rebuild import tensor
from pymc_sgld.minibatch.groups.layout import SizeClass
from pymc_sgld.minibatch.groups.levels import ByIndex
from pymc_sgld.minibatch.selection.from_sources import (
    check_source,
    every_row,
    same_in_every_row,
)
from pymc_sgld.minibatch.selection.rows import BatchSelection, Data, RowSelection
from pymc_sgld.minibatch.terms import Term
from pymc_sgld.sources.source import Source

if TYPE_CHECKING:
    from pymc_sgld.minibatch.groups.groups import Groups


class BatchOfGroups:
    """The data of the groups of a batch: an input for each array, however often it is read.

    ``data``: what an update reads by the group.
    """

    def __init__(self, members: SizeClass, batch_size: int) -> None:
        self.members, self.batch_size = members, batch_size
        self.data: list[Data] = []
        self._inputs: dict[int, Variable] = {}

    def read(
        self, array: np.ndarray | Source, name: str | None, sources: Sequence[str] = ()
    ) -> Variable:
        """Return an input for entries of an array that has one for each group of the class."""
        if id(array) not in self._inputs:
            batch = tensor(name, array.dtype.name, (self.batch_size, *array.shape[1:]))
            self._inputs[id(array)] = batch
            self.data.append(Data(batch, array, tuple(sources), by_row=True))
        return self._inputs[id(array)]


class GroupSelection(RowSelection):
    """The selection of the groups of a batch, some times over with other effects.

    ``effects``: by the variable of the model, the axis of its groups, and what takes its place for
    the groups of the batch, shape (copies * batch_size, ...).
    """

    def __init__(
        self,
        groups: Groups,
        batch: BatchOfGroups,
        effects: Mapping[Variable, tuple[int, Variable]],
        copies: int,
    ) -> None:
        super().__init__(groups.fixed, groups.parameters, groups.count, copies * batch.batch_size)
        self._batch, self._effects, self._copies = batch, effects, copies

    def leaf(self, variable: Variable, axis: int) -> Variable | None:
        """Return the effects of the groups of a batch, or their data."""
        if variable in self._effects:
            own, effects = self._effects[variable]
            if own != axis:
                raise RowsMixed(f'"{self.parameters[variable]}" has its groups on two axes')
            return pt.moveaxis(effects, 0, axis) if axis else effects
        return self.read_fixed(variable, axis)

    def read(self, array: np.ndarray, name: str | None, sources: Sequence[str] = ()) -> Variable:
        """Return entries of an array for the groups of a batch, as often as there are copies."""
        found = self._batch.read(self._batch.members.of_groups(array), name, sources)
        return repeated(found, self._copies, 0) if self._copies > 1 else found


def repeated(variable: Variable, times: int, axis: int) -> Variable:
    """Return a variable so many times over: joined on its first axis, or each entry by itself (1).

    A reshaped sum with zeros, whose gradient is a sum over an axis.
    """
    shape = [*variable.type.shape]
    shape.insert(axis, times)
    zeros = np.zeros(shape[:2] + [1] * (len(shape) - 2), dtype=variable.type.dtype)
    if variable.type.dtype == "bool":
        wide = pt.expand_dims(variable, axis) | pt.constant(zeros)
    else:
        wide = pt.expand_dims(variable, axis) + pt.constant(zeros)
    return wide.reshape((shape[0] * shape[1], *shape[2:])).astype(variable.type.dtype)


@dataclass(frozen=True, eq=False)
class Picked:
    """What a model picks by the group of each row."""

    variable: Variable  # in the place of it in the graph of the rows: they are on ``axis``
    axis: int
    of_groups: Variable  # a graph of the effects of all groups
    group_axis: int  # where it has the groups
    others: tuple[Any, ...]  # indices of its other axes

    def select(self, groups: RowSelection) -> Variable:
        """Return it for a selection of groups, which are on the first axis."""
        found = pt.moveaxis(groups.select(self.of_groups, self.group_axis), self.group_axis, 0)
        return found[(slice(None), *self.others)] if self.others else found


class RowsOfGroups(BatchSelection):
    """The rows of the groups of a batch, of one observed variable.

    ``picked``: what the graphs that were selected pick by the group.
    """

    def __init__(self, groups: Groups, term: Term, batch: BatchOfGroups) -> None:
        self.longest = batch.members.longest_of(term.name)
        self._name, self._index, self._groups = term.name, groups.index[term.name], groups.count
        self._levels, self._streamed = groups.levels, bool(term.streamed)
        self._batch, self._effects = batch, set(groups.variables)
        # of sources, the graph has the rows of the template
        rows = len(term.streamed[0].template) if term.streamed else len(self._index)
        size = batch.batch_size * self.longest
        super().__init__(groups.fixed, groups.parameters, rows, size)
        self.picked: list[Picked] = []

    def depends(self, graph: Variable) -> bool:
        """Whether a graph has effects of all groups in it."""
        return not self._effects.isdisjoint(ancestors([graph]))

    def leaf(self, variable: Variable, axis: int) -> Variable | None:
        """Return rows of data, or what is picked by the group of each row."""
        if variable in self._effects:
            if self._streamed or not np.array_equal(self._index, np.arange(self._groups)):
                raise RowsMixed(f'"{self.parameters[variable]}" has one entry per row')
            return self._pick(variable, axis, variable, axis, ())
        node = variable.owner
        if node is not None and isinstance(node.op, AdvancedSubtensor):
            found = self._picked_by_group(variable, axis)
            if found is not None:
                return found
        rows = self._levels.rows(variable)
        if rows is None:
            if self._streamed:
                check_source(self, variable)
            return self.read_fixed(variable, axis)
        if axis:
            raise RowsMixed(f'the rows of "{variable.name}" are not on its first axis')
        batch, dtype = self._read(rows, variable.name, [variable.name]), variable.type.dtype
        return batch.astype(dtype if "float" in dtype else np.result_type(dtype, batch.type.dtype))

    def read(self, array: np.ndarray, name: str | None, sources: Sequence[str] = ()) -> Variable:
        """Return an input for the rows of the groups of a batch."""
        if self._streamed:
            return same_in_every_row(array, sources, self.batch_size)
        return self._read(array, name, sources)

    def _read(
        self, rows: np.ndarray | Source, name: str | None, sources: Sequence[str]
    ) -> Variable:
        found = self._batch.read(self._batch.members.padded(rows, self._name), name, sources)
        return found.reshape((self.batch_size, *rows.shape[1:]))

    def at(self, entries: np.ndarray, length: int, repeats: bool = True) -> RowSelection:
        """Return the selection of one entry for each row; of sources, every row is one."""
        if not self._streamed:
            return super().at(entries, length, repeats)
        every_row(entries, length, self.total_size)
        return self

    def leftover(self, graph: Variable) -> str | None:
        """Return what a selected graph reads of all rows, or of the effects of all groups."""
        for variable in self._effects.intersection(ancestors([graph])):
            return f'"{self.parameters[variable]}" enters in another way than by the group of a row'
        if self._streamed:
            read = self._levels.is_read(graph)
            return "every row depends on all rows of a source" if read else None
        return self.all_rows(graph)

    def condition(self, condition: Variable) -> Variable:
        """Return a condition for the selected rows; one without rows as it is."""
        axes = [a for a, length in enumerate(condition.type.shape) if length == self.total_size]
        if self._streamed and self.leftover(condition) is None:
            return condition
        if not self._streamed and (not axes or self.fixed.is_fixed(condition)):
            return condition
        for axis in axes:
            selected = self.select(condition, axis)
            if not self._streamed or self.leftover(selected) is None:
                return selected
        raise RowsMixed("a check of its parameters uses all rows at once")

    def _picked_by_group(self, variable: Variable, axis: int) -> Variable | None:
        """Return what an index picks of effects by the group, or None if it does not."""
        found = ByIndex.find(variable)
        if found is None or found.axis != axis or not self.depends(found.of):
            return None
        index = self._levels.of(found)
        if index is None:
            return None
        if index is not self._index and not np.array_equal(index, self._index):
            raise RowsMixed("effects of groups are picked by another index than the group of a row")
        return self._pick(variable, axis, found.of, found.group_axis, found.others)

    def _pick(
        self, variable: Variable, axis: int, of: Variable, group_axis: int, others: tuple[Any, ...]
    ) -> Variable:
        shape = [*variable.type.shape]
        shape[axis] = self.batch_size
        stand_in = tensor(None, variable.type.dtype, shape)
        self.picked.append(Picked(stand_in, axis, of, group_axis, others))
        return stand_in
