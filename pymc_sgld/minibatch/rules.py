"""How a selection of rows passes an op: one rule an op, found by the op's class."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.tensor.basic import Alloc, AllocDiag, ExtractDiag, Join
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.extra_ops import CumOp
from pytensor.tensor.math import Dot
from pytensor.tensor.shape import Reshape, SpecifyShape
from pytensor.tensor.special import (
    LogAddExp,
    LogSoftmax,
    LogSumExp,
    Softmax,
    XLog1PY,
    XLogY,
)
from pytensor.tensor.subtensor import (
    AdvancedSubtensor,
    IncSubtensor,
    Subtensor,
    indices_from_subtensor,
)

if TYPE_CHECKING:
    from pymc_sgld.minibatch.rows import RowSelection


class RowsMixed(Exception):
    """The selection cannot pass an op, or ends at a parameter; ``reason`` says so in words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@singledispatch
def select_through(op: Op, node: Apply, axis: int, rows: RowSelection) -> Variable:
    """Return the output of ``node`` with only the selected rows along ``axis``.

    Register a rule for an op with ``@select_through.register(OpClass)``: select the rows of the
    inputs with ``rows.select(variable, axis)`` and apply the op to what comes back.
    """
    raise RowsMixed(f"the rows are mixed by {op}, or there is no rule for it yet")


@select_through.register(Elemwise)
def _elemwise(op: Elemwise, node: Apply, axis: int, rows: RowSelection) -> Variable:
    inputs = [v if rows.broadcasts(v, axis) else rows.select(v, axis) for v in node.inputs]
    return op.make_node(*inputs).outputs[0]


@select_through.register(LogAddExp)
@select_through.register(XLogY)
@select_through.register(XLog1PY)
def _symbolic_elemwise(op: Op, node: Apply, axis: int, rows: RowSelection) -> Variable:
    inputs = []
    for variable in node.inputs:
        own_axis = axis - (node.outputs[0].type.ndim - variable.type.ndim)
        untouched = own_axis < 0 or rows.broadcasts(variable, own_axis)
        inputs.append(variable if untouched else rows.select(variable, own_axis))
    return op(*inputs)


@select_through.register(DimShuffle)
def _dimshuffle(op: DimShuffle, node: Apply, axis: int, rows: RowSelection) -> Variable:
    return op(rows.select(node.inputs[0], op.new_order[axis]))


@select_through.register(CAReduce)
@select_through.register(LogSumExp)
def _reduction(op: CAReduce, node: Apply, axis: int, rows: RowSelection) -> Variable:
    [variable] = node.inputs
    kept = [a for a in range(variable.type.ndim) if a not in op.axis]
    return op(rows.select(variable, kept[axis]))


@select_through.register(Softmax)
@select_through.register(LogSoftmax)
def _softmax(op: Softmax, node: Apply, axis: int, rows: RowSelection) -> Variable:
    if op.axis is None or axis in op.axis:
        raise RowsMixed(f"the rows are mixed by {op}")
    return op(rows.select(node.inputs[0], axis))


@select_through.register(Dot)
def _dot(op: Dot, node: Apply, axis: int, rows: RowSelection) -> Variable:
    left, right = node.inputs
    if axis < left.type.ndim - 1:
        return op(rows.select(left, axis), right)
    return op(left, rows.select(right, right.type.ndim - 1))


@select_through.register(Blockwise)
def _blockwise(op: Blockwise, node: Apply, axis: int, rows: RowSelection) -> Variable:
    if axis < op.batch_ndim(node):
        inputs = [v if rows.broadcasts(v, axis) else rows.select(v, axis) for v in node.inputs]
        return op(*inputs)
    if isinstance(op.core_op, Dot):
        left, right = node.inputs
        if axis == node.outputs[0].type.ndim - 2:
            return op(rows.select(left, axis), right)
        return op(left, rows.select(right, axis))
    raise RowsMixed(f"the rows are mixed by {op}")


@select_through.register(Alloc)
def _alloc(op: Alloc, node: Apply, axis: int, rows: RowSelection) -> Variable:
    value, *shape = node.inputs
    own_axis = axis - (len(shape) - value.type.ndim)
    if own_axis >= 0 and not rows.broadcasts(value, own_axis):
        value = rows.select(value, own_axis)
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


