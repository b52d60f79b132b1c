"""The log density of a model for batches of rows: graphs, and the data that they read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.gradient import NullTypeGradError, grad
from pytensor.graph.basic import Variable

from pymc_sgld.backends.numpy_mode import AGAIN, run_by_numpy
from pymc_sgld.errors import SettingError
from pymc_sgld.minibatch.graph.rebuild import tensor
from pymc_sgld.minibatch.position import Coordinates
from pymc_sgld.minibatch.selection.rows import Data
from pymc_sgld.sources.shared import check_sent
from pymc_sgld.sources.source import ArraySource, Source

_run_by_numpy = partial(run_by_numpy, mode=AGAIN)


@dataclass(frozen=True)
class Table:
    """Rows that are read together, and the likelihoods that read them."""

    # by name, the elementwise log-likelihood of an observed variable (or a potential): of the rows
    # of the batch, on the first axis
    likelihoods: dict[str, Variable]
    # rows of the data and of a batch; equal where every update reads all of them
    total_size: int
    batch_size: int
    data: list[Data]  # what is read by the row
    # how many rows of the data one of these has, on average: more than one where it is a group
    rows_each: float = 1.0
    # which groups its rows are, where effects of groups are integrated out
    members: np.ndarray | None = None
    # the gradient of each row at the center, shape (total_size, d), where it is stored
    at_center: Data | None = None

    def __str__(self) -> str:
        """Return the sizes of a batch and of the data."""
        return f"{self.batch_size} of {self.total_size} {'groups' if self.groups else 'rows'}"

    @property
    def groups(self) -> bool:
        """Whether its rows are groups, whose effects are integrated out."""
        return self.members is not None

    @property
    def full(self) -> bool:
        """Whether every update reads all rows."""
        return self.batch_size == self.total_size

    @property
    def sources(self) -> list[Source]:
        """What the rows are read from, where they are not in memory."""
        return [item.array for item in self.data if isinstance(item.array, Source)]

    @property
    def scale(self) -> float:
        """N/n, by which the log-likelihood of a batch estimates that of all rows."""
        return self.total_size / self.batch_size


Place = tuple[np.ndarray, Sequence[np.ndarray]]
"""A position, shape (d,), and values of the variables that the step does not move."""


@dataclass(frozen=True)
class DensityFunction:
    """A function of graphs of a log density; :meth:`LogDensity.function` makes it."""

    # of the position, the other variables, ``extra``, the rows of a block and ``whole``
    function: Callable[..., Any]
    dtype: str  # that of the position
    whole: list[np.ndarray]  # the data that are read in full at every call

    def __call__(
        self,
        position: np.ndarray,
        others: Sequence[np.ndarray],
        rows: Sequence[np.ndarray] = (),
        extra: Sequence[np.ndarray] = (),
    ) -> list[Any]:
        """Return the outputs, at a position in the precision of the density."""
        at = position.astype(self.dtype, copy=False)
        return self.function(at, *others, *extra, *rows, *self.whole)


@dataclass(frozen=True)
class LogDensity:
    """The log posterior density of a model at a position, its likelihood for batches of rows."""

    position: Variable  # shape (d,): unconstrained coordinates of the variables that the step moves
    # the position's parts, one a variable: what to take gradients with respect to
    pieces: list[Variable]
    coordinates: tuple[Coordinates, ...]  # which part of the position is which variable
    # inputs for the values of the variables that the step does not move, by name
    others: dict[str, Variable]
    # scalar: everything but the likelihoods of the tables, log-Jacobians of the transforms included
    log_prior: Variable
    tables: tuple[Table, ...]  # the likelihoods, and the rows that they read
    # by term, boolean tensors: where an entry is false its density is zero
    conditions: dict[str, list[Variable]]
    whole: list[Data]  # data that every update reads in full
    # the ``pm.Data`` of the model, with the values that the data were made of
    sources: dict[SharedVariable, np.ndarray]
    # rows of a batch, as it was asked for: tables of fewer rows are read in full, and of groups
    # there are as many as have about so many rows
    batch_size: int = 0

    @property
    def rows(self) -> int:
        """Rows of the data in the longest table, those of groups counted together."""
        of_groups = sum(t.total_size * t.rows_each for t in self.tables if t.groups)
        others = [t.total_size for t in self.tables if not t.groups]
        return max([round(of_groups), *others])

    @property
    def data(self) -> list[Data]:
        """All data that the density reads."""
        return [item for table in self.tables for item in table.data] + self.whole

    @property
    def inside(self) -> dict[str, Variable]:
        """Whether the density of each term is finite and not zero, a boolean scalar by its name."""
        checks = {"the prior": [pt.isfinite(self.log_prior)]}
        for table in self.tables:
            for name, log_likelihood in table.likelihoods.items():
                checks[f'"{name}"'] = [pt.all(pt.isfinite(log_likelihood))]
        for name, conditions in self.conditions.items():
            checks.setdefault(f'"{name}"', []).extend(pt.all(c) for c in conditions)
        return {name: pt.all(parts) for name, parts in checks.items() if parts}

    @property
    def full(self) -> bool:
        """Whether every update reads all the data."""
        return all(table.full for table in self.tables)

    def gradient(
        self, graph: Variable, wrt: Variable | list[Variable], disconnected: str = "zero"
    ) -> Any:
        """Return the gradient of a scalar, zero (or ``"none"``) for what it does not depend on."""
        try:
            return grad(graph, wrt, disconnected_inputs="ignore", return_disconnected=disconnected)
        except (NotImplementedError, NullTypeGradError) as error:
            names = ", ".join(f'"{c.name}"' for c in self.coordinates)
            raise SettingError(
                f"the log density has no gradient with respect to {names}, because an operation in "
                f"it has none: {error}. This step method cannot sample them; another one may."
            ) from error

    def function(
        self,
        outputs: Sequence[Variable],
        table: Table | None = None,
        *,
        extra: Sequence[Variable] = (),
        make: Callable[[list[Variable], list[Variable]], Callable[..., Any]] = _run_by_numpy,
    ) -> DensityFunction:
        """Return a function of graphs of this density: the one place that orders their inputs.

        Parameters
        ----------
        outputs : sequence of Variable
            Graphs of the position, the other variables, the rows of ``table``, ``extra`` and the
            data that are read in full.
        make : callable
            Compiles a function of inputs and outputs; by default NumPy runs it.
        """
        rows = [] if table is None else [item.variable for item in table.data]
        whole = [item.variable for item in self.whole]
        inputs = [self.position, *self.others.values(), *extra, *rows, *whole]
        arrays = [item.array for item in self.whole]
        return DensityFunction(make(inputs, list(outputs)), self.position.dtype, arrays)

    def with_rows_at_center(self, gradients: Mapping[int, np.ndarray]) -> LogDensity:
        """Return the same with gradients of all rows at the center that are read, not computed.

        ``gradients``: by the place of a table, of shape (total_size, d).
        """
        tables = list(self.tables)
        for i, found in gradients.items():
            array = found.astype(self.position.dtype)
            variable = tensor(None, array.dtype.name, (tables[i].batch_size, array.shape[1]))
            rows = ArraySource(array) if tables[i].sources else array
            stored = Data(variable, rows, (), by_row=True)
            data = [*tables[i].data, stored]
            tables[i] = replace(tables[i], data=data, at_center=stored)
        return replace(self, tables=tuple(tables))

    def portable(self) -> LogDensity:
        """Return what can be pickled for another machine.

        Rows in memory go along, but for those of groups: their tables are not evaluated elsewhere.

        Raises
        ------
        SettingError
            If there are very many of them.
        """

        def of(item: Data, left_out: bool = False) -> Data:
            return replace(item, array=np.empty(0) if left_out else item.array, template=None)

        tables = [
            replace(t, data=[of(item, t.groups) for item in t.data], members=None)
            for t in self.tables
        ]
        whole = [of(item) for item in self.whole]
        new = replace(self, tables=tuple(tables), whole=whole, sources={})
        sent = [item for item in new.data if isinstance(item.array, np.ndarray | ArraySource)]
        names = sorted({name for item in sent for name in item.names})
        check_sent(sum(item.array.size * item.array.dtype.itemsize for item in sent), str(names))
        return new

    def without_data(self) -> LogDensity:
        """Return the graphs alone: no tables, and no data that are read in full."""
        return replace(self, tables=(), whole=[], sources={})

    @property
    def log_likelihoods(self) -> list[Variable]:
        """Of each table, the sum over the rows of its batch, a scalar."""
        return [total(list(t.likelihoods.values()), self.position.dtype) for t in self.tables]

    @property
    def scaled(self) -> list[Variable]:
        """The same times N/n: of each table, what its batch estimates that of all rows by."""
        pairs = zip(self.tables, self.log_likelihoods, strict=True)
        return [g if t.full else np.asarray(t.scale, g.type.dtype) * g for t, g in pairs]


def total(terms: Sequence[Variable], dtype: str) -> Variable:
    """Return the sum of all entries of all terms, a scalar."""
    if not terms:
        return pt.constant(0.0, dtype=dtype)
    return pt.add(*[pt.sum(term) for term in terms]) if len(terms) > 1 else pt.sum(terms[0])


def gradient_of(graphs: list[Variable], density: LogDensity) -> Variable:
    """Return the gradient of a sum of scalars by the position."""
    parts = density.gradient(pt.add(*graphs) if len(graphs) > 1 else graphs[0], density.pieces)
    return pt.concatenate([part.flatten() for part in parts]).astype(density.position.dtype)
