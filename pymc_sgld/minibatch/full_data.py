"""Passes over all the data, block by block: the log density, its gradient and its Hessian.

A pass takes one table of rows after the other. `parts_of` divides it into parts, which `over_parts`
evaluates here or by other processes; `by_part` gives the blocks of each, and `BlockFunctions` the
numbers of a block, which are summed part by part: the sum is the same wherever it is computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from pymc_sgld.backends.backend import NUMPY, Backend
from pymc_sgld.minibatch.block_functions import BlockFunctions, BlockInputs, counts
from pymc_sgld.minibatch.blocks import (
    Part,
    RowBlock,
    by_part,
    over_parts,
    parts_of,
    picked,
    read_blocks,
    sampled,
)
from pymc_sgld.minibatch.density import LogDensity, Place, Table
from pymc_sgld.minibatch.position import Coordinates

PASSES, PASSES_A_COORDINATE = 400, 30  # that a search takes, about


@dataclass(frozen=True)
class Center:
    """A point, and the derivatives of the log density of all rows there."""

    position: np.ndarray  # shape (d,)
    others: list[np.ndarray]  # values of the variables that the step does not move
    # shape (terms, d): gradient of the prior, then of each table's log-likelihood
    gradients: np.ndarray
    # shape (terms, d, d): their Hessians, which only the second order needs
    hessians: np.ndarray | None = None


class FullData:
    """The log density of all rows and its derivatives by the position, a sum of terms.

    The terms are the prior and the log-likelihoods of the tables of rows, in this order.

    ``calls``: about how many blocks will be evaluated; by default as many as a search takes.
    """

    def __init__(
        self,
        density: LogDensity,
        backend: Backend = NUMPY,
        calls: float | None = None,
    ) -> None:
        self.density, self._backend = density, backend
        self._is_whole = True  # not some of the rows, which are in memory
        self._weights: list[float | np.ndarray] = [1.0] * len(density.tables)
        self._functions, self._calls = BlockFunctions(density, backend), calls

    @property
    def rows(self) -> int:
        """How many rows a pass reads."""
        return round(sum(table.total_size * table.rows_each for table in self.density.tables))

    @property
    def seconds(self) -> float:
        """How long NumPy takes for the gradient of all rows, about; a compiled function less."""
        return sum(self._functions.seconds(i) * self._blocks_of(i) for i in self._functions.terms)

    @property
    def dtype(self) -> Any:
        """Of the positions where gradients are evaluated."""
        return self.density.position.dtype

    def batches(self, density: LogDensity, calls: float) -> FullData:
        """Return the same for batches, compiled if this is: they share most.

        Where to evaluate so many blocks is less work than to compile, a batch is a block of which
        the other rows do not count.
        """
        compiled = self._functions.are_compiled
        if compiled and self._holds(density) and not self._functions.is_long(calls):
            new = copy(self)
            new.density = density
            return new
        return FullData(density, self._backend, np.inf if compiled else calls)

    def _holds(self, density: LogDensity) -> bool:
        """Whether the rows of blocks are counted, of all tables that are read in batches."""
        pairs = zip(self.density.tables, density.tables, strict=True)
        return all(each.full or counts(table) for table, each in pairs)

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
        tables = [sampled(table, rows) for table in self.density.tables]
        weights = [
            weight * old.total_size / table.total_size
            for weight, old, table in zip(self._weights, self.density.tables, tables, strict=True)
        ]
        return self._some(tables, weights)

    def picked(self, rows: Mapping[int, np.ndarray]) -> FullData:
        """Return the same with some rows of tables. What is compiled is shared.

        ``rows``: of a table (1 for the first) the rows, in ascending order: whole blocks of them.
        The other tables stay as they are.
        """
        tables = list(self.density.tables)
        for i, own in rows.items():
            tables[i - 1] = picked(tables[i - 1], own)
        return self._some(tables, self._weights)

    def weighted(self, weights: Mapping[int, np.ndarray]) -> FullData:
        """Return the same, where each row of some tables counts as often as it is said."""
        of_tables = [weights.get(i, old) for i, old in enumerate(self._weights, start=1)]
        return self._some(self.density.tables, of_tables)

    def _some(self, tables: Sequence[Table], weights: list[float | np.ndarray]) -> FullData:
        """Return the same with other rows of tables. What is compiled is shared."""
        new = copy(self)
        new._is_whole, new._weights = False, weights
        new.density = replace(self.density, tables=tuple(tables))
        return new

    def gradients(
        self, position: np.ndarray, others: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the value of each term, shape (terms,), and its gradient, shape (terms, d)."""
        return self.gradients_at([position], others)[0]

    def gradients_at(
        self, positions: Sequence[np.ndarray], others: Sequence[np.ndarray]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return `gradients` at several positions, by one pass: the rows are read once."""
        values = np.zeros((len(positions), self._functions.count))
        gradients = np.zeros((*values.shape, len(positions[0])))
        for i, terms in self._functions.terms.items():
            sums = self._sum(i, "_of_block_at", positions, others)
            values[:, terms], gradients[:, terms] = sums[..., 0], sums[..., 1:]
        return list(zip(values, gradients, strict=True))

    def gradients_of_rows(
        self, i: int, position: np.ndarray, others: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Return the gradient of each row of a table, shape (total_size, d), by differences."""
        table = self.density.tables[i - 1]
        values = self._functions.of_rows(i, calls=len(position) * self._blocks_of(i))
        scale = np.sqrt(np.finfo(position.dtype).eps) * np.maximum(1.0, np.abs(position))
        found = np.empty((table.total_size, len(position)))
        for block in read_blocks(table):
            here = values(position, others, block.data)[0]
            for k, share in enumerate(np.diag(scale.astype(position.dtype))):
                there = values(position + share, others, block.data)[0]
                found[block.first : block.end, k] = (there - here) / scale[k]
        return found

    def values_of_rows(
        self, i: int, positions: Sequence[np.ndarray], others: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Return the log-likelihood of each row of a table, shape (len(positions), total_size).

        Minus infinity where a condition of the likelihood does not hold.
        """
        table = self.density.tables[i - 1]
        found = np.empty((len(positions), table.total_size))
        parts = parts_of(table)
        of_parts = self._of_parts(i, parts, "values_of_parts", positions, others)
        for (first, end), values in zip(parts, of_parts, strict=True):
            found[:, first:end] = values
        return found

    def values_of_parts(
        self,
        i: int,
        parts: Sequence[Part],
        positions: Sequence[np.ndarray],
        others: Sequence[np.ndarray],
    ) -> Iterator[np.ndarray]:
        """Give `values_of_rows` for each of some parts of a table."""
        values = self._functions.of_rows(i, calls=np.inf)
        size = self.density.tables[i - 1].batch_size
        for (first, end), blocks in self._blocks(i, parts):
            found = np.empty((len(positions), end - first))
            for block in blocks:
                start = block.first - first
                for k, position in enumerate(positions):
                    found[k, start : start + size] = values(position, others, block.rows)[0]
            yield found

    def log_prior(self, position: np.ndarray, others: Sequence[np.ndarray]) -> float:
        """Return the part of the log density that no table has.

        Minus infinity where a condition of it does not hold.
        """
        return self._functions.log_prior((position, others))

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
        for i in self._functions.terms:
            block = rows.get(i) or [item.whole for item in self.density.tables[i - 1].data]
            gradients = self.gradients_of(i, (position, others), block)
            found += sum(part for k, part in gradients.items() if k not in rows)
        return found

    def gradients_of(
        self, i: int, place: Place, rows: Sequence[np.ndarray]
    ) -> dict[int, np.ndarray]:
        """Return the gradients of the terms that are evaluated with some rows of a table.

        ``i``: 1 for the first table. ``rows``: data of as many rows as a block has, or a batch.
        """
        size, length = self.density.tables[i - 1].batch_size, self._functions.size(i)
        place_of = np.arange(length)
        if size < length:  # a batch, filled up with rows that do not count
            rows = [array[place_of % size] for array in rows]
        counted = (place_of < size).astype(self.dtype)
        found = self._evaluate(i, place, BlockInputs(rows, [counted]))
        return {term: gradient for term, (_, gradient) in found.items()}

    def _of_block_at(
        self,
        i: int,
        positions: Sequence[np.ndarray],
        others: Sequence[np.ndarray],
        block: BlockInputs,
    ) -> np.ndarray:
        """Return what a block adds to values and gradients, shape (positions, terms, 1 + d)."""
        found = [self._evaluate(i, (position, others), block) for position in positions]
        added = [[np.append(*pair) for pair in each.values()] for each in found]
        of_all = np.array(added, dtype=float)
        if block.first:
            of_all[:, [term == 0 for term in found[0]]] = 0  # the prior counts once
        return of_all

    def _evaluate(
        self, i: int, place: Place, block: BlockInputs
    ) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Return the value and the gradient of the terms that are evaluated with a block."""
        calls = self._calls
        if calls is None:
            size = self.density.position.type.shape[0]
            calls = (PASSES + PASSES_A_COORDINATE * size) * self._blocks_of(i)
        return self._functions.gradients(i, place, block, calls)

    def _sum(self, i: int, of_block: str, *arguments: Any) -> np.ndarray:
        """Return the sum over the blocks of a table, or of the prior alone (0): part by part.

        ``of_block``: the method that gives it for one, called with ``i`` and these arguments.
        """
        parts = parts_of(self.density.tables[i - 1]) if i else [(0, 0)]
        total: Any = 0.0
        for found in self._of_parts(i, parts, "sums_of_parts", of_block, *arguments):
            total = total + found
        return total

    def sums_of_parts(
        self, i: int, parts: Sequence[Part], of_block: str, *arguments: Any
    ) -> Iterator[np.ndarray]:
        """Give the sum over the blocks of each of some parts."""
        function = partial(getattr(self, of_block), i, *arguments)
        for _, blocks in self._blocks(i, parts):
            total: Any = 0.0
            for block in blocks:
                total = total + function(block)
            yield total

    def _of_parts(
        self, i: int, parts: Sequence[Part], method: str, *arguments: Any
    ) -> Iterator[np.ndarray]:
        workers = self._backend.workers if self._is_whole else None
        return over_parts(self, i, parts, method, *arguments, workers=workers)

    def portable(self) -> FullData:
        """Return what another process can evaluate, without what is compiled."""
        new = copy(self)
        new.density = self.density.portable()
        new._functions = self._functions.portable(new.density)
        return new

    def _blocks_of(self, i: int) -> int:
        """Return how many blocks a pass over a table has, or the prior alone (0)."""
        if not i:
            return 1
        table = self.density.tables[i - 1]
        return -(-table.total_size // table.batch_size)

    def hessians(self, position: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
        """Return the Hessian of each term, shape (terms, d, d), by one product a column.

        By differences of gradients where an operation of the model has no second derivative.
        """
        size = len(position)
        hessians = np.zeros((self._functions.count, size, size))
        for i in range(self._functions.count):
            hessians[i] = self._sum(i, "_hessian_of_block", (position, others))
        return (hessians + hessians.swapaxes(1, 2)) / 2

    def _hessian_of_block(self, i: int, place: Place, block: BlockInputs) -> np.ndarray:
        """Return the Hessian for a block, one column after the other."""
        tangents = np.eye(len(place[0]), dtype=place[0].dtype)
        product = self._functions.product(i, calls=len(tangents) * self._blocks_of(i))
        return np.array([product(place, tangent, block) for tangent in tangents], dtype=float).T

    def center(
        self, position: np.ndarray, others: Sequence[np.ndarray], second_order: bool = True
    ) -> Center:
        """Return a point with what estimators need there: gradients, and Hessians if asked for."""
        _, gradients = self.gradients(position, others)
        hessians = self.hessians(position, others) if second_order else None
        return Center(position, list(others), gradients, hessians)

    def _blocks(
        self, i: int, parts: Sequence[Part]
    ) -> Iterator[tuple[Part, Iterator[BlockInputs]]]:
        """Give the blocks of each part of a table, or one without rows for the prior alone (0)."""
        if not i:
            yield parts[0], iter([BlockInputs([], [])])
            return
        for part, blocks in by_part(self.density.tables[i - 1], parts):
            yield part, (self._counted(i, block) for block in blocks)

    def _counted(self, i: int, block: RowBlock) -> BlockInputs:
        """Return a block of a table with how often each of its rows counts: old ones do not."""
        weights = np.broadcast_to(self._weights[i - 1], self.density.tables[i - 1].total_size)
        counted = weights[block.first : block.end].astype(self.dtype)
        counted[: block.old] = 0
        return BlockInputs(block.data, [counted], block.first)
