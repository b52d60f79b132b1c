"""Rows that a model does not hold: it has a few of them as a template, and a source has all.

Only what is computed row by row can be computed for rows that come later. So a source is not fixed
data, of which anything may be computed once: the selection of rows is pushed to the source itself,
and a mean over the rows of the template is refused. That makes a row of the template stand for any
row of the source, and their number and values are used nowhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pymc.model import Model
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import ancestors, graph_inputs, toposort
from pytensor.raise_op import CheckAndRaise
from pytensor.tensor.basic import Alloc
from pytensor.tensor.elemwise import CAReduce, DimShuffle
from pytensor.tensor.shape import Reshape, Shape, Shape_i, SpecifyShape
from pytensor.tensor.subtensor import Subtensor, get_constant_idx

from pymc_sgld.errors import SettingError
from pymc_sgld.minibatch.graph.dispatch import RowsMixed
from pymc_sgld.minibatch.graph.fixed import FixedValues
from pymc_sgld.minibatch.graph.rebuild import tensor
from pymc_sgld.minibatch.selection.rows import BatchSelection, Data, RowSelection
from pymc_sgld.sources.source import Source


@dataclass(frozen=True, eq=False)
class Streamed:
    """Data of a model that a source stands for."""

    leaf: Variable  # what takes the place of the data in the graphs
    template: np.ndarray  # the data
    source: Source  # the rows

    @property
    def as_read(self) -> np.ndarray:
        """The template in the precision of the source."""
        with np.errstate(invalid="ignore"):
            return self.template.astype(self.source.dtype).astype(self.template.dtype)

    @staticmethod
    def find(model: Model, sources: Mapping[str, Source]) -> dict[Variable, Streamed]:
        """Return what takes the place of the data of a model."""
        found: dict[Variable, Streamed] = {}
        for name, source in sources.items():
            variable, template = _data_of(model, name)
            if variable in found:
                raise SettingError(
                    f'data has two sources for the same data: "{found[variable].source.name}" and '
                    f'"{name}". Leave one of them out.'
                )
            _check_fit(name, template, source)
            leaf = tensor(name, template.dtype.name, template.shape)
            found[variable] = Streamed(leaf, template, source)
            _check_numbers(found[variable])
        return found

    @staticmethod
    def of(graphs: Sequence[Variable], streamed: Sequence[Streamed]) -> list[Streamed]:
        """Return the data with a source that graphs read."""
        found = set(ancestors(graphs))
        return [each for each in streamed if each.leaf in found]


def _check_numbers(streamed: Streamed) -> None:
    """Refuse a template that has numbers which its source cannot have."""
    name, dtype = streamed.source.name, streamed.source.dtype
    if dtype.kind in "biu" and not np.array_equal(streamed.as_read, streamed.template):
        raise SettingError(
            f'the model has other numbers than {dtype} in its place of "{name}", which data['
            f'"{name}"] is: build the model with a few rows of the source.'
        )


def _data_of(model: Model, name: str) -> tuple[Variable, np.ndarray]:
    """Return the variable of a model that holds some data, and these."""
    containers = {v.name: v for v in model.data_vars}
    observed = {rv.name: model.rvs_to_values[rv] for rv in model.observed_RVs}
    if name in containers:
        variable = containers[name]
    elif name in observed:
        leaves = [v for v in graph_inputs([observed[name]]) if np.ndim(_value(v))]
        if len(leaves) != 1:
            raise SettingError(
                f'data has "{name}", but the model observes something computed from it, or with '
                "missing values: make the array that it is computed from pm.Data, and give that a "
                "source."
            )
        [variable] = leaves
    else:
        raise SettingError(
            f'data has "{name}", but the pm.Data of the model are {list(containers)}, and its '
            f"observed variables {list(observed)}: name one of these."
        )
    return variable, np.asarray(_value(variable))


def _value(variable: Variable) -> np.ndarray:
    if isinstance(variable, Constant):
        return np.asarray(variable.data)
    shared = isinstance(variable, SharedVariable)
    return np.asarray(variable.get_value(borrow=True)) if shared else np.zeros(0)


def _check_fit(name: str, template: np.ndarray, source: Source) -> None:
    """Refuse a source of other rows than the template has."""
    if source.shape[1:] != template.shape[1:] or not template.ndim:
        raise SettingError(
            f'data["{name}"] has the shape {source.shape}, and the model has {template.shape} in '
            "its place: all lengths but the first must be the same. Build the model with a few "
            "rows of the source."
        )
    if not len(template):
        raise SettingError(
            f'the model has no rows of "{name}": build it with a few rows of the source.'
        )
    if len(template) == 1 and len(source) > 1:  # an axis of one entry may stand for any length
        raise SettingError(
            f'the model has one row of "{name}", which cannot be told from a number for all rows: '
            "build it with a few rows of the source."
        )
    kind = template.dtype.kind
    if kind != "f" and np.result_type(source.dtype, template.dtype).kind not in (kind, "i", "u"):
        raise SettingError(
            f'data["{name}"] is {source.dtype}, which does not fit into the {template.dtype} that '
            f"the model has in its place: build the model with rows of {source.dtype}."
        )


class StreamedRows(BatchSelection):
    """The rows of a batch that come from sources.

    ``total_size`` is the number of rows of the template here.
    """

    def __init__(
        self,
        streamed: Sequence[Streamed],
        fixed: FixedValues,
        parameters: Mapping[Variable, str],
        batch_size: int,
    ) -> None:
        super().__init__(fixed, parameters, len(streamed[0].template), batch_size)
        self._streamed = {each.leaf: each for each in streamed}

    def leftover(self, graph: Variable) -> str | None:
        """Return that a graph reads a source other than by selected rows, or None."""
        if any(variable in self._streamed for variable in ancestors([graph])):
            return "every row depends on all rows of a source"
        return None

    def condition(self, condition: Variable) -> Variable:
        """Return a condition for the selected rows."""
        if self.leftover(condition) is None:
            return condition
        for axis, length in enumerate(condition.type.shape):
            if length == self.total_size:
                selected = self.select(condition, axis)
                if self.leftover(selected) is None:
                    return selected
        raise RowsMixed("a check of its parameters uses all rows at once")

    def leaf(self, variable: Variable, axis: int) -> Variable | None:
        """Return rows of a source, or what is computed and the same in every row."""
        if variable not in self._streamed:
            check_source(self, variable)
            return self.read_fixed(variable, axis)
        found = self._streamed[variable]
        name = found.source.name
        if axis:
            raise RowsMixed(f'the rows of "{name}" are not on its first axis')
        batch = tensor(name, found.source.dtype.name, (self.batch_size, *found.source.shape[1:]))
        self.data.append(Data(batch, found.source, (name,), True, found.template))
        dtype = variable.type.dtype  # PyMC makes integers narrower, which those to come may not fit
        return batch.astype(dtype if "float" in dtype else np.result_type(dtype, batch.type.dtype))

    def read(self, array: np.ndarray, name: str | None, sources: Sequence[str] = ()) -> Variable:
        """Return what is the same in every row, and refuse all else."""
        return same_in_every_row(array, sources, self.batch_size)

    def at(self, entries: np.ndarray, length: int, repeats: bool = True) -> RowSelection:
        """Return the same selection where every row is picked, and refuse any other."""
        every_row(entries, length, self.total_size)
        return self


def check_source(rows: RowSelection, variable: Variable) -> None:
    """Refuse data and constants with an entry for each row of the template.

    Were these all the same, those of other rows need not be: in data that are sorted, or where what
    happens is rare, they often are.
    """
    fixed = rows.fixed
    if rows.is_read(variable) and fixed.has_entries(variable, rows.total_size):
        raise RowsMixed(without_source(fixed.names(variable)))


def same_in_every_row(array: np.ndarray, sources: Sequence[str], rows: int) -> Variable:
    """Return a constant that is the same in every row of the template, for so many rows."""
    if not (array == array[:1]).all():
        raise RowsMixed(without_source(sources))
    same = pt.constant(array[:1], dtype=array.dtype.name)
    return pt.broadcast_to(same, (rows, *array.shape[1:]))


def without_source(names: Sequence[str]) -> str:
    """Say that data need a source, or a constant that has no name."""
    if not names:
        return (
            "a constant of the model has one entry for each row that the model was built with, and "
            "no source in data=: make it pm.Data, and give it one, or make it one number for all "
            "rows"
        )
    labels = " and ".join(f'"{name}"' for name in names)
    entries = ", ".join(f'"{name}": source' for name in names)
    return (
        f"{labels} has one entry for each row that the model was built with, and no source in "
        f"data=: add it, data={{..., {entries}}}"
    )


def every_row(entries: np.ndarray, length: int, rows: int) -> None:
    """Refuse any other entries than those of every row of the template."""
    if not np.array_equal(entries, np.arange(rows)) or length != rows:
        raise RowsMixed("the model picks some of the rows that it was built with")


def check_length(name: str, graph: Variable, data: Collection[Variable]) -> None:
    """Refuse a term that computes with the number of rows of a template.

    To give arrays as many rows is fine: the selection of rows does it, too.

    """
    found: dict[Variable, str] = {}  # what is computed with it, and of which data
    for node in toposort([graph]):
        first, *others = node.inputs or [None]
        if isinstance(node.op, Shape | Shape_i):
            if first in data and (isinstance(node.op, Shape) or node.op.i == 0):
                found[node.outputs[0]] = first.name
            continue
        if isinstance(node.op, Alloc | Reshape | SpecifyShape | CheckAndRaise):
            others = []
        if isinstance(node.op, Subtensor) and isinstance(getattr(first.owner, "op", None), Shape):
            [entry] = get_constant_idx(node.op.idx_list, node.inputs, allow_partial=True)
            if isinstance(entry, slice):
                is_first = not (isinstance(entry.start, int) and entry.start > 0)
            else:
                is_first = not isinstance(entry, int) or entry % first.owner.inputs[0].ndim == 0
            if not is_first:
                continue
        if any(map(_is_sum, node.inputs)):
            continue  # a mean over the rows, which is refused as that
        for variable in [first, *others]:
            if variable in found:
                found.update(dict.fromkeys(node.outputs, found[variable]))
    if graph in found:
        raise SettingError(
            f'"{name}" computes with the number of rows of "{found[graph]}", which is that of the '
            "template in the model and not that of data=: put the number itself into the model."
        )


def _is_sum(variable: Variable) -> bool:
    while variable.owner is not None and isinstance(variable.owner.op, DimShuffle):
        variable = variable.owner.inputs[0]
    return variable.owner is not None and isinstance(variable.owner.op, CAReduce)


def check_moved(vars: Sequence[Variable], model: Model, data: Any) -> None:
    """Refuse to leave variables to other steps, which see the rows of the template only.

    Only those that a log-likelihood of rows of sources reads itself: given the variables that it
    reads, the others do not depend on these rows.
    """
    left = {v: model.values_to_rvs[v].name for v in model.value_vars if v not in vars}
    if not left or not isinstance(data, Mapping):
        return
    templates = [_data_of(model, name) for name in data]
    rvs = [*model.observed_RVs, *model.potentials]
    for rv, logp in zip(rvs, model.logp(vars=rvs, sum=False), strict=True):
        read = set(ancestors([logp]))
        rows = max((len(template) for v, template in templates if v in read), default=0)
        names = [name for value, name in left.items() if value in read]
        if rows and names:
            labels = " and ".join(f'"{name}"' for name in names)
            raise SettingError(
                f'{labels} would be sampled by another step, which sees only the {rows} rows of "'
                f'{rv.name}" that the model has as a template, and not those of data=: its result '
                f'would not be the posterior. Let the same step sample all that "{rv.name}" '
                "depends on, which must be continuous, or put all of its rows into the model, "
                "without data=."
            )
