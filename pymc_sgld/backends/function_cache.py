"""Functions that were compiled before, for a model of the same shapes: data are inputs of them.

A compiled function holds no data, so that the next step of the same graph may use it: the same
model fitted again, or to each of many segments. A function belongs to the thread that made it: two
threads would mix up its inputs.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from pytensor import config
from pytensor.graph.basic import Variable, equal_computations
from pytensor.graph.traversal import toposort

MOST = 32  # functions that are kept, the latest


class _Made(NamedTuple):
    inputs: list[Variable]
    outputs: list[Variable]
    function: Callable[..., Any]


_of_thread = threading.local()


def cached(
    inputs: Sequence[Variable],
    outputs: Sequence[Variable],
    how: Hashable,
    make: Callable[[], Callable[..., Any]],
) -> Callable[..., Any]:
    """Return a function of equal graphs that was made in the same way, or make it."""
    if not hasattr(_of_thread, "functions"):
        _of_thread.functions = OrderedDict()
    functions: OrderedDict[tuple[Hashable, object], _Made] = _of_thread.functions
    nodes = [str(node.op) for node in toposort(outputs)]
    how = how, config.numba__fastmath
    kind = (how, tuple(variable.type for variable in inputs), tuple(nodes))
    for key, made in functions.items():
        if key[0] == kind and _are_equal(made, inputs, outputs):
            functions.move_to_end(key)
            return made.function
    function = make()
    functions[kind, object()] = _Made(list(inputs), list(outputs), function)
    while len(functions) > MOST:
        functions.popitem(last=False)
    return function


def _are_equal(made: _Made, inputs: Sequence[Variable], outputs: Sequence[Variable]) -> bool:
    shared = set(made.inputs).intersection(inputs)
    if shared and made.inputs != list(inputs):  # to compare graphs takes them as they are
        return False
    return equal_computations(made.outputs, list(outputs), made.inputs, list(inputs))
