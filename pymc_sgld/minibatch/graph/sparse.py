r"""Products of a fixed sparse matrix, written with dense arrays that have its rows.

The entries of row :math:`i` are padded with zeros to as many as the fullest row has:

.. math::

    (X b)_i = \sum_k x_{ik} \, b_{j_{ik}}

so that a batch reads the entries :math:`x_{ik}` and columns :math:`j_{ik}` of its rows only.

What knows sparse matrices takes long to import, and is imported where it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytensor.tensor as pt
import scipy
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Constant, Variable

if TYPE_CHECKING:
    from scipy.sparse import spmatrix


def is_sparse(variable: Variable) -> bool:
    """Whether a variable is a sparse matrix."""
    from pytensor.sparse.type import SparseTensorType

    return isinstance(variable.type, SparseTensorType)


def is_product(node: Apply) -> bool:
    """Whether a node multiplies sparse data and a dense variable, in this order."""
    from pytensor.sparse.math import Dot, StructuredDot

    return (
        isinstance(node.op, Dot | StructuredDot)
        and is_sparse(node.inputs[0])
        and not is_sparse(node.inputs[1])
        and isinstance(node.inputs[0], Constant | SharedVariable)
    )


def product(matrix: Variable, right: Variable) -> Variable:
    """Return the product of sparse data and a dense vector or matrix as a sum over entries."""
    fixed = isinstance(matrix, Constant)
    columns, entries = (
        pt.constant(array, name=matrix.name)
        for array in padded_rows(matrix.data if fixed else matrix.get_value(borrow=True))
    )
    if right.type.ndim == 2:
        entries = entries[:, :, None]
    return (entries * right[columns]).sum(axis=1)


def padded_rows(matrix: spmatrix) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns and the values of the entries of each row, padded with zeros.

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> columns, values = padded_rows(csr_matrix([[0.0, 2.0, 3.0], [4.0, 0.0, 0.0]]))
    >>> columns.tolist(), values.tolist()
    ([[1, 2], [0, 0]], [[2.0, 3.0], [4.0, 0.0]])
    """
    rows = scipy.sparse.csr_matrix(matrix)
    lengths = np.diff(rows.indptr)
    filled = np.arange(max(lengths.max(), 1)) < lengths[:, None]
    columns = np.zeros(filled.shape, dtype=rows.indices.dtype)
    values = np.zeros(filled.shape, dtype=rows.dtype)
    columns[filled], values[filled] = rows.indices, rows.data
    return columns, values
