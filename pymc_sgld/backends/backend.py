"""Which backend runs a function: the one that the user chose, or NumPy where compiling costs more.

Before sampling, a log density and its gradient are evaluated some hundred to some thousand times.
NumPy runs a graph at once, operation by operation; a compiled function is several times faster, and
takes seconds to compile where its parts are not yet in the caches on disk. The choice is made by a
model of both times, and not by a clock: the same model and data always take the same way, and so
give the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from math import prod
from typing import Any

import pytensor
from pytensor.compile.mode import Mode, get_mode
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.traversal import toposort
from pytensor.link.numba.linker import NumbaLinker
from pytensor.link.vm import VMLinker
from pytensor.scalar.loop import ScalarLoop
from pytensor.scan.op import Scan
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.math import Dot

from pymc_sgld.backends.function_cache import cached
from pymc_sgld.backends.numba_linker import CompileOnce
from pymc_sgld.backends.numpy_mode import AGAIN
from pymc_sgld.backends.products_as_sums import with_sums
from pymc_sgld.backends.quick_operations import with_quick_operations
from pymc_sgld.backends.remembered import remembering

# seconds, measured on the models of benchmarks/first_draw.py
_COMPILE_NODE = 0.02  # from 0.005, where all is in the caches, to 0.06
_NODE, _ENTRY = 7e-6, 8e-9
_LOOP = 3e-5
# multiplications in products of two matrices, in all and for a coordinate, from which on JAX is
# faster: noise and gradients of many coordinates are arrays that it copies
_PRODUCTS, _PER_COORDINATE = 1e6, 1e3


class Backend:
    """The backend of a step.

    ``workers``: other processes that passes over the rows are divided among; see
    ``pymc_sgld.workers``. They are no part of a pickle.
    """

    def __init__(self, compile_kwargs: Mapping[str, Any], workers: Any = None) -> None:
        self.workers, self._given = workers, compile_kwargs.get("mode")
        mode = get_mode(compile_kwargs.get("mode"))
        self.compiles = not (isinstance(mode.linker, VMLinker) and not mode.linker.c_thunks)
        self.mode: Mode = _of_numba(mode) if isinstance(mode.linker, NumbaLinker) else mode

    def function(
        self, inputs: Sequence[Variable], outputs: Sequence[Variable], calls: float
    ) -> Callable[..., Any]:
        """Return a function that will be called about so many times."""
        mode = self.mode if self.compiles and is_worthwhile(outputs, calls) else AGAIN

        def make() -> Callable[..., Any]:
            return pytensor.function(
                list(inputs), list(outputs), mode=mode, on_unused_input="ignore"
            )

        return cached(inputs, outputs, mode, make)

    def __reduce__(self) -> Any:
        """Pickle the mode as it was given: what it becomes is the same again there."""
        return Backend, ({"mode": self._given},)


@cache
def _of_numba(mode: Mode) -> Mode:
    """Return the same mode again for the same mode."""
    rewrites = with_quick_operations(with_sums(mode)).provided_optimizer
    return remembering(CompileOnce(), rewrites)


NUMPY = Backend({"mode": "FAST_COMPILE"})
"""Compiles nothing."""


def mode_of_updates(compile_kwargs: Mapping[str, Any], gradient: Variable) -> Mode:
    """Return what compiles updates: the mode of the user, or JAX where it is faster.

    That is where products of two matrices take most of the time, as in a network, if JAX is
    installed. Passes over all rows are compiled as always.

    ``gradient``, shape (d,): what an update evaluates.
    """
    most = max(_PRODUCTS, _PER_COORDINATE * (gradient.type.shape[0] or 1))
    if "mode" not in compile_kwargs and multiplications([gradient]) > most and _has_jax():
        return get_mode("JAX")
    return Backend(compile_kwargs).mode


def _has_jax() -> bool:
    return find_spec("jax") is not None


def multiplications(outputs: Sequence[Variable]) -> int:
    """Return how many multiplications are in products of two matrices, of static shapes."""
    count = 0
    for node in toposort(outputs):
        if isinstance(getattr(node.op, "core_op", node.op), Dot):
            *_, rows, inner = [n or 1 for n in node.inputs[0].type.shape] or [1, 1]
            columns = node.inputs[1].type.shape[-1] or 1
            if min(rows, inner, columns) > 1:
                count += rows * inner * columns
    return count


def is_compiled(function: Callable[..., Any]) -> bool:
    """Whether a function was compiled, and is not run by NumPy."""
    return function.maker.mode is not AGAIN  # type: ignore[attr-defined]


def is_worthwhile(outputs: Sequence[Variable], calls: float) -> bool:
    """Whether to compile graphs takes less time than so many calls without."""
    return calls * seconds(outputs) > _COMPILE_NODE * len(list(toposort(outputs)))


def seconds(outputs: Sequence[Variable]) -> float:
    """Return how long NumPy takes for graphs, about."""
    return sum(map(_seconds, toposort(outputs)))


def _seconds(node: Apply) -> float:
    """Return how long NumPy takes for a node."""
    shapes = [[n or 1 for n in getattr(v.type, "shape", ())] for v in node.outputs]
    entries = sum(map(prod, shapes))
    return _NODE + entries * _ENTRY + _loops(node, shapes[0], entries) * _LOOP


def _loops(node: Apply, shape: Sequence[int], entries: int) -> int:
    """Return how often NumPy goes through Python for a node, or through a loop of its own."""
    op = node.op
    if isinstance(op, Blockwise):
        loops = prod(shape[: op.batch_ndim(node)])
        return loops if loops > 1 else 0
    slow = isinstance(op, Scan) or (
        isinstance(op, Elemwise) and isinstance(op.scalar_op, ScalarLoop)
    )
    return entries if slow else 0
