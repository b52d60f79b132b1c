"""Products, solves, and ops that are batched over leading axes."""

from __future__ import annotations

from pytensor.graph.basic import Apply, Variable
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.linalg.solvers.core import SolveBase
from pytensor.tensor.math import Dot

from pymc_sgld.minibatch.graph.dispatch import RowsMixed, select_through
from pymc_sgld.minibatch.selection.rows import RowSelection


@select_through.register(Dot)
def _dot(op: Dot, node: Apply, axis: int, rows: RowSelection) -> Variable:
    left, right = node.inputs
    if axis < left.type.ndim - 1:
        return op(rows.select(left, axis), right)
    return op(left, rows.select(right, right.type.ndim - 1))


@select_through.register(Blockwise)
def _blockwise(op: Blockwise, node: Apply, axis: int, rows: RowSelection) -> list[Variable]:
    """Batch axes of any op, and of a product or a solve the axes that only one input has.

    In ``(m,k),(k,n)->(m,n)`` these are m and n, in ``(m,m),(m,n)->(m,n)`` it is n.
    """
    inputs = list(node.inputs)
    batch_ndim = op.batch_ndim(node)
    if axis < batch_ndim:
        inputs = [rows.select_if_long(variable, axis) for variable in inputs]
        return op.make_node(*inputs).outputs
    if isinstance(op.core_op, Dot | SolveBase):
        name = op.outputs_sig[0][axis - batch_ndim]
        found = [
            (i, batch_ndim + a)
            for i, names in enumerate(op.inputs_sig)
            for a, other in enumerate(names)
            if other == name
        ]
        if len(found) == 1:
            [(i, own_axis)] = found
            inputs[i] = rows.select(inputs[i], own_axis)
            return op.make_node(*inputs).outputs
    raise RowsMixed(f"the rows are mixed by {op}")
