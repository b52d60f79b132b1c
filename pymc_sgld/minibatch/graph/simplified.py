"""Graphs that are simplified before gradients of them are taken."""

from __future__ import annotations

from collections.abc import Sequence

from pytensor.graph.basic import Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.db import RewriteDatabaseQuery
from pytensor.graph.traversal import graph_inputs

from pymc_sgld.backends.remembered import Remembered
from pymc_sgld.minibatch.graph.rebuild import rebuild

# what has a gradient of its own, such as ``disconnected_grad``, would become its input
_KEPT = ["local_view_op"]
_REWRITES = Remembered(RewriteDatabaseQuery(include=["canonicalize", "stabilize"], exclude=_KEPT))


def simplified(outputs: Sequence[Variable], kept: Sequence[Variable]) -> list[Variable]:
    """Return simpler graphs of the same values.

    A gradient has several nodes for each node of its graph, and PyTensor simplifies all of them in
    every function that is made of it. That of a graph which was simplified before has fewer. It is
    also finite where exponentials overflow: that of ``log(1 / (1 + exp(-x)))`` as it is written has
    ``0 * inf`` there, and that of ``-softplus(-x)`` has not.

    ``kept``: variables that stay what the graphs are made of: gradients are taken by them.
    """
    found = dict.fromkeys([*kept, *graph_inputs(outputs, blockers=kept)])
    inputs = [variable for variable in found if not isinstance(variable, Constant)]
    graph = FunctionGraph(inputs, list(outputs), clone=True)
    _REWRITES.rewrite(graph)
    return rebuild(list(graph.outputs), dict(zip(graph.inputs, inputs, strict=True)))
