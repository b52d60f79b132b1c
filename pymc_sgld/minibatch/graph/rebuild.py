"""Rebuild graphs: only the nodes that change are new, all others keep their identity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pytensor.compile.builders import SymbolicOp
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.traversal import toposort
from pytensor.tensor.type import TensorType

Rule = Callable[[Apply, list[Variable]], list[Variable] | None]


def tensor(name: str | None, dtype: str, shape: Sequence[int]) -> Variable:
    """Return a new variable, whatever its name.

    ``pt.tensor`` refuses names that NumPy can read as a dtype: ``int64``, and all that have a
    comma, such as ``poly(x, 2)``.
    """
    return TensorType(dtype, shape=tuple(shape))(name)


def rebuild(
    outputs: Sequence[Variable],
    replacements: Mapping[Variable, Variable] | None = None,
    rule: Rule | None = None,
) -> list[Variable]:
    """Return the graphs with variables replaced, and static shapes inferred again.

    ``rule``: called with every node and its new inputs; returns new outputs, or None to keep the
    op.
    """
    new = dict(replacements or {})
    for node in toposort(outputs, blockers=list(new)):
        inputs = [new.get(variable, variable) for variable in node.inputs]
        made = rule(node, inputs) if rule is not None else None
        if made is None:
            if all(a is b for a, b in zip(inputs, node.inputs, strict=True)):
                continue
            if isinstance(node.op, SymbolicOp):  # its inner graph is made for the input types
                made = node.op(*inputs, return_list=True)
            else:
                made = node.op.make_node(*inputs).outputs
        for old, variable in zip(node.outputs, made, strict=True):
            new.setdefault(old, variable)
    return [new.get(output, output) for output in outputs]
