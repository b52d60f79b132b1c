"""The log density of blocks of rows and its derivatives, as functions made when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.utils import MethodNotDefined

from pymc_sgld.backends.backend import Backend, is_compiled, is_worthwhile, seconds
from pymc_sgld.errors import SettingError
from pymc_sgld.minibatch.density import DensityFunction, LogDensity, Place, Table, gradient_of

_FASTER = 10  # times as fast as by NumPy a compiled function is, at least


class BlockInputs(NamedTuple):
    """Rows of a table that are evaluated at once."""

    rows: Sequence[np.ndarray]  # their data
    # shape (batch_size,): how often each row counts; an empty list for the prior alone
    counted: list[np.ndarray]
    first: int = 0  # of its rows, as they are numbered in the table


Product = Callable[[Place, np.ndarray, BlockInputs], np.ndarray]
"""The Hessian for a block times a vector, at a place."""


class BlockFunctions:
    """Functions of a block of rows: of each term, the prior (0) and the tables (from 1).

    Each is compiled, or left to NumPy, by how often it will be called when it is first asked for.
    """

    def __init__(self, density: LogDensity, backend: Backend) -> None:
        self._density, self._backend = density, backend
        position = density.position
        self._tangent = position.type("tangent")
        self._counted = [
            pt.vector("counted", dtype=position.dtype, shape=(table.batch_size,))
            for table in density.tables
        ]
        self._sums = [density.log_prior]
        for table, counted in zip(density.tables, self._counted, strict=True):
            terms = [
                pt.sum(graph.reshape((table.batch_size, -1)).sum(axis=1) * counted)
                if counts(table)
                else pt.sum(graph)
                for graph in table.likelihoods.values()
            ]
            self._sums.append(pt.add(*terms, pt.constant(0, dtype=position.dtype)))
        self._gradients = [gradient_of([graph], density) for graph in self._sums]
        # the terms that are evaluated on the way through a table, or alone (0): the prior comes
        # along with the first table, one function less to compile
        tables = range(1, self.count)
        self.terms = {i: [0, i] if i == 1 else [i] for i in tables} or {0: [0]}
        self._functions: dict[int, DensityFunction] = {}
        self._rows: dict[int, DensityFunction] = {}
        self._products: dict[int, Product] = {}

    def portable(self, density: LogDensity) -> BlockFunctions:
        """Return the same for another process, with its density: nothing is compiled."""
        new = copy(self)
        new._density, new._functions, new._rows, new._products = density, {}, {}, {}
        return new

    @property
    def count(self) -> int:
        """How many terms there are."""
        return len(self._sums)

    @property
    def are_compiled(self) -> bool:
        """Whether a gradient was compiled."""
        return any(is_compiled(each.function) for each in self._functions.values())

    def size(self, i: int) -> int:
        """Return how many rows a block of a table has."""
        return self._counted[i - 1].type.shape[0]

    def seconds(self, i: int) -> float:
        """Return how long NumPy takes for the gradient of a block."""
        return seconds(self._outputs(i))

    def is_long(self, calls: float) -> bool:
        """Whether so many blocks take longer than to compile a function of other blocks."""
        each = calls / len(self.terms) / _FASTER
        return any(is_worthwhile(self._outputs(i), each) for i in self.terms)

    def gradients(
        self, i: int, place: Place, block: BlockInputs, calls: float
    ) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Return the value and the gradient of the terms that are evaluated with a block."""
        if i not in self._functions:
            self._functions[i] = self._make(i, self._outputs(i), calls)
        found = self._functions[i](*place, block.rows, block.counted)
        return {term: (found[2 * k], found[2 * k + 1]) for k, term in enumerate(self.terms[i])}

    def of_rows(self, i: int, calls: float) -> DensityFunction:
        """Return a function that gives the log-likelihood of each row of a block."""
        if i not in self._rows:
            table, density = self._density.tables[i - 1], self._density
            graphs = [
                inside(graph, density.conditions.get(name, ()))
                for name, graph in table.likelihoods.items()
            ]
            rows = [_of_each(graph, table) for graph in graphs]
            make = partial(self._backend.function, calls=calls)
            self._rows[i] = density.function([pt.add(*rows, 0)], table, make=make)
        return self._rows[i]

    def log_prior(self, place: Place) -> float:
        """Return the term that no table has, minus infinity where a condition does not hold."""
        if 0 not in self._rows:
            of_tables = {name for table in self._density.tables for name in table.likelihoods}
            conditions = self._density.conditions.items()
            own = [c for name, of_term in conditions if name not in of_tables for c in of_term]
            self._rows[0] = self._make(0, [inside(self._sums[0], own)], calls=np.inf)
        return float(self._rows[0](*place)[0])

    def product(self, i: int, calls: float) -> Product:
        """Return a function that multiplies the Hessian of a term with a vector.

        By differences of gradients where an operation of the model has no second derivative.
        """
        if i not in self._products:
            try:
                graph = pt.sum(self._gradients[i] * self._tangent)
                product = self._density.gradient(graph, self._density.position)
                evaluate = self._make(i, [product], calls, [self._tangent])
                self._products[i] = partial(_exact, evaluate)
            except (MethodNotDefined, SettingError):
                gradient = self._make(i, [self._gradients[i]], calls=0)
                self._products[i] = partial(_by_difference, gradient)
        return self._products[i]

    def _outputs(self, i: int) -> list[Variable]:
        """Return the values and the gradients of terms."""
        return [graph for k in self.terms[i] for graph in (self._sums[k], self._gradients[k])]

    def _make(
        self, i: int, outputs: Sequence[Variable], calls: float, more: Sequence[Variable] = ()
    ) -> DensityFunction:
        """Return a function of blocks of a table, or of the prior alone (0)."""
        table = self._density.tables[i - 1] if i else None
        counted = self._counted[i - 1 : i] if i else []
        make = partial(self._backend.function, calls=calls)
        return self._density.function(outputs, table, extra=[*counted, *more], make=make)


