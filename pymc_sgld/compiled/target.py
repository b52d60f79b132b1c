"""The posterior as an update sees it: graphs of a position, for the rows of that update."""

from __future__ import annotations

from typing import NamedTuple

import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace

from pymc_sgld.dynamics.base import Evaluation
from pymc_sgld.gradients.base import Blocks
from pymc_sgld.preconditioners import Preconditioner


class Graph(NamedTuple):
    """What is compiled: variables only, no data."""

    position: Variable
    gradient: Variable
    log_density: Variable
    others: list[Variable]
    constants: list[Variable]  # of the estimate


class GraphTarget:
    """The posterior as graphs of a position, for the rows of an update."""

    def __init__(
        self,
        graph: Graph,
        data: dict[Variable, Variable],
        preconditioner: Preconditioner,
        matrices: list[Variable],
    ) -> None:
        self._graph, self._data = graph, data
        self._preconditioner, self._matrices = preconditioner, matrices
        self._evaluated = graph.position

    def __call__(self, position: Variable) -> Evaluation:
        """Return the estimate of the gradient, and its product with the preconditioner."""
        self._evaluated = position
        gradient = self._at(position, self._graph.gradient)
        return Evaluation(gradient, self._preconditioner.multiply(gradient, *self._matrices))

    def log_density(self, position: Variable) -> Variable:
        """Return the log density, as the rows estimate it."""
        return self._at(position, self._graph.log_density)

    def renewed(self, blocks: Blocks) -> list[Variable]:
        """Return what blocks remember of the gradient: their total, and a row of each table."""
        new = [self._at(self._evaluated, graph) for graph in blocks.renewed]
        changes = [after - before for after, before in zip(new, blocks.stored, strict=True)]
        return [pt.add(blocks.total, *changes), *new]

    def _at(self, position: Variable, graph: Variable) -> Variable:
        replacements = {self._graph.position: position} | self._data
        return clone_replace([graph], replacements, rebuild_strict=False)[0]
