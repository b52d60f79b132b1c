"""The part of a graph that does not depend on the position: find it, and evaluate it once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import numpy as np
import pytensor.tensor as pt
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.mode import Mode
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.op import Op
from pytensor.graph.traversal import graph_inputs, toposort
from pytensor.tensor.einsum import Einsum
from pytensor.tensor.shape import Shape, Shape_i
from pytensor.tensor.type import TensorType
from pytensor.xtensor.basic import TensorFromXTensor
from pytensor.xtensor.type import XTensorType

from pymc_sgld.backends.numpy_mode import AS_IT_IS, STABLE, run_by_numpy
from pymc_sgld.minibatch.graph.dispatch import has_rule
from pymc_sgld.minibatch.graph.rebuild import rebuild, tensor
from pymc_sgld.minibatch.graph.sparse import is_product, is_sparse, product


class FixedValues:
    """Values of the variables that stay what they are for the whole run: data and constants.

    Parameters
    ----------
    outputs : sequence of Variable
        Graphs of a model. They are rebuilt with ``replacements`` and with every shared variable
        (``pm.Data``) as an input of known shape, so that static shapes are known downstream; the
        new graphs are in ``outputs``, and the values that were read in ``sources``.
    replacements : dict
        Variables to replace, typically value variables by pieces of the position.
    """

    def __init__(
        self, outputs: Sequence[Variable], replacements: Mapping[Variable, Variable]
    ) -> None:
        self.sources: dict[SharedVariable, np.ndarray] = {}
        self._arrays: dict[Variable, np.ndarray] = {}
        self._cache: dict[Variable, np.ndarray] = {}
        self.outputs = self._rebuild(outputs, replacements)
        self._fixed: set[Variable] = set()
        self._mark(self.outputs)

    def _rebuild(
        self, outputs: Sequence[Variable], replacements: Mapping[Variable, Variable]
    ) -> list[Variable]:
        data = {
            variable: self._data_input(variable)
            for variable in graph_inputs(outputs, blockers=list(replacements))
            if isinstance(variable, SharedVariable)
            and variable not in replacements
            and isinstance(variable.type, TensorType | XTensorType)
            and not is_sparse(variable)
        }

        def simplify(node: Apply, inputs: list[Variable]) -> list[Variable] | None:
            if _is_shorthand(node.op):  # its inner graph has ops that rows can pass
                inner = [variable.type() for variable in inputs]
                graphs = node.op.fgraph.bind(inner)
                return rebuild(graphs, dict(zip(inner, inputs, strict=True)), simplify)
            if is_product(node):
                matrix, right = inputs
                if isinstance(matrix, SharedVariable):
                    self.sources[matrix] = matrix.get_value(borrow=True)
                return [product(matrix, right)]
            if isinstance(node.op, TensorFromXTensor) and isinstance(inputs[0].type, TensorType):
                return inputs
            if not isinstance(node.op, Shape | Shape_i) or None in inputs[0].type.shape:
                return None
            shape = np.array(inputs[0].type.shape, dtype="int64")
            return [pt.constant(shape if isinstance(node.op, Shape) else shape[node.op.i])]

        return rebuild(outputs, {**data, **replacements}, simplify)

    def _data_input(self, shared: SharedVariable) -> Variable:
        value = shared.get_value(borrow=True)
        variable = tensor(shared.name, shared.type.dtype, np.shape(value))
        self._arrays[variable] = np.asarray(value)
        self.sources[shared] = value
        return variable

    def _mark(self, outputs: Iterable[Variable]) -> None:
        for node in toposort(outputs):
            if any(map(is_sparse, node.outputs)):
                continue
            if node.inputs and all(self.is_fixed(variable) for variable in node.inputs):
                self._fixed.update(node.outputs)

    def replace_outputs(self, outputs: list[Variable]) -> None:
        """Take rewritten graphs of the same values in the place of ``outputs``."""
        self.outputs = outputs
        self._mark(outputs)

    def is_fixed(self, variable: Variable) -> bool:
        """Whether the variable is the same at every position."""
        return isinstance(variable, Constant) or variable in self._arrays or variable in self._fixed

    def value(self, variable: Variable) -> np.ndarray:
        """Return the value of a fixed variable, computed once."""
        if isinstance(variable, Constant):
            return np.asarray(variable.data)
        if variable in self._arrays:
            return self._arrays[variable]
        if variable not in self._cache:
            [self._cache[variable]] = self.evaluate([variable], {})
        return self._cache[variable]

    def cut(self, index: slice) -> slice | None:
        """Return a slice with the values of its bounds, or None where one is not fixed."""
        bounds = index.start, index.stop, index.step
        if not all(bound is None or self.is_fixed(bound) for bound in bounds):
            return None
        return slice(*[None if bound is None else int(self.value(bound)) for bound in bounds])

    def evaluate(
        self,
        outputs: Sequence[Variable],
        inputs: Mapping[Variable, np.ndarray],
        mode: Mode = AS_IT_IS,
    ) -> list[np.ndarray]:
        """Return the values of graphs of fixed variables and ``inputs``."""
        try:
            values = self.function(outputs, list(inputs), mode)(*inputs.values())
        except np.exceptions.AxisError:  # PyMC's CAR sums a number, which rewriting removes
            values = self.function(outputs, list(inputs), STABLE)(*inputs.values())
        return [np.asarray(value) for value in values]

    def function(
        self, outputs: Sequence[Variable], inputs: Sequence[Variable], mode: Mode
    ) -> Callable[..., list[np.ndarray]]:
        """Return a function of ``inputs`` that evaluates graphs of them and fixed variables."""
        function = run_by_numpy([*self._arrays, *inputs], outputs, mode)
        return partial(function, *self._arrays.values())

    def with_nan(self, row: int, rows: int) -> list[str]:
        """Return the names of data of that many rows with a NaN in one of them."""
        arrays = {
            v.name: np.asarray(v.data)
            for v in graph_inputs(self.outputs)
            if isinstance(v, Constant) and isinstance(v.type, TensorType | XTensorType)
        }
        arrays |= {variable.name: array for variable, array in self._arrays.items()}
        return [
            name
            for name, array in arrays.items()
            if name
            and array.dtype.kind == "f"
            and rows in array.shape
            and np.isnan(array.take(row, axis=array.shape.index(rows))).any()
        ]

    def names(self, variable: Variable) -> list[str]:
        """Return the names of the data behind a fixed variable."""
        names: list[str] = []
        stack = [variable]
        while stack:
            current = stack.pop()
            if current.name and current.name not in names:
                names.append(current.name)
            elif current.owner is not None:
                stack.extend(current.owner.inputs)
        return names

    def has_entries(self, variable: Variable, length: int) -> bool:
        """Whether data or constants behind a fixed variable have an axis of so many entries."""
        return any(
            length in self.value(leaf).shape
            for leaf in graph_inputs([variable])
            if self.is_fixed(leaf) and isinstance(leaf.type, TensorType)
        )

    def largest_fixed(self, outputs: Sequence[Variable]) -> list[Variable]:
        """Return the fixed variables that feed a node which is not fixed, each once."""
        found: dict[Variable, None] = {}
        for node in toposort(outputs):
            if all(self.is_fixed(variable) for variable in node.inputs):
                continue
            for variable in node.inputs:
                if self.is_fixed(variable):
                    found[variable] = None
        for output in outputs:
            if self.is_fixed(output):
                found[output] = None
        return list(found)


def _is_shorthand(op: Op) -> bool:
    """Whether an op only stands for its inner graph, with no rule and no gradient of its own."""
    if isinstance(op, Einsum):
        return True
    return (
        isinstance(op, OpFromGraph)
        and not has_rule(op)
        and type(op).pullback is OpFromGraph.pullback
        and op.pullback_overrides is None
    )
