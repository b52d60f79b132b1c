"""The function that the rules for ops are registered with; it knows none of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op


class RowsMixed(Exception):
    """The selection cannot pass an op, or ends at a parameter; ``reason`` says so in words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@singledispatch
def select_through(op: Op, node: Apply, axis: int, rows: Any) -> Variable | Sequence[Variable]:
    """Return the output of ``node`` with only the selected rows along ``axis``.

    Register a rule for an op with ``@select_through.register(OpClass)``: select the rows of the
    inputs with ``rows.select(variable, axis)`` and apply the op to what comes back. The rule of an
    op with several outputs returns all of them, each with its rows on that axis.
    """
    raise RowsMixed(f"the rows are mixed by {op}, or there is no rule for it yet")


def has_rule(op: Op) -> bool:
    """Whether there is a rule for an op."""
    return select_through.dispatch(type(op)) is not select_through.dispatch(object)
