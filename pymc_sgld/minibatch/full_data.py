"""Passes over all the data, block by block: the log density, its gradient and its Hessian."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.utils import MethodNotDefined

from pymc_sgld.backends.backend import NUMPY, Backend, is_compiled, is_worthwhile, seconds
from pymc_sgld.errors import SettingError
from pymc_sgld.minibatch.blocks import picked, read_blocks, sampled
from pymc_sgld.minibatch.density import DensityFunction, LogDensity, Place, Table, gradient_of
from pymc_sgld.minibatch.position import Coordinates

PASSES, PASSES_A_COORDINATE = 400, 30  # that a search takes, about
_FASTER = 10  # times as fast as by NumPy a compiled function is, at least


@dataclass(frozen=True)
class Center:
    """A point, and the derivatives of the log density of all rows there."""

    position: np.ndarray  # shape (d,)
    others: list[np.ndarray]  # values of the variables that the step does not move
    # shape (parts, d): gradient of the prior, then of each table's log-likelihood
    gradients: np.ndarray
    # shape (parts, d, d): their Hessians, which only the second order needs
    hessians: np.ndarray | None = None


class _Block(NamedTuple):
    """Rows of a table that are evaluated at once."""

    rows: Sequence[np.ndarray]  # their data
    # shape (batch_size,): how often each row counts; an empty list for the prior alone
    counted: list[np.ndarray]
    is_first: bool = True  # whether no block of the table comes before


_Product = Callable[[Place, np.ndarray, _Block], np.ndarray]


class FullData:
    """The log density of all rows and its derivatives by the position, a sum of parts.

    The parts are the prior and the log-likelihoods of the tables of rows, in this order.

    ``calls``: about how many blocks will be evaluated; by default as many as a search takes.
    """

    def __init__(
        self,
        density: LogDensity,
        backend: Backend = NUMPY,
        calls: float | None = None,
    ) -> None:
        self.density, self._backend = density, backend
        self._weights: list[float | np.ndarray] = [1.0] * len(density.tables)
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
                if _counts(table)
                else pt.sum(graph)
                for graph in table.likelihoods.values()
            ]
            self._sums.append(pt.add(*terms, pt.constant(0, dtype=position.dtype)))
        self._gradients = [gradient_of([graph], density) for graph in self._sums]
        # the parts that are evaluated on the way through a table, or alone (0): the prior comes
        # along with the first table, one function less to compile
        tables = range(1, len(self._sums))
        self._parts = {i: [0, i] if i == 1 else [i] for i in tables} or {0: [0]}
        self._calls = calls
        self._functions: dict[int, DensityFunction] = {}
        self._rows: dict[int, DensityFunction] = {}
        self._products: dict[int, _Product] = {}

    @property
    def rows(self) -> int:
        """How many rows a pass reads."""
        return round(sum(table.total_size * table.rows_each for table in self.density.tables))

    @property
    def seconds(self) -> float:
        """How long NumPy takes for the gradient of all rows, about; a compiled function less."""
        return sum(seconds(self._outputs(i)) * self._blocks_of(i) for i in self._parts)

    @property
    def dtype(self) -> Any:
        """Of the positions where gradients are evaluated."""
        return self.density.position.dtype

    def batches(self, density: LogDensity, calls: float) -> FullData:
        """Return the same for batches, compiled if this is: they share most.

        Where to evaluate so many blocks is less work than to compile, a batch is a block of which
        the other rows do not count.
        """
        compiled = any(is_compiled(each.function) for each in self._functions.values())
        if compiled and self._holds(density) and not self._is_long(calls):
            new = copy(self)
            new.density = density
            return new
        return FullData(density, self._backend, np.inf if compiled else calls)

    def _holds(self, density: LogDensity) -> bool:
        """Whether the rows of blocks are counted, of all tables that are read in batches."""
        pairs = zip(self.density.tables, density.tables, strict=True)
        return all(each.full or _counts(table) for table, each in pairs)

    def _is_long(self, calls: float) -> bool:
        """Whether so many blocks take longer than to compile a function for batches."""
        each = calls / len(self._parts) / _FASTER
        return any(is_worthwhile(self._outputs(i), each) for i in self._parts)

    @property
    def coordinates(self) -> tuple[Coordinates, ...]:
        """The variables in the position."""
        return self.density.coordinates

    def sample(self, rows: int) -> FullData:
        """Return the same with some rows of each large table, which count for all of its rows.

        Of a source they come from those that are in memory. What is compiled is shared.

        ``rows``: rows of a table, picked at random, as far as there are so many; a table of less
        than twice as many stays whole.
        """
        new = copy(self)
        tables = tuple(sampled(table, rows) for table in self.density.tables)
        new.density = replace(self.density, tables=tables)
        new._weights = [
            weight * old.total_size / table.total_size
            for weight, old, table in zip(self._weights, self.density.tables, tables, strict=True)
        ]
        return new

    def picked(self, rows: Mapping[int, np.ndarray]) -> FullData:
        """Return the same with some rows of tables. What is compiled is shared.

        ``rows``: of a table (1 for the first) the rows, in ascending order: whole blocks of them.
        The other tables stay as they are.
        """
        new, tables = copy(self), list(self.density.tables)
        for i, own in rows.items():
            tables[i - 1] = picked(tables[i - 1], own)
        new.density = replace(self.density, tables=tuple(tables))
        return new

    def weighted(self, weights: Mapping[int, np.ndarray]) -> FullData:
        """Return the same, where each row of some tables counts as often as it is said."""
        new = copy(self)
        new._weights = [weights.get(i, old) for i, old in enumerate(self._weights, start=1)]
        return new

    def gradients(
        self, position: np.ndarray, others: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the value of each part, shape (parts,), and its gradient, shape (parts, d)."""
        return self.gradients_at([position], others)[0]

    def gradients_at(
        self, positions: Sequence[np.ndarray], others: Sequence[np.ndarray]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return `gradients` at several positions, by one pass: the rows are read once."""
        values = np.zeros((len(positions), len(self._sums)))
        gradients = np.zeros((*values.shape, len(positions[0])))
        for i, parts in self._parts.items():
            sums = self._sum(i, partial(self._of_block_at, i, positions, others))
            values[:, parts], gradients[:, parts] = sums[..., 0], sums[..., 1:]
        return list(zip(values, gradients, strict=True))

    def of_rows(
        self,
        i: int,
        position: np.ndarray,
        others: Sequence[np.ndarray],
        rows: Sequence[np.ndarray],
    ) -> np.ndarray:
        """Return the gradient of the log-likelihood of some rows of a table, shape (d,).

        Parameters
        ----------
        i : int
            The part: 1 for the first table.
        rows : sequence of ndarray
            The data of as many rows as a block has, or a batch.
        """
        return self._gradients_of(i, (position, others), rows)[i]

    def gradients_of_rows(
        self, i: int, position: np.ndarray, others: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Return the gradient of each row of a table, shape (total_size, d), by differences."""
        table = self.density.tables[i - 1]
        values = self._of_each_row(i, calls=len(position) * self._blocks_of(i))
        scale = np.sqrt(np.finfo(position.dtype).eps) * np.maximum(1.0, np.abs(position))
        found = np.empty((table.total_size, len(position)))
        for start, data in read_blocks(table):
            here = values(position, others, data)[0]
            for k, share in enumerate(np.diag(scale.astype(position.dtype))):
                there = values(position + share, others, data)[0]
                found[start : start + table.batch_size, k] = (there - here) / scale[k]
        return found

    def values_of_rows(
        self, i: int, positions: Sequence[np.ndarray], others: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Return the log-likelihood of each row of a table, shape (len(positions), total_size).

        Minus infinity where a condition of the likelihood does not hold.
        """
        table, values = self.density.tables[i - 1], self._of_each_row(i, calls=np.inf)
        found = np.empty((len(positions), table.total_size))
        for start, data in read_blocks(table):
            for k, position in enumerate(positions):
                found[k, start : start + table.batch_size] = values(position, others, data)[0]
        return found

    def log_prior(self, position: np.ndarray, others: Sequence[np.ndarray]) -> float:
        """Return the part of the log density that no table has.

        Minus infinity where a condition of it does not hold.
        """
        if 0 not in self._rows:
            of_tables = {name for table in self.density.tables for name in table.likelihoods}
            conditions = self.density.conditions.items()
            own = [c for name, of_term in conditions if name not in of_tables for c in of_term]
            self._rows[0] = self._make(0, [inside(self._sums[0], own)], calls=np.inf)
        return float(self._rows[0](position, others)[0])

    def _of_each_row(self, i: int, calls: float) -> DensityFunction:
        """Return a function that gives the log-likelihood of each row of a block."""
        if i not in self._rows:
            table = self.density.tables[i - 1]
            graphs = [
                inside(graph, self.density.conditions.get(name, ()))
                for name, graph in table.likelihoods.items()
            ]
            rows = [graph.reshape((table.batch_size, -1)).sum(axis=1) for graph in graphs]
            make = partial(self._backend.function, calls=calls)
            self._rows[i] = self.density.function([pt.add(*rows, 0)], table, make=make)
        return self._rows[i]

    def without_rows(
        self,
        position: np.ndarray,
        others: Sequence[np.ndarray],
        rows: Mapping[int, Sequence[np.ndarray]],
    ) -> np.ndarray:
        """Return the gradient of the prior and of the tables that fit into a block, shape (d,).

        ``rows``: any block of each of the other tables, which it has no part in.
        """
        found = np.zeros(len(position))
        for i in self._parts:
            block = rows.get(i) or [item.whole for item in self.density.tables[i - 1].data]
            gradients = self._gradients_of(i, (position, others), block)
            found += sum(part for k, part in gradients.items() if k not in rows)
        return found

    def _gradients_of(
        self, i: int, place: Place, rows: Sequence[np.ndarray]
    ) -> dict[int, np.ndarray]:
        """Return the gradients of the parts that are evaluated with some rows."""
        size, length = self.density.tables[i - 1].batch_size, self._counted[i - 1].type.shape[0]
        place_of = np.arange(length)
        if size < length:  # a batch, filled up with rows that do not count
            rows = [array[place_of % size] for array in rows]
        counted = (place_of < size).astype(self.dtype)
        found = self._evaluate(i, place, _Block(rows, [counted]))
        return {part: gradient for part, (_, gradient) in found.items()}

    def _of_block_at(
        self,
        i: int,
        positions: Sequence[np.ndarray],
        others: Sequence[np.ndarray],
        block: _Block,
    ) -> np.ndarray:
        """Return what a block adds at each position, shape (positions, parts, 1 + d)."""
        return np.array([self._of_block(i, (position, others), block) for position in positions])

    def _of_block(self, i: int, place: Place, block: _Block) -> np.ndarray:
        """Return what a block adds to the values and gradients of parts, shape (parts, 1 + d)."""
        found = self._evaluate(i, place, block)
        added = np.array([np.append(*pair) for pair in found.values()], dtype=float)
        if not block.is_first:
            added[[part == 0 for part in found]] = 0  # the prior counts once
        return added

    def _evaluate(self, i: int, place: Place, block: _Block) -> dict[int, list[Any]]:
        """Return the value and the gradient of the parts that are evaluated with a block."""
        found = self._function(i)(*place, block.rows, block.counted)
        return {part: found[2 * k : 2 * k + 2] for k, part in enumerate(self._parts[i])}

    def _sum(self, i: int, function: Callable[[_Block], np.ndarray]) -> np.ndarray:
        """Return the sum over the blocks of a table, or of the prior alone (0), in their order."""
        total: Any = 0.0
        for block in self._blocks(i):
            total = total + function(block)
        return total

    def _function(self, i: int) -> DensityFunction:
        """Return a function that gives the value and the gradient of parts for a block."""
        if i not in self._functions:
            calls = self._calls
            if calls is None:
                size = self.density.position.type.shape[0]
                calls = (PASSES + PASSES_A_COORDINATE * size) * self._blocks_of(i)
            self._functions[i] = self._make(i, self._outputs(i), calls)
        return self._functions[i]

    def _make(
        self,
        i: int,
        outputs: Sequence[Variable],
        calls: float,
        more: Sequence[Variable] = (),
    ) -> DensityFunction:
        """Return a function of blocks of a table, or of the prior alone (0)."""
        table = self.density.tables[i - 1] if i else None
        counted = self._counted[i - 1 : i] if i else []
        make = partial(self._backend.function, calls=calls)
        return self.density.function(outputs, table, extra=[*counted, *more], make=make)

    def _outputs(self, i: int) -> list[Variable]:
        """Return the values and the gradients of parts."""
        return [graph for k in self._parts[i] for graph in (self._sums[k], self._gradients[k])]

    def _blocks_of(self, i: int) -> int:
        """Return how many blocks a pass over a table has, or the prior alone (0)."""
        if not i:
            return 1
        table = self.density.tables[i - 1]
        return -(-table.total_size // table.batch_size)

    def hessians(self, position: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
        """Return the Hessian of each part, shape (parts, d, d), by one product a column.

        By differences of gradients where an operation of the model has no second derivative.
        """
        size = len(position)
        hessians = np.zeros((len(self._sums), size, size))
        for i in range(len(self._sums)):
            hessians[i] = self._sum(i, partial(_hessian, self._product(i), (position, others)))
        return (hessians + hessians.swapaxes(1, 2)) / 2

    def _product(self, i: int) -> _Product:
        """Return a function that multiplies the Hessian of a part with a vector."""
        if i not in self._products:
            try:
                graph = pt.sum(self._gradients[i] * self._tangent)
                product = self.density.gradient(graph, self.density.position)
                calls = self._blocks_of(i) * self.density.position.type.shape[0]
                evaluate = self._make(i, [product], calls, [self._tangent])
                self._products[i] = partial(_exact, evaluate)
            except (MethodNotDefined, SettingError):
                gradient = self._make(i, [self._gradients[i]], calls=0)
                self._products[i] = partial(_by_difference, gradient)
        return self._products[i]

    def center(
        self, position: np.ndarray, others: Sequence[np.ndarray], second_order: bool = True
    ) -> Center:
        """Return a point with what estimators need there: gradients, and Hessians if asked for."""
        _, gradients = self.gradients(position, others)
        hessians = self.hessians(position, others) if second_order else None
        return Center(position, list(others), gradients, hessians)

    def _blocks(self, i: int) -> Iterator[_Block]:
        """Give the blocks of a table, or one without rows for the prior alone (0)."""
        if not i:
            yield _Block([], [])
            return
        table = self.density.tables[i - 1]
        seen = 0
        for start, rows in read_blocks(table):
            new = np.arange(start, start + table.batch_size) >= seen  # the last two may overlap
            weights = np.broadcast_to(self._weights[i - 1], table.total_size)
            counted = new * weights[start : start + table.batch_size].astype(self.dtype)
            yield _Block(rows, [counted], is_first=not seen)
            seen = start + table.batch_size


def _counts(table: Table) -> bool:
    """Whether it is told of each row of a block how often it counts."""
    return table.groups or not table.full


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


def _hessian(product: _Product, place: Place, block: _Block) -> np.ndarray:
    """Return the Hessian for a block, one column after the other."""
    tangents = np.eye(len(place[0]), dtype=place[0].dtype)
    return np.array([product(place, tangent, block) for tangent in tangents], dtype=float).T


def _exact(
    product: DensityFunction, place: Place, tangent: np.ndarray, block: _Block
) -> np.ndarray:
    """Return the Hessian for a block times a vector."""
    return product(*place, block.rows, [*block.counted, tangent])[0]


def _by_difference(
    gradient: DensityFunction, place: Place, tangent: np.ndarray, block: _Block
) -> np.ndarray:
    """Return the Hessian for a block times a vector, by a difference of gradients."""
    position, others = place
    scale = np.cbrt(np.finfo(position.dtype).eps) * max(1.0, np.abs(position @ tangent))
    above, below = (
        gradient(position + s * tangent, others, block.rows, block.counted)[0]
        for s in (scale, -scale)
    )
    return (above - below) / (2 * scale)
