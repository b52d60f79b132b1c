"""The data that compiled updates read: stored in memory, or read from sources as they go on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable

from pymc_sgld.batching.epochs import RowOrder, block_rows
from pymc_sgld.batching.windows import WindowOrder
from pymc_sgld.minibatch.density import LogDensity
from pymc_sgld.minibatch.selection.rows import Data
from pymc_sgld.sources.reader import Reader
from pymc_sgld.sources.shared import LEAST, Shared
from pymc_sgld.sources.source import Source


class DataInputs:
    """Gives an update its data. A pickle holds handles of them.

    Parameters
    ----------
    density : LogDensity
        The model.
    orders : sequence of RowOrder or None
        How the rows of each table are ordered; None where every update reads them all. Tables of
        sources have an order of their own.
    needed : collection of Variable
        What is evaluated: other data are left out.
    slices : bool
        Whether a batch may be one slice of the stored data; else rows are gathered.

    Attributes
    ----------
    orders : list of RowOrder
        Those of the tables that are read in batches.
    items : list of (TensorVariable, int or None)
        The data, each with the order that it is read in.
    """

    def __init__(
        self,
        density: LogDensity,
        orders: Sequence[RowOrder | None],
        needed: Collection[Variable],
        slices: bool,
    ) -> None:
        self._slicing = slices
        self.orders: list[RowOrder] = []
        self.items: list[tuple[Variable, int | None]] = []
        self._stored: list[np.ndarray | Shared | None] = []  # None where a reader has the rows
        self._readers: dict[int, Reader] = {}
        for table, order in zip(density.tables, orders, strict=True):
            data = [item for item in table.data if item.variable in needed]
            if order is None:
                self._add(data, None)
            elif table.sources:
                self._add_sources(data, WindowOrder.of(table.sources, table.batch_size))
            else:
                self._add(data, order)
        self._add([item for item in density.whole if item.variable in needed], None)

    def slices(self, i: int) -> bool:
        """Whether a batch of an order is one slice of the data."""
        return self._slicing and self.orders[i].block_size == self.orders[i].batch_size

    def rows(self, i: int, starts: np.ndarray) -> np.ndarray:
        """Return the rows of updates in the data of an order: a slice's first one, or all."""
        if i in self._readers:  # which gives the rows of one update after the other
            size = self.orders[i].batch_size
            first = np.arange(0, len(starts) * size, size)
            return first if self.slices(i) else first[:, None] + np.arange(size)
        return starts[:, 0] if self.slices(i) else block_rows(starts, self.orders[i])

    def arrays(self, starts: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the data; of sources, the rows of the updates."""
        streams = {
            i: iter(reader.rows(int(starts[i][0, 0]), int(starts[i][0, 1]), len(starts[i])))
            for i, reader in self._readers.items()
        }
        found: list[np.ndarray] = []
        for stored, (_, i) in zip(self._stored, self.items, strict=True):
            if stored is None:
                assert i is not None
                found.append(next(streams[i]))
            else:
                found.append(stored.array if isinstance(stored, Shared) else stored)
        return found

    def batch(self, starts: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return what the last of some updates reads."""
        last = [of_order[-1:] for of_order in starts]
        return [
            array
            if i is None or i in self._readers
            else array[block_rows(last[i][0], self.orders[i])]
            for array, (_, i) in zip(self.arrays(last), self.items, strict=True)
        ]

    def missing(self, starts: Sequence[np.ndarray]) -> list[str]:
        """Return the sources that have NaN in what the last of some updates reads."""
        return [
            source.name
            for i, reader in self._readers.items()
            for source, rows in zip(
                reader.sources,
                reader.rows(int(starts[i][-1, 0]), int(starts[i][-1, 1]), 1),
                strict=True,
            )
            if rows.dtype.kind == "f" and np.isnan(rows).any()
        ]

    def tensors(self) -> list[Variable]:
        """Return inputs of a graph for the data."""
        return [
            pt.tensor(
                f"data{k}",
                dtype=variable.type.dtype,
                shape=variable.type.shape if i is None else (None, *variable.type.shape[1:]),
            )
            for k, (variable, i) in enumerate(self.items)
        ]

    def _add(self, data: Sequence[Data], order: RowOrder | None) -> None:
        """Store data as they are read: shuffled once if that is how blocks are made."""
        place = None
        if order is not None:
            place = len(self.orders)
            self.orders.append(order)
        for item in data:
            self.items.append((item.variable, place))
            self._stored.append(self._store(item.whole, place))

    def _add_sources(self, data: Sequence[Data], order: WindowOrder) -> None:
        place = len(self.orders)
        self.orders.append(order)
        sources: list[Source] = [item.array for item in data]
        for source in sources:
            source.sample = None  # no longer needed
        if sources:
            self._readers[place] = Reader(sources, order)
        self.items += [(item.variable, place) for item in data]
        self._stored += [None for _ in data]

    def _store(self, array: np.ndarray, place: int | None) -> np.ndarray | Shared:
        permutation = None if place is None else self.orders[place].storage_order()
        if place is None or permutation is None:
            return np.array(array, order="C")  # a copy: what becomes of the user's is theirs
        wrap = self.orders[place].block_size - 1 if self.slices(place) else 0
        rows = np.concatenate([permutation, permutation[:wrap]])
        if array.nbytes < LEAST:
            return array[rows]
        shared = Shared((len(rows), *array.shape[1:]), array.dtype)
        np.take(array, rows, axis=0, out=shared.array, mode="clip")  # "raise" has a buffer
        return shared

    def __getstate__(self) -> dict[str, Any]:
        self._stored = [
            Shared.of(item) if isinstance(item, np.ndarray) and item.nbytes >= LEAST else item
            for item in self._stored
        ]
        return self.__dict__
