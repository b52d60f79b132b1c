"""Integers that a model is written with: computed with 64 bits, so that they do not overflow.

PyTensor keeps the 10 of ``sigma=10`` as ``int8``, in which ``3 * 10**2`` is 44. When it compiles it
mostly rewrites such products first, and gets 300; graphs that are evaluated as they are have to say
so themselves. Arrays keep their dtype, as they do in PyMC.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.type import TensorType

from pymc_sgld.minibatch.graph.rebuild import rebuild

INTEGERS = (
    "Integers that overflow are a likely reason: PyMC computes with the constants of a model in as "
    "few bits as they need, 100 - -100 is -56 in eight. Write them as floats, 100.0 for 100."
)


def widen(outputs: Sequence[Variable]) -> list[Variable]:
    """Return graphs whose arithmetic of integer constants has 64 bits; all else keeps its dtype."""
    numbers: set[Variable] = set()  # made of integers that were written as such

    def is_number(variable: Variable) -> bool:
        if isinstance(variable, Constant) and _is_integer(variable):
            return variable.data.size == 1
        return variable in numbers

    def compute(node: Apply, inputs: list[Variable]) -> list[Variable] | None:
        of_numbers = all(map(is_number, node.inputs)) and all(map(_is_integer, node.outputs))
        if isinstance(node.op, DimShuffle) and of_numbers:
            numbers.update(node.outputs)
            return None
        if not isinstance(node.op, Elemwise):
            return None
        if of_numbers:
            numbers.update(node.outputs)
            inputs = [pt.cast(variable, "int64") for variable in inputs]
        elif inputs == node.inputs:
            return None
        made = node.op.make_node(*inputs).outputs
        return [
            new.astype(old.type.dtype) if old.type.dtype.startswith("float") else new
            for old, new in zip(node.outputs, made, strict=True)
        ]

    return rebuild(outputs, rule=compute)


def _is_integer(variable: Variable) -> bool:
    return isinstance(variable.type, TensorType) and variable.type.dtype.startswith(("int", "uint"))
