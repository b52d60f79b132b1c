"""Graphs that are simplified before gradients of them are taken."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from pytensor.compile.mode import optdb
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.db import RewriteDatabaseQuery
from pytensor.graph.traversal import graph_inputs

from pymc_sgld.minibatch.graph.rebuild import rebuild


@cache
def _rewrites() -> Any:
    # what has a gradient of its own, such as ``disconnected_grad``, would become its input
    keep = ["local_view_op"]
    return optdb.query(RewriteDatabaseQuery(include=["canonicalize", "stabilize"], exclude=keep))


def simplified(outputs: Sequence[Variable], kept: Sequence[Variable]) -> list[Variable]:
    """Return simpler graphs of the same values.

    A gradient has several nodes for each node of its graph, and PyTensor simplifies all of them in
    every function that is made of it. That of a graph which was simplified before has fewer.

    ``kept``: variables that stay what the graphs are made of: gradients are taken by them.
    """
    found = dict.fromkeys([*kept, *graph_inputs(outputs, blockers=kept)])
    inputs = [variable for variable in found if not isinstance(variable, Constant)]
    graph = FunctionGraph(inputs, list(outputs), clone=True)
    _rewrites().rewrite(graph)
    return rebuild(list(graph.outputs), dict(zip(graph.inputs, inputs, strict=True)))
