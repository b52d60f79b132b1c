"""Ops that move, add, join and split axes."""

from __future__ import annotations

from math import prod

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.tensor.basic import Alloc, AllocDiag, ExtractDiag, Join, Split
from pytensor.tensor.elemwise import DimShuffle
from pytensor.tensor.extra_ops import Repeat
from pytensor.tensor.reshape import JoinDims, SplitDims
from pytensor.tensor.shape import Reshape, SpecifyShape

from pymc_sgld.minibatch.graph.dispatch import RowsMixed, select_through
from pymc_sgld.minibatch.selection.rows import RowSelection


@select_through.register(DimShuffle)
def _dimshuffle(op: DimShuffle, node: Apply, axis: int, rows: RowSelection) -> Variable:
    if op.new_order[axis] == "x":
        raise RowsMixed("every row depends on a number computed from all rows")
    return op(rows.select(node.inputs[0], op.new_order[axis]))


@select_through.register(Alloc)
def _alloc(op: Alloc, node: Apply, axis: int, rows: RowSelection) -> Variable:
    value, *shape = node.inputs
    value = rows.select_if_long(value, axis - (len(shape) - value.type.ndim))
    shape[axis] = pt.constant(rows.batch_size, dtype="int64")
    return op(value, *shape)


@select_through.register(Join)
def _join(op: Join, node: Apply, axis: int, rows: RowSelection) -> Variable:
    if axis != op.axis:
        return op(*[rows.select(variable, axis) for variable in node.inputs])
    lengths = [variable.type.shape[axis] for variable in node.inputs]
    if None in lengths:
        raise RowsMixed(f"the rows are joined from arrays of unknown lengths by {op}")
    number = np.arange(rows.total_size)
    start = 0
    joined = None
    for variable, length in zip(node.inputs, lengths, strict=True):
        inside = (start <= number) & (number < start + length)
        entries = np.where(inside, number - start, 0)  # the others are read, but not used
        part = variable if length == 1 else rows.at(entries, length).select(variable, axis)
        if joined is not None:
            here = pt.expand_dims(
                rows.read(inside, None), [a for a in range(part.ndim) if a != axis]
            )
            part = pt.switch(here, part, joined)
        joined, start = part, start + length
    return joined


@select_through.register(Split)
def _split(op: Split, node: Apply, axis: int, rows: RowSelection) -> list[Variable]:
    variable, sizes = node.inputs
    if axis == op.axis:
        raise RowsMixed(f"the rows are cut by {op}")
    return op.make_node(rows.select(variable, axis), sizes).outputs


@select_through.register(Repeat)
def _repeat(op: Repeat, node: Apply, axis: int, rows: RowSelection) -> Variable:
    variable, repeats = node.inputs
    if axis != op.axis:
        return op(rows.select(variable, axis), repeats)
    length = variable.type.shape[axis]
    if length is None or not rows.fixed.is_fixed(repeats):
        raise RowsMixed(f"the rows are repeated by {op}")
    entries = np.repeat(np.arange(length), rows.fixed.value(repeats))
    return rows.at(entries, length).select(variable, axis)


@select_through.register(ExtractDiag)
def _extract_diagonal(op: ExtractDiag, node: Apply, axis: int, rows: RowSelection) -> Variable:
    [variable] = node.inputs
    others = [a for a in range(variable.type.ndim) if a not in (op.axis1, op.axis2)]
    if axis >= len(others):
        raise RowsMixed(f"the rows are mixed by {op}")
    return op(rows.select(variable, others[axis]))


@select_through.register(AllocDiag)
def _make_diagonal(op: AllocDiag, node: Apply, axis: int, rows: RowSelection) -> Variable:
    if axis in (op.axis1, op.axis2):
        raise RowsMixed(f"the rows are mixed by {op}")
    others = [a for a in range(node.outputs[0].type.ndim) if a not in (op.axis1, op.axis2)]
    return op(rows.select(node.inputs[0], others.index(axis)))


@select_through.register(SpecifyShape)
def _specify_shape(op: SpecifyShape, node: Apply, axis: int, rows: RowSelection) -> Variable:
    return rows.select(node.inputs[0], axis)


@select_through.register(Reshape)
@select_through.register(JoinDims)
@select_through.register(SplitDims)
def _reshape(op: Reshape, node: Apply, axis: int, rows: RowSelection) -> Variable:
    """Pass axes that stay what they are: as long as before, after as many entries as before.

    Rows that are all entries of a table (``table.ravel()``) are read with the row that each is in.
    """
    variable, output = node.inputs[0], node.outputs[0]
    before, after = variable.type.shape, output.type.shape
    if None not in before and None not in after:
        for own_axis, length in enumerate(before):
            if length == after[axis] and prod(before[:own_axis]) == prod(after[:axis]):
                shape = (*after[:axis], rows.batch_size, *after[axis + 1 :])
                return pt.reshape(rows.select(variable, own_axis), shape)
        if len(after) == 1 and before:
            return _flattened(variable, rows)
    raise RowsMixed(f"the rows are mixed by {op}")


def _flattened(variable: Variable, rows: RowSelection) -> Variable:
    """Return the entries of an array whose axes are all joined into one, that of the rows."""
    first, *others = np.unravel_index(np.arange(rows.total_size), variable.type.shape)
    selected = rows.at(first, variable.type.shape[0]).select(variable, 0)
    if not others:
        return selected
    return selected[(np.arange(rows.batch_size), *[rows.read(index, None) for index in others])]
