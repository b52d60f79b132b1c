"""Graphs as flat lists: to compare them, to name them, and to keep them on disk.

PyTensor pickles a graph by following it from node to node, as deep as the graph is. Here nodes are
written down in their order, each with the places of its inputs.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.traversal import io_toposort
from pytensor.graph.type import Type


@dataclass(frozen=True)
class FlatGraph:
    """A graph, whose variables are numbered: inputs, then constants, then outputs of nodes."""

    inputs: list[Type]
    constants: list[tuple[Type, Any]]  # with their values
    # operations, the places of their inputs, and the types of their outputs
    nodes: list[tuple[Any, list[int], list[Type]]]
    outputs: list[int]

    @classmethod
    def of(
        cls,
        inputs: Sequence[Variable],
        outputs: Sequence[Variable],
        nodes: Sequence[Apply] | None = None,
    ) -> FlatGraph:
        """Return a graph in this form.

        ``nodes``: all of it, in the order in which they are run; by default they are found.
        """
        nodes = io_toposort(inputs, outputs) if nodes is None else nodes
        used = [variable for node in nodes for variable in node.inputs]
        found = dict.fromkeys([*used, *outputs])
        constants = [v for v in found if isinstance(v, Constant)]
        made = [variable for node in nodes for variable in node.outputs]
        place = {variable: i for i, variable in enumerate([*inputs, *constants, *made])}
        return cls(
            [variable.type for variable in inputs],
            [(variable.type, variable.data) for variable in constants],
            [
                (node.op, [place[v] for v in node.inputs], [v.type for v in node.outputs])
                for node in nodes
            ],
            [place[variable] for variable in outputs],
        )

    def graphs(self, inputs: Sequence[Variable]) -> list[Variable]:
        """Return the outputs as graphs of some inputs."""
        variables = [*inputs, *(type.make_constant(value) for type, value in self.constants)]
        for op, places, types in self.nodes:
            made = [type() for type in types]
            Apply(op, [variables[i] for i in places], made)
            variables += made
        return [variables[i] for i in self.outputs]

    def name(self, *more: Any) -> str:
        """Return a name that equal graphs have in every process; others hardly ever.

        ``more``: what else makes a difference.
        """
        nodes = [
            (type(op).__qualname__, str(op), places, types) for op, places, types in self.nodes
        ]
        constants = [(of, _bytes(value)) for of, value in self.constants]
        found = hashlib.sha256(repr([self.inputs, nodes, self.outputs, more]).encode())
        for of, value in constants:
            found.update(repr(of).encode() + value)
        return found.hexdigest()

    def is_like(self, other: FlatGraph) -> bool:
        """Whether another graph is the same, node by node."""
        return (
            self.inputs == other.inputs
            and self.outputs == other.outputs
            and self.nodes == other.nodes
            and [of for of, _ in self.constants] == [of for of, _ in other.constants]
            and all(
                _bytes(one) == _bytes(same)
                for (_, one), (_, same) in zip(self.constants, other.constants, strict=True)
            )
        )


def _bytes(value: Any) -> bytes:
    """Return what tells values of constants apart."""
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return repr((value.dtype, value.shape)).encode() + value.tobytes()
    return pickle.dumps(value)
