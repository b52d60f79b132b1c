"""Conditions under which a log density is finite.

A gradient cannot see minus infinity: outside the support it is zero, or the smooth continuation of
a formula that no longer holds, and a chain without an accept step would walk on without a word.
The conditions that PyMC states (parameter checks, and switches to minus infinity) are collected
here and evaluated beside every gradient. What they miss, a mixture all of whose components end, is
seen in the log density itself, which is evaluated for every recorded position.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.traversal import toposort
from pytensor.raise_op import CheckAndRaise
from pytensor.scalar.basic import Add, Cast, Identity, Sub, Switch
from pytensor.tensor.basic import Alloc, MakeVector, ScalarFromTensor, TensorFromScalar
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import All, Sum

from pymc_sgld.minibatch.graph.rebuild import rebuild


def remove_checks(outputs: Sequence[Variable]) -> list[Variable]:
    """Return graphs without their parameter checks."""

    def drop_check(node: Apply, inputs: list[Variable]) -> list[Variable] | None:
        return inputs[:1] if isinstance(node.op, CheckAndRaise) else None

    return rebuild(outputs, rule=drop_check)


def conditions_of(log_density: Variable) -> list[Variable]:
    """Return boolean tensors, all of whose entries a log density needs to be true.

    These are the parameter checks in its graph, and the conditions of switches to minus infinity.
    """
    conditions: dict[Variable, None] = {}
    for node in toposort([log_density]):
        if isinstance(node.op, CheckAndRaise):
            for condition in node.inputs[1:]:
                conditions.update(dict.fromkeys(_entries(condition)))
    conditions.update(dict.fromkeys(_switches(log_density)))
    return list(conditions)


def _entries(condition: Variable) -> list[Variable]:
    """Return the tensors of which a check takes ``all``."""
    node = condition.owner
    if node is None:
        return [condition]
    if isinstance(node.op, ScalarFromTensor | TensorFromScalar | MakeVector) or (
        isinstance(node.op, All) and condition.type.ndim == 0
    ):
        return [entry for variable in node.inputs for entry in _entries(variable)]
    return [condition]


def _switches(log_density: Variable) -> list[Variable]:
    """Return boolean tensors that are true where no switch makes the log density minus infinity.

    Only switches whose minus infinity reaches the log density itself count: those below sums,
    differences and other such switches, not those inside a mixture component.
    """
    conditions: dict[Variable, None] = {}
    stack = [log_density]
    while stack:
        node = stack.pop().owner
        if node is None:
            continue
        if isinstance(node.op, DimShuffle | Alloc | Sum | CheckAndRaise):
            stack.append(node.inputs[0])
        elif isinstance(node.op, Elemwise):
            scalar_op = node.op.scalar_op
            if isinstance(scalar_op, Add | Identity | Cast):
                stack.extend(node.inputs)
            elif isinstance(scalar_op, Sub):
                stack.append(node.inputs[0])
            elif isinstance(scalar_op, Switch):
                condition, if_true, if_false = node.inputs
                if _is_minus_infinity(if_false):
                    conditions[condition] = None
                    stack.append(if_true)
                elif _is_minus_infinity(if_true):
                    conditions[~condition.astype(bool)] = None
                    stack.append(if_false)
    return list(conditions)


def _is_minus_infinity(variable: Variable) -> bool:
    while variable.owner is not None and isinstance(variable.owner.op, DimShuffle | Alloc):
        variable = variable.owner.inputs[0]
    return isinstance(variable, Constant) and bool(np.all(np.isneginf(variable.data)))
