"""Products of a matrix with a vector, written as sums.

PyTensor's Numba backend makes one fast loop of multiplications and their sum. For a vector that is
as fast as BLAS, without the cost of a call, and it is compiled much sooner: a product of matrices
was most of the time to the first draw.
"""

from __future__ import annotations

from pytensor.compile.mode import Mode
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import in2out, node_rewriter
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import Dot, Sum
from pytensor.tensor.shape import Reshape, SpecifyShape
from pytensor.tensor.subtensor import AdvancedSubtensor, Subtensor

_POSITION = 48.5  # after sums and products were simplified (48), before loops are fused (49)
_MAKES_ROWS = (Elemwise, AdvancedSubtensor)
_KEEPS_ROWS = (Reshape, SpecifyShape, Subtensor)


def with_sums(mode: Mode) -> Mode:
    """Return a mode that compiles products with vectors as sums; those of two matrices stay."""
    # no decorator: compiled functions hold the rewriter, and are pickled
    rewriter = node_rewriter([Dot, Blockwise])(_product_as_sum)
    return mode.register((in2out(rewriter, name="products_as_sums"), _POSITION))


def _product_as_sum(fgraph: FunctionGraph, node: Apply) -> list[Variable] | None:
    """Replace the product of (n, k) and (k, m) where n or m is one."""
    if not isinstance(getattr(node.op, "core_op", node.op), Dot):
        return None
    left, right = node.inputs
    if left.type.ndim != 2 or right.type.ndim != 2:
        return None
    [product] = node.outputs
    if "float" not in product.type.dtype:  # a sum of truth values is none
        return None
    if right.type.shape[1] == 1:
        return _times_column(left, right, product)
    if left.type.shape[0] == 1:
        found = _times_column(right.mT, left.mT, product)
        return found and [found[0].mT]
    return None


def _times_column(matrix: Variable, column: Variable, product: Variable) -> list[Variable] | None:
    """Return the product of (n, k) and (k, 1), by sums that read the matrix row by row."""
    stored, is_transposed = _as_stored(matrix)
    if not _has_rows_together(stored):
        return None
    dtype = product.type.dtype
    add = Sum(axis=0 if is_transposed else 1, dtype=dtype, acc_dtype=dtype)
    return [add(stored * (column if is_transposed else column.mT))[:, None]]


def _as_stored(matrix: Variable) -> tuple[Variable, bool]:
    """Return a matrix before it was transposed, and whether it was."""
    is_transposed = False
    while matrix.owner is not None:
        op = matrix.owner.op
        if not (isinstance(op, DimShuffle) and op.is_matrix_transpose):
            break
        matrix, is_transposed = matrix.owner.inputs[0], not is_transposed
    return matrix, is_transposed


def _has_rows_together(matrix: Variable) -> bool:
    """Whether the entries of a row are neighbours in memory: those of an input are."""
    if isinstance(matrix, Constant):
        return bool(matrix.data.flags.c_contiguous)
    if matrix.owner is None or isinstance(matrix.owner.op, _MAKES_ROWS):
        return True
    return isinstance(matrix.owner.op, _KEEPS_ROWS) and _has_rows_together(matrix.owner.inputs[0])
