"""Ops that work on every entry for itself, and ops that work along one other axis."""

from __future__ import annotations

from pytensor.conditional.op import IfElse
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.tensor.elemwise import CAReduce, Elemwise
from pytensor.tensor.extra_ops import CumOp
from pytensor.tensor.math import Argmax
from pytensor.tensor.sort import ArgSortOp, SortOp
from pytensor.tensor.special import (
    LogAddExp,
    LogSoftmax,
    LogSumExp,
    Softmax,
    XLog1PY,
    XLogY,
)

from pymc_sgld.minibatch.graph.dispatch import RowsMixed, select_through
from pymc_sgld.minibatch.selection.rows import RowSelection


@select_through.register(Elemwise)
def _elemwise(op: Elemwise, node: Apply, axis: int, rows: RowSelection) -> list[Variable]:
    inputs = [rows.select_if_long(variable, axis) for variable in node.inputs]
    return op.make_node(*inputs).outputs


@select_through.register(LogAddExp)
@select_through.register(XLogY)
@select_through.register(XLog1PY)
def _symbolic_elemwise(op: Op, node: Apply, axis: int, rows: RowSelection) -> Variable:
    more = axis - node.outputs[0].type.ndim
    return op(*[rows.select_if_long(v, more + v.type.ndim) for v in node.inputs])


@select_through.register(IfElse)
def _condition(op: IfElse, node: Apply, axis: int, rows: RowSelection) -> list[Variable]:
    condition, *branches = node.inputs
    return op.make_node(condition, *[rows.select(v, axis) for v in branches]).outputs


@select_through.register(CAReduce)
@select_through.register(LogSumExp)
@select_through.register(Argmax)
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


@select_through.register(CumOp)
@select_through.register(SortOp)
@select_through.register(ArgSortOp)
def _along_an_axis(op: Op, node: Apply, axis: int, rows: RowSelection) -> Variable:
    if axis == op.axis:
        raise RowsMixed(f"the rows are mixed by {op}")
    return op(rows.select(node.inputs[0], axis))
