"""Ops that read and write entries by index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.tensor.subtensor import (
    AdvancedIncSubtensor,
    AdvancedSubtensor,
    IncSubtensor,
    Subtensor,
    indices_from_subtensor,
)

from pymc_sgld.minibatch.graph.dispatch import RowsMixed, select_through
from pymc_sgld.minibatch.selection.rows import RowSelection


@select_through.register(Subtensor)
def _subtensor(op: Subtensor, node: Apply, axis: int, rows: RowSelection) -> Variable:
    variable, *flat = node.inputs
    indices = _indices(op, variable, flat)
    kept = [a for a, index in enumerate(indices) if isinstance(index, slice)]
    return _select_sliced(op, variable, indices, kept[axis], rows)[tuple(indices)]


@select_through.register(IncSubtensor)
def _set_subtensor(op: IncSubtensor, node: Apply, axis: int, rows: RowSelection) -> Variable:
    variable, value, *flat = node.inputs
    indices = _indices(op, variable, flat)
    replaced = _replaced(variable, indices, axis, rows)
    if replaced is not None:
        if not isinstance(indices[axis], slice) and value.type.ndim >= variable.type.ndim - axis:
            value = pt.expand_dims(value, axis - (variable.type.ndim - 1 - value.type.ndim))
        return _set_rows(op, variable, value, replaced, axis, rows)
    if not isinstance(indices[axis], slice):
        raise RowsMixed(f"one of the rows is replaced by {op}")
    variable = _select_sliced(op, variable, indices, axis, rows)
    kept = [a for a, index in enumerate(indices) if isinstance(index, slice)]
    value = rows.select_if_long(value, kept.index(axis) - (len(kept) - value.type.ndim))
    return pt.inc_subtensor(
        variable[tuple(indices)], value, set_instead_of_inc=op.set_instead_of_inc
    )


def _indices(op: Op, variable: Variable, flat: Sequence[Variable]) -> list:
    """Return the index of each axis of an indexed array."""
    indices = list(indices_from_subtensor(flat, op.idx_list))
    return indices + [slice(None)] * (variable.type.ndim - len(indices))


def _select_sliced(
    op: Op, variable: Variable, indices: list, axis: int, rows: RowSelection
) -> Variable:
    """Return an indexed array with only the selected rows on an axis that is sliced."""
    if indices[axis] != slice(None):
        every, cut = range(variable.type.shape[axis] or 0), rows.fixed.cut(indices[axis])
        if not every or cut is None:
            raise RowsMixed(f"the rows are cut by {op}")
        entries = np.array(every[cut])
        if isinstance(op, IncSubtensor) and not np.array_equal(entries, every):
            raise RowsMixed(f"some of the rows are replaced by {op}")
        rows = rows.at(entries, len(every))
    indices[axis] = slice(None)
    return rows.select(variable, axis)


@select_through.register(AdvancedSubtensor)
def _indexing(op: AdvancedSubtensor, node: Apply, axis: int, rows: RowSelection) -> Variable:
    """Advanced indexing: ``effect[group][rows] = effect[group[rows]]``.

    Where an index merely counts the rows (``p[arange(N), y]``), the indexed array has the rows.
    """
    variable, *flat = node.inputs
    indices, arrays, sliced, first, ndim = _layout(op, variable, flat, rows)
    if first <= axis < first + ndim:  # the axis comes from the index arrays
        for a in arrays:
            own_axis = axis - first - (ndim - indices[a].type.ndim)
            if own_axis < 0 or rows.broadcasts(indices[a], own_axis):
                continue
            if indices[a].type.shape[own_axis] is None and not rows.fixed.is_fixed(indices[a]):
                raise RowsMixed("the rows are picked by an index of unknown length")
            if _counts_rows(indices[a], rows) and _has_rows(variable, a, rows):
                variable, indices[a] = rows.select(variable, a), _count(indices[a], own_axis, rows)
            else:
                indices[a] = rows.select(indices[a], own_axis)
    else:  # the axis is one that is sliced
        own_axis = sliced[axis if axis < first else axis - ndim]
        variable = _select_sliced(op, variable, indices, own_axis, rows)
    return variable[tuple(indices)]


@select_through.register(AdvancedIncSubtensor)
def _set_by_index(op: AdvancedIncSubtensor, node: Apply, axis: int, rows: RowSelection) -> Variable:
    """Assign to columns (``X[:, [0, 2]]``), to one entry a row (``X[arange(N), k]``), to rows."""
    variable, value, *flat = node.inputs
    replaced = _replaced(variable, _indices(op, variable, flat), axis, rows)
    if replaced is not None:
        return _set_rows(op, variable, value, replaced, axis, rows)
    indices, arrays, sliced, first, ndim = _layout(op, variable, flat, rows)
    if axis in sliced:
        variable = _select_sliced(op, variable, indices, axis, rows)
        place = sliced.index(axis) + (ndim if sliced.index(axis) >= first else 0)
    elif _counts_rows(indices[axis], rows):
        variable = rows.select(variable, axis)
        place = first + ndim - indices[axis].type.ndim
        place += rows.fixed.value(indices[axis]).shape.index(rows.total_size)
        for a in arrays:
            own_axis = place - first - (ndim - indices[a].type.ndim)
            if a == axis:
                indices[a] = _count(indices[a], own_axis, rows)
            else:
                indices[a] = rows.select_if_long(indices[a], own_axis)
    else:
        raise RowsMixed(f"some of the rows are replaced by {op}")
    value = rows.select_if_long(value, place - (ndim + len(sliced) - value.type.ndim))
    return pt.inc_subtensor(
        variable[tuple(indices)],
        value,
        set_instead_of_inc=op.set_instead_of_inc,
        ignore_duplicates=op.ignore_duplicates,
    )


def _replaced(
    variable: Variable, indices: list, axis: int, rows: RowSelection
) -> np.ndarray | None:
    """Return which rows an assignment replaces: some, the same at every update; or None."""
    length, index = variable.type.shape[axis], indices[axis]
    others = indices[:axis] + indices[axis + 1 :]
    if length != rows.total_size or any(i != slice(None) for i in others):
        return None
    cut: Any = None
    if isinstance(index, slice):
        cut = rows.fixed.cut(index)
    elif index.type.ndim <= 1 and rows.fixed.is_fixed(index):
        cut = rows.fixed.value(index)
    if cut is None:
        return None
    entries = np.atleast_1d(np.arange(length)[cut])
    partly = len(np.unique(entries)) == len(entries) and 0 < len(entries)
    return entries if partly and not np.array_equal(entries, np.arange(length)) else None


def _set_rows(
    op: Op,
    variable: Variable,
    value: Variable,
    entries: np.ndarray,
    axis: int,
    rows: RowSelection,
) -> Variable:
    """Assign to rows: those of a batch that are among them have the new value."""
    selected = rows.select(variable, axis)
    own_axis = axis - (variable.type.ndim - value.type.ndim)
    if own_axis >= 0 and not rows.broadcasts(value, own_axis):
        number = np.zeros(rows.total_size, dtype=int)  # others read the first, without using it
        number[entries] = np.arange(len(entries))
        value = rows.at(number, len(entries), repeats=False).select(value, own_axis)
    inside = np.isin(np.arange(rows.total_size), entries)
    here = pt.expand_dims(rows.read(inside, None), [a for a in range(selected.ndim) if a != axis])
    new = value if op.set_instead_of_inc else selected + value
    return pt.switch(here, new, selected).astype(variable.type.dtype)


def _layout(
    op: AdvancedSubtensor | AdvancedIncSubtensor,
    variable: Variable,
    flat: Sequence[Variable],
    rows: RowSelection,
) -> tuple[list, list[int], list[int], int, int]:
    """Return how an indexed array is laid out.

    Returns
    -------
    indices
        One for each axis of the array.
    arrays, sliced
        Its axes that are indexed by arrays, and by slices.
    first, ndim
        Where the axes of the index arrays are in the result, and how many they are.
    """
    indices = [_entries_of_mask(index, rows) for index in _indices(op, variable, flat)]
    sliced = [a for a, index in enumerate(indices) if isinstance(index, slice)]
    arrays = [a for a in range(len(indices)) if a not in sliced]
    ndim = max(indices[a].type.ndim for a in arrays)
    first = arrays[0] if arrays == list(range(arrays[0], arrays[-1] + 1)) else 0
    return indices, arrays, sliced, first, ndim


def _entries_of_mask(index: Any, rows: RowSelection) -> Any:
    """Return an index by numbers in the place of a boolean mask that stays the same."""
    if isinstance(index, slice) or index.type.dtype != "bool":
        return index
    if index.type.ndim != 1 or not rows.fixed.is_fixed(index):
        raise RowsMixed("the rows are picked by a boolean mask")
    return pt.constant(np.flatnonzero(rows.fixed.value(index)), name=index.name)


def _counts_rows(index: Variable, rows: RowSelection) -> bool:
    if not rows.fixed.is_fixed(index):
        return False
    values = rows.fixed.value(index)
    return values.size == rows.total_size and np.array_equal(
        values.ravel(), np.arange(rows.total_size)
    )


def _count(index: Variable, axis: int, rows: RowSelection) -> Variable:
    """Return an index of the same axes that counts the rows of a batch."""
    shape = [-1 if a == axis else 1 for a in range(index.type.ndim)]
    return pt.constant(np.arange(rows.batch_size).reshape(shape))


def _has_rows(variable: Variable, axis: int, rows: RowSelection) -> bool:
    """Whether the indexed array has the rows of the data on that axis: it can be selected."""
    if variable.type.shape[axis] != rows.total_size:
        return False
    try:
        rows.select(variable, axis)
    except RowsMixed:
        return False
    return True
