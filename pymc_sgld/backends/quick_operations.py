"""Operations that Numba compiles sooner than those of PyTensor.

PyTensor's sum over some axes of an array has code for arrays of any strides, which it sorts, and
its check of a shape writes a message with numbers in it. Numba compiles all of that for every
function: ten seconds for a sum, two for a check. Here a sum is a loop over the axes in their order,
unless the array was transposed, and a shape is what it is known to be.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import in2out, node_rewriter
from pytensor.tensor.elemwise import DimShuffle
from pytensor.tensor.math import Sum
from pytensor.tensor.shape import Reshape, SpecifyShape
from pytensor.tensor.subtensor import Subtensor

_POSITION = 105.0  # after all other rewrites: they know the operations of PyTensor alone


class PlainSum(Op):
    """The sum over some axes, by a loop over all axes in their order.

    Parameters
    ----------
    axes : tuple of int
        Without repetition, in order.
    ndim : int
        Axes of the array.
    """

    __props__ = ("axes", "ndim")

    def __init__(self, axes: tuple[int, ...], ndim: int) -> None:
        self.axes, self.ndim = axes, ndim

    def make_node(self, array: Variable) -> Apply:
        """Return a node whose output has the axes that are left."""
        shape = [n for i, n in enumerate(array.type.shape) if i not in self.axes]
        return Apply(self, [array], [array.type.clone(shape=tuple(shape))()])

    def perform(self, node: Apply, inputs: list[np.ndarray], outputs: list[list[Any]]) -> None:
        """Compute the sum."""
        outputs[0][0] = np.asarray(inputs[0].sum(axis=self.axes))

    def source(self) -> str:
        """Return what Numba compiles."""
        kept = [i for i in range(self.ndim) if i not in self.axes]
        last = kept[-1] if kept else -1
        shape, place = (
            "".join(f"{each}, " for each in names)
            for names in ([f"x.shape[{i}]" for i in kept], [f"i{i}" for i in kept])
        )
        lines = ["def plain_sum(x):", f" found = np.zeros(({shape}), x.dtype)"]
        for i in range(self.ndim):
            if i == last + 1:  # axes that are summed over, and no other
                lines.append(" " * (i + 1) + "total = found.dtype.type(0)")
            lines.append(" " * (i + 1) + f"for i{i} in range(x.shape[{i}]):")
        entry = f"x[{', '.join(f'i{i}' for i in range(self.ndim))}]"
        if last + 1 < self.ndim:
            lines.append(" " * (self.ndim + 1) + f"total += {entry}")
            lines.append(" " * (last + 2) + f"found[{place or '()'}] += total")
        else:
            lines.append(" " * (self.ndim + 1) + f"found[{place}] += {entry}")
        return "\n".join([*lines, " return found"])


class KnownShape(Op):
    """An array whose shape is known to be that of the type of the output."""

    __props__ = ("shape",)
    view_map = {0: [0]}  # noqa: RUF012  as PyTensor has it

    def __init__(self, shape: tuple[int | None, ...]) -> None:
        self.shape = shape

    def make_node(self, array: Variable) -> Apply:
        """Return a node whose output is the array."""
        return Apply(self, [array], [array.type.clone(shape=self.shape)()])

    def perform(self, node: Apply, inputs: list[np.ndarray], outputs: list[list[Any]]) -> None:
        """Return the array."""
        outputs[0][0] = inputs[0]


def with_quick_operations(mode: Mode) -> Mode:
    """Return a mode in which these operations take the place of those of PyTensor."""
    # no decorator: compiled functions hold the rewriter, and are pickled
    rewriter = node_rewriter([Sum, SpecifyShape])(_quick)
    return mode.register((in2out(rewriter, name="quick_operations"), _POSITION))


def _quick(fgraph: FunctionGraph, node: Apply) -> list[Variable] | None:
    """Replace a sum, or a check of a shape."""
    array, [output] = node.inputs[0], node.outputs
    if isinstance(node.op, SpecifyShape):
        return [KnownShape(output.type.shape)(array)]
    ndim, dtype = array.type.ndim, array.type.dtype
    is_plain = "float" in dtype and {dtype} == {output.type.dtype, node.op.acc_dtype or dtype}
    if ndim < 2 or not is_plain or _is_transposed(array):
        return None
    axes = range(ndim) if node.op.axis is None else node.op.axis
    return [PlainSum(tuple(sorted(axes)), ndim)(array)]


def _is_transposed(array: Variable) -> bool:
    """Whether the order of the axes is not that in memory."""
    while array.owner is not None:
        op = array.owner.op
        if isinstance(op, DimShuffle):
            order = [axis for axis in op.new_order if axis != "x"]
            if order != sorted(order):
                return True
        elif not isinstance(op, Reshape | SpecifyShape | KnownShape | Subtensor):
            break
        array = array.owner.inputs[0]
    return False


@cache
def register() -> None:
    """Tell PyTensor how Numba runs these operations."""
    from pytensor.link.numba.cache import compile_numba_function_src
    from pytensor.link.numba.dispatch.basic import (  # imports Numba
        numba_njit,
        register_funcify_default_op_cache_key,
    )

    @register_funcify_default_op_cache_key(PlainSum)
    def plain_sum(op: PlainSum, **kwargs: Any) -> Callable:
        names = globals() | {"np": np}
        return numba_njit(compile_numba_function_src(op.source(), "plain_sum", names))

    @register_funcify_default_op_cache_key(KnownShape)
    def known_shape(op: KnownShape, **kwargs: Any) -> Callable:
        @numba_njit
        def same(x: np.ndarray) -> np.ndarray:
            return x

        return same
