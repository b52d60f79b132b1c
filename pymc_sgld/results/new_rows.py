"""Variables of a model as functions of its free variables and of rows of new data.

PyMC's own graph of a variable is made of distributions and of their parameters. The selection of
rows is pushed through each parameter to the new data, as that of a batch is pushed through a log
density, and the distributions get as many rows as a block has. So what can be computed row by row
is, and what cannot, a mean over the rows for one, is refused by name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pytensor.tensor as pt
from pymc.distributions.distribution import SymbolicRandomVariable
from pymc.distributions.shape_utils import change_dist_size
from pymc.model import Model
from pymc.pytensorf import compile as compile_pymc
from pytensor.compile.ops import ViewOp
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.traversal import ancestors, toposort
from pytensor.tensor.random.op import RandomVariable
from pytensor.tensor.subtensor import AdvancedSubtensor, indices_from_subtensor
from pytensor.tensor.type import TensorType
from pytensor.xtensor.type import XTensorType

from pymc_sgld.backends.numpy_mode import QUICK, run_by_numpy
from pymc_sgld.errors import DataError, SettingError
from pymc_sgld.minibatch.density import Table
from pymc_sgld.minibatch.graph.dispatch import RowsMixed
from pymc_sgld.minibatch.graph.fixed import FixedValues
from pymc_sgld.minibatch.graph.rebuild import rebuild, tensor
from pymc_sgld.minibatch.model import take_out_data
from pymc_sgld.minibatch.selection.from_sources import Streamed, StreamedRows, check_length
from pymc_sgld.sources.source import Source

BLOCK, NUMBERS = 16_384, 2**22  # rows of a block, and of all draws of one: 32 MB
_RANDOM = RandomVariable, SymbolicRandomVariable


class NewRows:
    """Variables of a model in blocks of new rows.

    Parameters
    ----------
    names : collection of str or None
        Observed variables and Deterministics; by default the observed variables that depend on
        the data.
    sources : dict
        The new rows, by the names of ``pm.Data``.

    Attributes
    ----------
    names : list of str
        Of the variables.
    needed : list of str
        Free variables that they depend on.
    rows, batch_size : int
        How many there are, and those of a block.
    table : Table
        The rows, once it is compiled.
    """

    def __init__(
        self, model: Model, names: Collection[str] | None, sources: Mapping[str, Source]
    ) -> None:
        _check_columns(model, sources)
        self._model = model
        self._streamed = Streamed.find(model, sources)
        self.names = _names(model, names, self._streamed)
        self._targets = [model[name] for name in self.names]
        above = _above(model, self._targets)
        unread = [each.source.name for v, each in self._streamed.items() if v not in above]
        if unread:
            raise SettingError(
                f"data has {unread}, which {self.names} do not depend on: leave them out, or name "
                "other variables in var_names."
            )
        self.needed = [rv.name for rv in model.free_RVs if rv in above]
        self.rows, self.batch_size = _common_length([*sources.values()]), 0

    def compile(self, shapes: Mapping[str, tuple[int, ...]], draws: int, seed: int) -> None:
        """Make a function of a block of rows, of which so many draws will be held in memory.

        ``shapes``: of the free variables that are needed, by name.
        """
        self.batch_size = max(1, min(BLOCK, NUMBERS // draws, self.rows))
        free = {self._model[name]: name for name in self.needed}
        inputs = {v: tensor(name, v.type.dtype, shapes[name]) for v, name in free.items()}
        self._dtypes = [v.type.dtype for v in free]
        replaced = inputs | {v: each.leaf for v, each in self._streamed.items()}
        targets = rebuild(self._targets, replaced, _without_views)
        parts = {
            part: name
            for name, target in zip(self.names, targets, strict=True)
            for part in _parameters(target)
        }
        for part, name in parts.items():
            check_length(name, part, {each.leaf for each in self._streamed.values()})
        fixed = FixedValues(list(parts), {})
        labels = {inputs[v]: name for v, name in free.items()}
        streamed = list(self._streamed.values())
        rows = StreamedRows(streamed, fixed, labels, self.batch_size)
        graphs = [
            self._select(rows, graph, name)
            for graph, name in zip(fixed.outputs, parts.values(), strict=True)
        ]
        graphs, whole = take_out_data(graphs, fixed, set())
        selected = dict(zip(parts, graphs, strict=True))
        outputs = [
            self._resized(name, target, selected)
            for name, target in zip(self.names, targets, strict=True)
        ]
        self._whole = [item.array for item in whole]
        self.table = Table({}, self.rows, self.batch_size, rows.data)
        blocks = [item.variable for item in rows.data]
        arguments = [*inputs.values(), *blocks, *[item.variable for item in whole]]
        self._function = compile_pymc(
            arguments, outputs, random_seed=seed, mode=QUICK, on_unused_input="ignore"
        )
        indices = [found for graph in graphs for found in _indices(graph, set(blocks))]
        self._index_names = [_name_of(index, blocks, "an index") for index, _, _ in indices]
        self._tables = [
            _name_of(table, [*inputs.values()], "what it picks from") for _, table, _ in indices
        ]
        lengths = [each for index, _, length in indices for each in (index, length)]
        self._indices = run_by_numpy(arguments, lengths)

    def check_levels(
        self, point: Sequence[np.ndarray], start: int, data: Sequence[np.ndarray]
    ) -> None:
        """Refuse rows of a block whose index is that of no entry of what it picks from."""
        found = self._indices(*self._cast(point), *data, *self._whole)
        names = zip(self._index_names, self._tables, strict=True)
        for (index, length), (name, table) in zip(_pairs(found), names, strict=True):
            wrong = (index < 0) | (index >= length)
            if wrong.any():
                place = int(np.argwhere(wrong)[0][0])
                value = np.ravel(index[wrong])[0]
                raise DataError(
                    f"cannot predict row {start + place} of data: {name} is {value} there, and "
                    f"{table} has {length} entries, 0 to {length - 1}. The model says nothing of "
                    "levels that it has not seen: leave these rows out, or give them a level that "
                    "the model has."
                )

    def try_once(self, point: Sequence[np.ndarray], data: Sequence[np.ndarray]) -> None:
        """Refuse variables that cannot have as many rows as a block."""
        found = self.at(point, data)
        for name, values in zip(self.names, found, strict=True):
            if np.shape(values)[:1] != (self.batch_size,):
                shape = np.shape(values)
                raise _refusal([name], f"its shape is {shape} for {self.batch_size} rows")

    def at(self, point: Sequence[np.ndarray], data: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the variables in the rows of a block, at values of the free variables."""
        try:
            return self._function(*self._cast(point), *data, *self._whole)
        except Exception as error:  # of PyTensor, of NumPy, or of a function of the user
            labels = " and ".join(f'"{name}"' for name in self.names)
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise SettingError(
                f"cannot predict {labels} at a draw: {reason}. Either draws are outside the "
                "support of their variables, or a variable is no function of a row and of "
                "parameters: pm.set_data and pm.sample_posterior_predictive predict that."
            ) from error

    def _cast(self, point: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [np.asarray(v, dtype) for v, dtype in zip(point, self._dtypes, strict=True)]

    def _select(self, rows: StreamedRows, graph: Variable, name: str) -> Variable:
        """Return a parameter of a variable for the rows of a block."""
        leaves = {each.leaf for each in self._streamed.values()}
        has_rows = graph.type.ndim and graph.type.shape[0] == rows.total_size > 1
        if not has_rows and leaves.isdisjoint(ancestors([graph])):
            return graph
        try:
            selected = rows.select(graph, 0)
            mixed = rows.leftover(selected)
            if mixed is not None:
                raise RowsMixed(mixed)
        except RowsMixed as error:
            raise _refusal([name], error.reason) from error
        return selected

    def _resized(
        self, name: str, target: Variable, selected: Mapping[Variable, Variable]
    ) -> Variable:
        """Return a variable with its parameters for the rows of a block."""
        if target in selected:
            return selected[target]
        observed = self._model.rvs_to_values[self._model[name]]
        [shape] = run_by_numpy([], [observed.shape])()
        batch = len(shape) - target.owner.op.ndim_supp
        lengths = self.batch_size, *map(int, shape[1:batch])
        size = _size_of(target)
        own = {} if size is None else {size: pt.constant(np.array(lengths))}
        [new] = rebuild([target], {**selected, **own})
        return change_dist_size(new, lengths)


def _refusal(names: Sequence[str], reason: str) -> SettingError:
    labels = " and ".join(f'"{name}"' for name in names)
    return SettingError(
        f"cannot predict {labels} in blocks of new rows: {reason}. What is no function of a row "
        "and of parameters is predicted by pm.set_data and pm.sample_posterior_predictive."
    )


def _without_views(node: Apply, inputs: list[Variable]) -> list[Variable] | None:
    """Leave out that a Deterministic is another view of its variable."""
    return inputs if isinstance(node.op, ViewOp) else None


def _parameters(target: Variable) -> Iterator[Variable]:
    """Give what the distribution of a variable is made of, or a variable that has none."""
    node = target.owner
    if node is None or not isinstance(node.op, _RANDOM):
        yield target
        return
    size = _size_of(target)
    for variable in node.inputs:
        if variable is not size and isinstance(variable.type, TensorType):
            yield from _parameters(variable)


def _size_of(target: Variable) -> Variable | None:
    """Return the input of a distribution that says how many draws of it there are, if any."""
    node = target.owner
    has_size = isinstance(node.op, RandomVariable) or node.op.extended_signature is not None
    size = node.op.size_param(node) if has_size else None
    return size if size is not None and isinstance(size.type, TensorType) else None


def _names(
    model: Model, names: Collection[str] | None, streamed: Mapping[Variable, Streamed]
) -> list[str]:
    """Return the variables to predict."""
    observed = [rv.name for rv in model.observed_RVs]
    made = [v.name for v in model.deterministics]
    if names is None:
        found = [n for n in observed if not _above(model, [model[n]]).isdisjoint(streamed)]
    else:
        found = list(dict.fromkeys(names))
    unknown = [name for name in found if name not in (*observed, *made)]
    if unknown or not found:
        raise SettingError(
            f"cannot predict {unknown or found}: name observed variables, {observed}, or "
            f"Deterministics, {made}, that depend on data."
        )
    for name in found:
        if isinstance(model[name].type, XTensorType):
            raise SettingError(
                f'cannot predict "{name}", which has named dimensions (pymc.dims): use pm.set_data '
                "and pm.sample_posterior_predictive."
            )
        if _above(model, [model[name]]).isdisjoint(streamed):
            given = [each.source.name for each in streamed.values()]
            raise SettingError(f'cannot predict "{name}": it does not depend on {given}.')
    return found


def _above(model: Model, targets: Sequence[Variable]) -> set[Variable]:
    """Return what variables are made of, given the free variables."""
    return set(ancestors(targets, blockers=model.free_RVs))


def _check_columns(model: Model, sources: Mapping[str, Source]) -> None:
    """Refuse new rows that are other than the model has them."""
    known = {v.name: v.get_value(borrow=True) for v in model.data_vars if hasattr(v, "get_value")}
    above = {v.name for rv in model.observed_RVs for v in ancestors([model.rvs_to_values[rv]])}
    outcomes = [name for name in sources if name in above]
    if outcomes:
        raise SettingError(
            f"data has {outcomes}, what was observed: that is predicted. Leave it out."
        )
    if not known:
        raise SettingError(
            "cannot predict: the model has no pm.Data, whose place new rows would take. Build it "
            "with its predictors as pm.Data."
        )
    if not sources:
        raise SettingError(
            f"data is empty: pass new rows of the pm.Data of the model, which are {list(known)}."
        )
    for name, source in sources.items():
        if name not in known:
            continue  # what is said of it elsewhere
        template = np.asarray(known[name])
        dtype, shape = template.dtype, template.shape
        if source.shape[1:] != shape[1:]:
            raise SettingError(
                f'data["{name}"] has the shape {source.shape}, and the model has {shape} in its '
                "place: all lengths but the first must be the same."
            )
        if source.dtype.kind != "f" and (
            dtype.kind == "f" or not np.array_equal(template.astype(source.dtype), template)
        ):
            raise SettingError(
                f'data["{name}"] is {source.dtype}, and the model has {dtype} in its place: '
                f'convert it, such as by .astype("{dtype}").'
            )


def _common_length(sources: Sequence[Source]) -> int:
    """Return how many rows sources have, or refuse those that have other numbers of them."""
    first, *others = sources
    for other in others:
        if len(other) != len(first):
            raise SettingError(
                f'data["{first.name}"] has {len(first)} rows and data["{other.name}"] '
                f"{len(other)}: new rows must be as many in all of them."
            )
    return len(first)


def _indices(
    graph: Variable, data: Collection[Variable]
) -> Iterator[tuple[Variable, Variable, Variable]]:
    """Give each index that depends on new rows, what it picks from, and the entries of that."""
    for node in toposort([graph]):
        if isinstance(node.op, AdvancedSubtensor):
            table, *rest = node.inputs
            for axis, index in enumerate(indices_from_subtensor(rest, node.op.idx_list)):
                if isinstance(index, slice) or index.type.dtype == "bool":
                    continue
                if not set(ancestors([index])).isdisjoint(data):
                    yield index, table, table.shape[axis]


def _name_of(variable: Variable, among: Sequence[Variable], otherwise: str) -> str:
    """Return the names of the inputs that a variable is made of."""
    above = set(ancestors([variable]))
    return " and ".join(f'"{v.name}"' for v in among if v in above) or otherwise


def _pairs(found: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, int]]:
    for place in range(0, len(found), 2):
        yield np.asarray(found[place]), int(found[place + 1])
