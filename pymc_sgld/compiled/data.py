"""The data that compiled updates read: stored in memory, or read from sources as they go on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable

from pymc_sgld.batching.epochs import StoredOrder
from pymc_sgld.batching.order import Reads, RowOrder
from pymc_sgld.minibatch.density import LogDensity, Table
from pymc_sgld.minibatch.selection.rows import Data
from pymc_sgld.sources.reader import Reader, window_order
from pymc_sgld.sources.shared import LEAST, Shared
from pymc_sgld.sources.source import Source


class DataInputs:
    """Gives an update its data. A pickle holds handles of them.

    Parameters
    ----------
    orders : sequence of StoredOrder or None
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
        orders: Sequence[StoredOrder | None],
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
                self._add_sources(data, table)
            else:
                self._add(data, order)
        self._add([item for item in density.whole if item.variable in needed], None)

    def slices(self, i: int) -> bool:
        """Whether a batch of an order is one slice of the data."""
        return self._slicing and self.orders[i].is_contiguous

    def rows(self, i: int, reads: Reads) -> np.ndarray:
        """Return the rows of updates in the data of an order: a slice's first one, or all."""
        order = self.orders[i]
        return order.first_rows(reads) if self.slices(i) else order.rows(reads)

    def arrays(self, reads: Sequence[Reads]) -> list[np.ndarray]:
        """Return the data; of sources, the rows of the updates."""
        streams = {i: iter(reader.rows(reads[i])) for i, reader in self._readers.items()}
        found: list[np.ndarray] = []
        for stored, (_, i) in zip(self._stored, self.items, strict=True):
            if stored is None:
                assert i is not None
                found.append(next(streams[i]))
            else:
                found.append(stored.array if isinstance(stored, Shared) else stored)
        return found

    def batch(self, reads: Sequence[Reads]) -> list[np.ndarray]:
        """Return what the last of some updates reads."""
        last = [of_order[-1:] for of_order in reads]
        return [
            array if i is None else array[self.orders[i].rows(last[i])[0]]
            for array, (_, i) in zip(self.arrays(last), self.items, strict=True)
        ]

    def missing(self, reads: Sequence[Reads]) -> list[str]:
        """Return the sources that have NaN in what the last of some updates reads."""
        return [
            source.name
            for i, reader in self._readers.items()
            for source, rows in zip(reader.sources, reader.rows(reads[i][-1:]), strict=True)
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

    def _add(self, data: Sequence[Data], order: StoredOrder | None) -> None:
        """Store data as they are read: shuffled once if that is how blocks are made."""
        place = None
        if order is not None:
            place = len(self.orders)
            self.orders.append(order)
        for item in data:
            self.items.append((item.variable, place))
            self._stored.append(self._store(item.whole, order))

    def _add_sources(self, data: Sequence[Data], table: Table) -> None:
        place, order = len(self.orders), window_order(table.sources, table.batch_size)
        self.orders.append(order)
        sources: list[Source] = [item.array for item in data]
        for source in sources:
            source.sample = None  # no longer needed
        if sources:
            self._readers[place] = Reader(sources, order)
        self.items += [(item.variable, place) for item in data]
        self._stored += [None for _ in data]

    def _store(self, array: np.ndarray, order: StoredOrder | None) -> np.ndarray | Shared:
        permutation = None if order is None else order.storage_order()
        if order is None or permutation is None:
            return np.array(array, order="C")  # a copy: what becomes of the user's is theirs
        wrap = order.block_size - 1 if self._slicing and order.is_contiguous else 0
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
