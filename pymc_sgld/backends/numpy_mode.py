"""PyTensor graphs run by NumPy, one operation after the other: there is nothing to compile.

PyTensor calls Python once for every entry of an array where NumPy has no function for an operation:
15 microseconds an entry for a trigamma function, a millisecond for a derivative of an incomplete
gamma function. Here such operations run on whole arrays: by functions of NumPy and SciPy, or else
by a function that Numba compiles for that one operation.

It also compiles loops and functions within a graph by a C++ compiler where it finds one, a second
for each of their operations, even where the graph itself is not compiled. Here they are not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, reduce
from typing import Any

import numpy as np
import pytensor
import scipy
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import in2out, node_rewriter
from pytensor.link.basic import PerformLinker
from pytensor.scalar import basic as scalar
from pytensor.scalar import math as scalar_math
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.type import TensorType

from pymc_sgld.backends.remembered import remembering

_LAST = {"stabilize": 1.50000005}  # positions of the rewrite after all others of a mode
_FEW = 256  # entries that Python may visit one by one: less than compiling takes by far

Arrays = Callable[..., np.ndarray]


def _broadcast(*arrays: np.ndarray) -> list[np.ndarray]:
    """Return arrays of one shape, not to be written to: nor may those be that are given."""
    shape = np.broadcast_shapes(*[np.shape(array) for array in arrays])
    return [np.broadcast_to(array, shape) for array in arrays]


def _trigamma(x: np.ndarray) -> np.ndarray:
    return scipy.special.zeta(2.0, x)


def _log1mexp(x: np.ndarray) -> np.ndarray:
    return np.where(x < -np.log(2), np.log1p(-np.exp(x)), np.log(-np.expm1(x)))


_FUNCTIONS: dict[type, Arrays] = {
    scalar.AND: lambda *arrays: reduce(np.bitwise_and, arrays),
    scalar.OR: lambda *arrays: reduce(np.bitwise_or, arrays),
    scalar.Switch: lambda condition, one, other: np.where(condition.astype(bool), one, other),
    scalar.Clip: np.clip,
    scalar.Identity: np.array,
    scalar.Second: lambda like, x: _broadcast(like, x)[1],
    scalar.RoundHalfAwayFromZero: lambda x: np.copysign(np.floor(np.abs(x) + 0.5), x),
    scalar_math.Softplus: lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    scalar_math.Log1mexp: _log1mexp,
    scalar_math.TriGamma: _trigamma,
}


class ByArrays(Op):
    """An operation on entries that runs on whole arrays, though NumPy has no function for it."""

    __props__ = ("elemwise",)

    def __init__(self, elemwise: Elemwise) -> None:
        self.elemwise = elemwise

    @property
    def _function(self) -> Arrays | None:
        return _FUNCTIONS.get(type(self.elemwise.scalar_op))

    def make_node(self, *inputs: Variable) -> Apply:
        """Return a node with the outputs that the operation has."""
        outputs = self.elemwise.make_node(*inputs).outputs
        return Apply(self, inputs, [output.type() for output in outputs])

    def perform(self, node: Apply, inputs: list[np.ndarray], outputs: list[list[Any]]) -> None:
        """Compute all entries."""
        with np.errstate(all="ignore"):
            if self._function is not None:
                found = [self._function(*inputs)]
            else:
                found = self._by_entries(node, inputs)
        for storage, variable, array in zip(outputs, node.outputs, found, strict=True):
            array = np.asarray(array, dtype=variable.type.dtype)
            storage[0] = array if array.flags.owndata else array.copy()

    def _by_entries(self, node: Apply, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """Compute few entries by Python, and many by a function that is compiled for it."""
        together = _broadcast(*inputs)
        shape = together[0].shape
        flat = [np.ravel(array) for array in together]
        if flat[0].size <= _FEW:
            operation = self.elemwise.scalar_op
            by_python = np.frompyfunc(operation.impl, len(flat), operation.nout)
            results = by_python(*flat)
            results = results if operation.nout > 1 else [results]
        else:
            results = _compiled(self.elemwise, tuple(array.dtype.name for array in flat))(*flat)
        return [
            np.asarray(result).astype(variable.type.dtype).reshape(shape)
            for result, variable in zip(results, node.outputs, strict=True)
        ]


@cache
def _compiled(elemwise: Elemwise, dtypes: tuple[str, ...]) -> Arrays:
    """Return a function of vectors that does the operation."""
    inputs = [TensorType(dtype, shape=(None,))() for dtype in dtypes]
    outputs = elemwise(*inputs, return_list=True)
    return pytensor.function(inputs, outputs, mode="NUMBA", on_unused_input="ignore")


def is_by_entries(node: Apply) -> bool:
    """Whether PyTensor would call Python for every entry of the arrays of a node."""
    op = node.op
    if not isinstance(op, Elemwise):
        return False
    operation = op.scalar_op
    if isinstance(operation, scalar.Cast):
        return False
    if isinstance(operation, scalar.Add | scalar.Mul):
        return False
    return op.nfunc_spec is None or op.nfunc_spec[1] != len(node.inputs)


@node_rewriter([Elemwise])
def _by_arrays(fgraph: FunctionGraph, node: Apply) -> list[Variable] | None:
    """Take such an operation out of PyTensor's hands."""
    if not is_by_entries(node):
        return None
    return ByArrays(node.op)(*node.inputs, return_list=True)


class NumPyLinker(PerformLinker):
    """Links what NumPy runs: loops and functions within a graph too."""

    def make_all(self, *arguments: Any, **keywords: Any) -> Any:
        """Link all operations without a C++ compiler."""
        with pytensor.config.change_flags(cxx=""):
            return super().make_all(*arguments, **keywords)


def _mode(rewrites: str | None) -> Mode:
    return Mode(NumPyLinker(), rewrites).register(
        (in2out(_by_arrays), _LAST.get(str(rewrites), 100.0))
    )


QUICK = _mode("fast_compile")
"""For graphs that run a few times to some thousand times."""

AGAIN = remembering(QUICK.linker, QUICK.provided_optimizer)
"""The same for graphs without data: another process will have the same ones."""

STABLE = _mode("stabilize")
"""The same, with what keeps numbers from overflowing where they need not."""

AS_IT_IS = _mode(None)
"""For graphs that run once: nothing is rewritten."""


def run_by_numpy(
    inputs: Sequence[Variable], outputs: Sequence[Variable], mode: Mode = QUICK
) -> Callable[..., Any]:
    """Return a function of graphs that runs a few times."""
    return pytensor.function(list(inputs), list(outputs), mode=mode, on_unused_input="ignore")
