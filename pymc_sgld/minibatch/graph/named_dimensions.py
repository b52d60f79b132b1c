"""Models with named dimensions (``pymc.dims``): their graphs as plain tensors, the rows first.

What has no names passes unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytensor.tensor as pt
from pytensor.compile import optdb
from pytensor.graph.basic import Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.traversal import ancestors
from pytensor.xtensor.shape import Transpose
from pytensor.xtensor.type import XTensorType
from pytensor.xtensor.vectorization import XElemwise


def lower(outputs: Sequence[Variable]) -> list[Variable]:
    """Return graphs of plain tensors; names are left at the inputs only.

    PyTensor does this when it compiles. Here it is done first, so that a selection of rows needs
    rules for tensors alone.
    """
    if not any(isinstance(variable.type, XTensorType) for variable in ancestors(outputs)):
        return list(outputs)
    plain = [pt.as_tensor(output, allow_xtensor_conversion=True) for output in outputs]
    graph = FunctionGraph(outputs=plain, clone=True, copy_inputs=False)
    optdb.query("+lower_xtensor").rewrite(graph)
    return list(graph.outputs)


def rows_first(graph: Variable, value: Variable) -> Variable:
    """Return a graph that has the dimensions of an observed variable with its rows first.

    The rows are the first dimension of the observed data as the user gave them. PyMC transposes
    these to the order of the parameters' dimensions, in which groups may come before rows.
    """
    if not isinstance(value.type, XTensorType):
        return graph
    rows = _as_given(value).type.dims[:1]
    return graph.transpose(*rows, ...) if set(rows) <= set(graph.type.dims) else graph


def _as_given(value: Variable) -> Variable:
    """Return observed data before PyMC transposed and cast them."""
    node = value.owner
    if node is None or not isinstance(node.op, Transpose | XElemwise) or len(node.inputs) > 1:
        return value
    return _as_given(node.inputs[0])