@select_through.register(IncSubtensor)
def _set_subtensor(op: IncSubtensor, node: Apply, axis: int, rows: RowSelection) -> Variable:
    variable, value, *indices = node.inputs
    entries = list(op.idx_list) + [slice(None)] * (variable.type.ndim - len(op.idx_list))
    if entries[axis] != slice(None, None, None):
        raise RowsMixed(f"the rows are cut by {op}")
    if value.type.ndim:
        kept = [a for a, entry in enumerate(entries) if isinstance(entry, slice)]
        own_axis = kept.index(axis) - (len(kept) - value.type.ndim)
        if own_axis >= 0 and not rows.broadcasts(value, own_axis):
            value = rows.select(value, own_axis)
    return op(rows.select(variable, axis), value, *indices)


@select_through.register(CumOp)
def _cumulative(op: CumOp, node: Apply, axis: int, rows: RowSelection) -> Variable:
    if axis == op.axis:
        raise RowsMixed(f"the rows are mixed by {op}")
    return op(rows.select(node.inputs[0], axis))


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
def _reshape(op: Reshape, node: Apply, axis: int, rows: RowSelection) -> Variable:
    variable, output = node.inputs[0], node.outputs[0]
    before, after = variable.type.shape, output.type.shape
    if before[: axis + 1] != after[: axis + 1] or None in before or None in after:
        raise RowsMixed(f"the rows are mixed by {op}")
    shape = (*after[:axis], rows.batch_size, *after[axis + 1 :])
    return pt.reshape(rows.select(variable, axis), shape)


@select_through.register(Subtensor)
def _subtensor(op: Subtensor, node: Apply, axis: int, rows: RowSelection) -> Variable:
    variable = node.inputs[0]
    entries = list(op.idx_list) + [slice(None)] * (variable.type.ndim - len(op.idx_list))
    kept = [a for a, entry in enumerate(entries) if isinstance(entry, slice)]
    if entries[kept[axis]] != slice(None, None, None):
        raise RowsMixed(f"the rows are cut by {op}")
    return op(rows.select(variable, kept[axis]), *node.inputs[1:])


@select_through.register(AdvancedSubtensor)
def _indexing(op: AdvancedSubtensor, node: Apply, axis: int, rows: RowSelection) -> Variable:
    """Advanced indexing: ``effect[group][rows] = effect[group[rows]]``.

    Where an index merely counts the rows (``p[arange(N), y]``), the indexed array has the rows.
    """
    variable, *flat = node.inputs
    indices = list(indices_from_subtensor(flat, node.op.idx_list))
    indices += [slice(None)] * (variable.type.ndim - len(indices))
    arrays = [a for a, index in enumerate(indices) if not isinstance(index, slice)]
    if any(indices[a].type.dtype == "bool" for a in arrays):
        raise RowsMixed("the rows are picked by a boolean mask")
    ndim = max(indices[a].type.ndim for a in arrays)
    first = arrays[0] if arrays == list(range(arrays[0], arrays[-1] + 1)) else 0
    if first <= axis < first + ndim:  # the axis comes from the index arrays
        for a in arrays:
            own_axis = axis - first - (ndim - indices[a].type.ndim)
            if own_axis < 0 or rows.broadcasts(indices[a], own_axis):
                continue
            if indices[a].type.shape[own_axis] is None and not rows.fixed.is_fixed(indices[a]):
                raise RowsMixed("the rows are picked by an index of unknown length")
            if _counts_rows(indices[a], own_axis, rows) and _has_rows(variable, a, rows):
                counted = np.arange(rows.batch_size).reshape(
                    [-1 if i == own_axis else 1 for i in range(indices[a].type.ndim)]
                )
                variable, indices[a] = rows.select(variable, a), pt.constant(counted)
            else:
                indices[a] = rows.select(indices[a], own_axis)
    else:  # the axis is one that is sliced
        sliced = [a for a in range(variable.type.ndim) if a not in arrays]
        own_axis = sliced[axis if axis < first else axis - ndim]
        if indices[own_axis] != slice(None):
            raise RowsMixed(f"the rows are cut by {node.op}")
        variable = rows.select(variable, own_axis)
    return variable[tuple(indices)]


def _counts_rows(index: Variable, axis: int, rows: RowSelection) -> bool:
    if not rows.fixed.is_fixed(index):
        return False
    values = rows.fixed.value(index)
    return values.size == rows.total_size and np.array_equal(
        values.ravel(), np.arange(rows.total_size)
    )


def _has_rows(variable: Variable, axis: int, rows: RowSelection) -> bool:
    """Whether the indexed array has the rows of the data on that axis: it can be selected."""
    if variable.type.shape[axis] != rows.total_size:
        return False
    try:
        rows.select(variable, axis)
    except RowsMixed:
        return False
    return True
