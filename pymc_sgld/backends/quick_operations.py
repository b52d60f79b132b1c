"""Operations that Numba compiles sooner than those of PyTensor.

PyTensor's sum over some axes of an array has code for arrays of any strides, which it sorts; its
check of a shape writes a message with numbers in it; and to move axes it calls functions for tuples
of any length. Numba compiles all of that for every function: ten seconds for a sum, two for a check
and half a second to move axes. Here a sum is a loop over the axes in their order, unless the array
was transposed, a shape is what it is known to be, and LLVM is told at once how axes are moved.
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
    """The sum over some axes, by a loop over all axes in their order."""

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


class MovedAxes(Op):
    """A view of an array with its axes in another order, without some or with more of length one.

    Parameters
    ----------
    order : tuple of int
        Which axis comes next; -1 for a new one.
    keeps_layout : bool
        Whether entries that were together in memory, in their order, still are.
    """

    __props__ = ("keeps_layout", "order")
    view_map = {0: [0]}  # noqa: RUF012

    def __init__(self, order: tuple[int, ...], keeps_layout: bool) -> None:
        self.order, self.keeps_layout = order, keeps_layout

    def make_node(self, array: Variable) -> Apply:
        """Return a node whose output is the view."""
        shape = tuple(1 if axis < 0 else array.type.shape[axis] for axis in self.order)
        return Apply(self, [array], [array.type.clone(shape=shape)()])

    def perform(self, node: Apply, inputs: list[np.ndarray], outputs: list[list[Any]]) -> None:
        """Return the view."""
        kept = [axis for axis in self.order if axis >= 0]
        left = [axis for axis in range(inputs[0].ndim) if axis not in kept]
        moved = inputs[0].transpose(kept + left).reshape([inputs[0].shape[axis] for axis in kept])
        new = [i for i, axis in enumerate(self.order) if axis < 0]
        outputs[0][0] = np.expand_dims(moved, tuple(new))


def with_quick_operations(mode: Mode) -> Mode:
    """Return a mode in which these operations take the place of those of PyTensor."""
    # no decorator: compiled functions hold the rewriter, and are pickled
    rewriter = node_rewriter([Sum, SpecifyShape, DimShuffle])(_quick)
    return mode.register((in2out(rewriter, name="quick_operations"), _POSITION))


def _quick(fgraph: FunctionGraph, node: Apply) -> list[Variable] | None:
    """Replace a sum, a check of a shape, or moved axes."""
    array, [output] = node.inputs[0], node.outputs
    if isinstance(node.op, SpecifyShape):
        return [KnownShape(output.type.shape)(array)]
    if isinstance(node.op, DimShuffle):
        lengths = array.type.shape
        if not lengths or any(lengths[axis] != 1 for axis in node.op.drop):
            return None
        order = tuple(-1 if axis == "x" else axis for axis in node.op.new_order)
        long = [axis for axis in order if axis >= 0 and lengths[axis] != 1]
        return [MovedAxes(order, long == sorted(long))(array)]
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
        if isinstance(op, DimShuffle | MovedAxes):
            order = op.new_order if isinstance(op, DimShuffle) else op.order
            order = [axis for axis in order if axis != "x" and axis >= 0]
            if order != sorted(order):
                return True
        elif not isinstance(op, Reshape | SpecifyShape | KnownShape | Subtensor):
            break
        array = array.owner.inputs[0]
    return False


@cache
def register() -> None:
    """Tell PyTensor how Numba runs these operations."""
    from numba.core import cgutils, types
    from numba.core.imputils import impl_ret_borrowed
    from numba.extending import intrinsic
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

    @register_funcify_default_op_cache_key(MovedAxes)
    def moved_axes(op: MovedAxes, **kwargs: Any) -> Callable:
        order, keeps_layout = op.order, op.keeps_layout

        def typed(typing: Any, x: Any) -> Any:
            layout: Any = "C" if not order or (keeps_layout and x.layout == "C") else "A"
            moved = types.Array(x.dtype, len(order), layout)

            def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
                old = context.make_array(x)(context, builder, args[0])
                new, number = context.make_array(moved)(context, builder), types.intp
                shape, strides = (
                    cgutils.pack_array(
                        builder,
                        [
                            context.get_constant(number, other)
                            if axis < 0
                            else builder.extract_value(of_old, axis)
                            for axis in order
                        ],
                        ty=context.get_value_type(number),
                    )
                    for of_old, other in ((old.shape, 1), (old.strides, 0))
                )
                context.populate_array(
                    new,
                    data=old.data,
                    shape=shape,
                    strides=strides,
                    itemsize=old.itemsize,
                    meminfo=old.meminfo,
                    parent=old.parent,
                )
                return impl_ret_borrowed(context, builder, moved, new._getvalue())

            return moved(x), generate

        view: Any = intrinsic(typed)

        @numba_njit
        def move(x: np.ndarray) -> np.ndarray:
            return view(x)

        return move