def counts(table: Table) -> bool:
    """Whether it is told of each row of a block how often it counts."""
    return table.groups or not table.full


def _of_each(graph: Variable, table: Table) -> Variable:
    """Return a log-likelihood by the row, shape (batch_size,); even shares of what is of all."""
    if table.full and graph.type.shape[:1] != (table.batch_size,):
        return pt.full((table.batch_size,), pt.sum(graph) / table.batch_size)
    return graph.reshape((table.batch_size, -1)).sum(axis=1)


def inside(graph: Variable, conditions: Sequence[Variable]) -> Variable:
    """Return a log density that is minus infinity where a condition does not hold.

    What has an entry for each of its entries says which; the others speak for all.
    """
    for condition in conditions:
        shapes = graph.type.shape, condition.type.shape
        alike = None not in shapes[1] and shapes[0] == shapes[1]
        holds = condition if alike else pt.all(condition)
        graph = pt.switch(holds, graph, np.asarray(-np.inf, graph.dtype))
    return graph


def _exact(
    product: DensityFunction, place: Place, tangent: np.ndarray, block: BlockInputs
) -> np.ndarray:
    """Return the Hessian for a block times a vector."""
    return product(*place, block.rows, [*block.counted, tangent])[0]


def _by_difference(
    gradient: DensityFunction, place: Place, tangent: np.ndarray, block: BlockInputs
) -> np.ndarray:
    """Return the Hessian for a block times a vector, by a difference of gradients."""
    position, others = place
    scale = np.cbrt(np.finfo(position.dtype).eps) * max(1.0, np.abs(position @ tangent))
    above, below = (
        gradient(position + s * tangent, others, block.rows, block.counted)[0]
        for s in (scale, -scale)
    )
    return (above - below) / (2 * scale)
