"""Passes over all the data, block by block: the log density, its gradient and its Hessian."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Variable
from pytensor.graph.utils import MethodNotDefined

from pymc_sgld.errors import SettingError
from pymc_sgld.gradients import Centre
from pymc_sgld.minibatch.blocks import read_blocks
from pymc_sgld.minibatch.density import LogDensity, Table
from pymc_sgld.sources.source import Source

_SEED = 20190706  # fixed: what is found is a property of the model, not of a chain
_MODE = Mode("py", "fast_compile")  # NumPy's code: fast for long blocks, and nothing to compile


class FullData:
    """The log density of all rows and its derivatives by the position, a sum of parts.

    The parts are the prior and the log-likelihoods of the tables of rows, in this order.

    Parameters
    ----------
    density : LogDensity
        The log density for blocks of rows; a block is evaluated at once.
    """

    def __init__(self, density: LogDensity) -> None:
        self._density = density
        self._scales = [1.0] * len(density.tables)
        position = density.position
        self._tangent = position.type("tangent")
        self._counted = [
            pt.vector("counted", dtype=position.dtype, shape=(table.batch_size,))
            for table in density.tables
        ]
        self._sums = [density.log_prior]
        for table, counted in zip(density.tables, self._counted, strict=True):
            terms = [
                pt.sum(graph)
                if table.full
                else pt.sum(graph.reshape((table.batch_size, -1)).sum(axis=1) * counted)
                for graph in table.likelihoods.values()
            ]
            self._sums.append(pt.add(*terms, pt.constant(0, dtype=position.dtype)))
        self._gradients = [density.gradient(graph, position) for graph in self._sums]
        self._values: dict[int, Callable[..., Any]] = {}
        self._products: dict[int, Callable[..., Any] | None] = {}

    @property
    def rows(self) -> int:
        """How many rows a pass reads."""
        return sum(table.total_size for table in self._density.tables)

    def sample(self, rows: int) -> FullData:
        """Return the same with some rows of each large table, which count for all of its rows.

        Of a source they come from those that are in memory. What is compiled is shared.

        Parameters
        ----------
        rows : int
            Rows of a table, picked at random, as far as there are so many; a table of less than
            twice as many stays whole.
        """
        new = copy(self)
        tables = tuple(_sampled(table, rows) for table in self._density.tables)
        new._density = replace(self._density, tables=tables)
        new._scales = [
            scale * old.total_size / table.total_size
            for scale, old, table in zip(self._scales, self._density.tables, tables, strict=True)
        ]
        return new

    def gradients(
        self, position: np.ndarray, others: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the value of each part, shape (parts,), and its gradient, shape (parts, d)."""
        values = np.zeros(len(self._sums))
        gradients = np.zeros((len(self._sums), len(position)))
        for i, (graph, gradient) in enumerate(zip(self._sums, self._gradients, strict=True)):
            if i not in self._values:
                self._values[i] = self._compile(i, [], [graph, gradient])
            for block in self._blocks(i):
                value, part = self._values[i](position, *others, *block)
                values[i] += value
                gradients[i] += part
        return values, gradients

    def hessians(self, position: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
        """Return the Hessian of each part, shape (parts, d, d), by one product a column.

        By differences of gradients where an operation of the model has no second derivative.
        """
        size = len(position)
        hessians = np.zeros((len(self._sums), size, size))
        for i in range(len(self._sums)):
            product = self._product(i)
            for block in self._blocks(i):
                for column, tangent in enumerate(np.eye(size, dtype=position.dtype)):
                    hessians[i, :, column] += product(position, tangent, [*others, *block])
        return (hessians + hessians.swapaxes(1, 2)) / 2

    def hessian_product(
        self, position: np.ndarray, tangent: np.ndarray, others: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Return the Hessian of all parts together times a vector, shape (d,)."""
        found = np.zeros(len(position))
        for i in range(len(self._sums)):
            product = self._product(i)
            for block in self._blocks(i):
                found += product(position, tangent, [*others, *block])
        return found

    def _product(self, i: int) -> Callable[..., np.ndarray]:
        """Return a function that multiplies the Hessian of a part with a vector."""
        if i not in self._products:
            try:
                graph = pt.sum(self._gradients[i] * self._tangent)
                product = self._density.gradient(graph, self._density.position)
                self._products[i] = self._compile(i, [self._tangent], [product])
            except (MethodNotDefined, SettingError):
                self._products[i] = None
        compiled = self._products[i]
        if compiled is not None:
            return lambda position, tangent, rest: compiled(position, tangent, *rest)[0]
        gradient = self._compile(i, [], [self._gradients[i]])

        def difference(position: np.ndarray, tangent: np.ndarray, rest: list) -> np.ndarray:
            scale = np.cbrt(np.finfo(position.dtype).eps) * max(1.0, np.abs(position @ tangent))
            above, below = (gradient(position + s * tangent, *rest)[0] for s in (scale, -scale))
            return (above - below) / (2 * scale)

        return difference

    def centre(
        self, position: np.ndarray, others: Sequence[np.ndarray], second_order: bool = True
    ) -> Centre:
        """Return a point with what estimators need there: gradients, and Hessians if asked for."""
        _, gradients = self.gradients(position, others)
        hessians = self.hessians(position, others) if second_order else None
        return Centre(position, list(others), gradients, hessians)

    def _compile(
        self, i: int, extra: list[Variable], outputs: list[Variable]
    ) -> Callable[..., Any]:
        density = self._density
        by_row: list[Variable] = []
        if i:
            by_row = [self._counted[i - 1], *[d.variable for d in density.tables[i - 1].data]]
        whole = [item.variable for item in density.whole]
        return pytensor.function(
            [density.position, *extra, *density.others.values(), *by_row, *whole],
            outputs,
            mode=_MODE,
            on_unused_input="ignore",
        )

    def _blocks(self, i: int) -> Iterator[list[np.ndarray]]:
        """Give the data of each block, with a one for each row that is counted in it."""
        whole = [item.array for item in self._density.whole]
        if not i:
            yield whole
            return
        table = self._density.tables[i - 1]
        seen = 0
        for start, block in read_blocks(table):
            new = np.arange(start, start + table.batch_size) >= seen  # the last two may overlap
            counted = new * np.asarray(self._scales[i - 1], self._density.position.dtype)
            yield [counted, *block, *whole]
            seen = start + table.batch_size


def _sampled(table: Table, rows: int) -> Table:
    """Return a table with some rows of another, in blocks of the same length, or the table."""
    samples = [source.sample for source in table.sources]
    if any(sample is None for sample in samples):
        return table
    known = min([table.total_size, *[len(sample) for sample in samples if sample is not None]])
    size = table.batch_size * min(-(-rows // table.batch_size), known // table.batch_size)
    if not size or table.total_size < 2 * size:
        return table
    picked = np.sort(np.random.default_rng(_SEED).choice(table.total_size, size, replace=False))

    def some(array: np.ndarray | Source) -> np.ndarray:
        if isinstance(array, np.ndarray):
            return array[picked]
        assert array.sample is not None
        return array.sample[:size]  # they are in random order

    data = [replace(item, array=some(item.array)) for item in table.data]
    return replace(table, total_size=size, data=data)
