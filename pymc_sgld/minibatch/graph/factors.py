"""Covariances that are given by a Cholesky factor: the factor is used as it is.

PyMC multiplies the factor by its transpose, and takes the Cholesky factor of the product. PyTensor
simplifies this when it compiles, which is too late where a gradient was taken before: that of the
detour has products of matrices and solves linear systems, and takes minutes to compile.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytensor.graph.basic import Apply, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.tensor.linalg.decomposition.cholesky import Cholesky
from pytensor.tensor.rewriting.linalg.decomposition import cholesky_ldotlt

from pymc_sgld.minibatch.graph.rebuild import rebuild


def use_factors(outputs: Sequence[Variable]) -> list[Variable]:
    """Return graphs with ``L`` for the Cholesky factor of ``L @ L.T``, ``L`` lower triangular."""

    def as_given(node: Apply, inputs: list[Variable]) -> list[Variable] | None:
        if not isinstance(getattr(node.op, "core_op", node.op), Cholesky):
            return None
        made = node.op.make_node(*inputs)
        found = cholesky_ldotlt.transform(FunctionGraph(outputs=made.outputs, clone=False), made)
        return found or None

    return rebuild(outputs, rule=as_given)
