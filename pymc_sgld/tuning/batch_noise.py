r"""How noisy an estimate of the gradient is around the center, measured before it is compiled.

All estimates of :mod:`pymc_sgld.gradients` are made of the gradients of a batch's log-likelihood
:math:`\nabla \ell_B` at two points, and of its Hessian at one of them. So one function measures
them all: that of the passes over all rows, for a batch as its block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pymc_sgld.batching.epochs import StoredOrder, make_order
from pymc_sgld.minibatch.density import Table
from pymc_sgld.minibatch.full_data import Center, FullData
from pymc_sgld.minibatch.selection.rows import Data
from pymc_sgld.preconditioners import Preconditioner
from pymc_sgld.sources.source import Source
from pymc_sgld.tuning.posterior.variational import Gaussian, Known

POSITIONS, BATCHES = 32, 64
_COMPARED = 4  # positions, with the gradient of all rows
_SHORT = 0.05  # length of a displacement, in posterior standard deviations
_BEYOND = 25.0  # times the error of the mean of estimates, squared
_SEED = 20190703  # fixed: what is measured is a property of the model, not of a chain


class BatchGradients:
    """An estimate of the gradient at any position, for one batch after the other.

    Parameters
    ----------
    data : FullData
        The log density, for blocks that are as long as a batch.
    center : Center or None
        Where it expands.
    in_blocks : bool
        Whether a batch of a source is a block of it: rows that follow each other, at random.
    """

    def __init__(
        self,
        data: FullData,
        gradient: str,
        center: Center | None,
        others: Sequence[np.ndarray],
        batching: str,
        in_blocks: bool = False,
    ) -> None:
        self._data, self._gradient, self._others = data, gradient, others
        self._center = None if gradient == "minibatch" else center
        self._in_blocks = in_blocks
        self._rng = np.random.default_rng(_SEED)
        self._tables = {i: t for i, t in enumerate(data.density.tables, 1) if not t.full}
        self._rows = {i: [_in_memory(d) for d in t.data] for i, t in self._tables.items()}
        self._orders = {
            i: _order(batching, len(rows[0]) if rows else table.total_size, table.batch_size)
            for (i, table), rows in zip(self._tables.items(), self._rows.values(), strict=True)
        }
        self._stored = {i: order.storage_order() for i, order in self._orders.items()}
        self._count = 0
        self.dtype = data.dtype

    def __call__(self, position: np.ndarray, batches: int) -> np.ndarray:
        """Return the estimates at a position from a number of batches, shape (batches, d)."""
        at = position.astype(self.dtype)
        known = self._known(at)
        found = []
        for _ in range(batches):
            estimate = known.copy()
            for i, table in self._tables.items():
                blocks = self._in_blocks and table.sources
                rows = self._block(table) if blocks else self._batch(i)
                estimate += table.scale * self._of_batch(i, at, rows)
            self._count += 1
            found.append(estimate)
        return np.array(found)

    def bend(self, position: np.ndarray, batches: int, matrix: Preconditioner) -> np.ndarray:
        r"""Return how the noise of a batch changes its own gradient, shape (d,).

        That is :math:`E[H_B M \xi_B]` over batches, with the Hessian :math:`H_B` of the estimate
        of a batch and its error :math:`\xi_B`.
        """
        at = position.astype(self.dtype)
        rows = []
        for _ in range(batches):
            rows.append({i: self._batch(i) for i in self._tables})
            self._count += 1

        def estimate(place: np.ndarray, batch: dict[int, list[np.ndarray]]) -> np.ndarray:
            parts = [t.scale * self._of_batch(i, place, batch[i]) for i, t in self._tables.items()]
            return np.sum(parts, axis=0)

        errors = np.array([estimate(at, batch) for batch in rows])
        pulled = matrix.whiten_gradient(errors - errors.mean(axis=0))
        shares = _SHORT / np.sqrt((pulled**2).sum(axis=1, keepdims=True) + 1e-300)
        moves = matrix.factor(pulled * shares).astype(self.dtype)
        changes = [
            (estimate(at + move, batch) - estimate(at - move, batch)) / (2 * share)
            for move, share, batch in zip(moves, shares, rows, strict=True)
        ]
        return np.sum(changes, axis=0) / (batches - 1)

    def _known(self, at: np.ndarray) -> np.ndarray:
        """Return what is the same for all batches."""
        first = {i: [a[: t.batch_size] for a in self._rows[i]] for i, t in self._tables.items()}
        known = self._data.without_rows(at, self._others, first)
        if self._center is not None:
            batched = list(self._tables)
            known = known + self._center.gradients[batched].sum(axis=0)
            if self._gradient == "taylor":
                assert self._center.hessians is not None
                away = at - self._center.position
                known = known + self._center.hessians[batched].sum(axis=0) @ away
        return known

    def _of_batch(self, i: int, at: np.ndarray, rows: list[np.ndarray]) -> np.ndarray:
        """Return the gradient of a batch's log-likelihood, less what its expansion gives."""

        def of_rows(position: np.ndarray) -> np.ndarray:
            return self._data.gradients_of(i, (position, self._others), rows)[i]

        found = of_rows(at)
        if self._center is not None:
            center, there = self._center.position, of_rows(self._center.position)
            found = found - there
            if self._gradient == "taylor":
                share = np.cbrt(np.finfo(self.dtype).eps)
                found = found - (of_rows(center + share * (at - center)) - there) / share
        return found

    def _batch(self, i: int) -> list[np.ndarray]:
        """Return the rows of a table that come next in its order."""
        order, stored = self._orders[i], self._stored[i]
        rows = order.rows(order.reads(self._rng, 0, self._count, 1))[0]
        rows = rows if stored is None else stored[rows]
        return [array[rows] for array in self._rows[i]]

    def _block(self, table: Table) -> list[np.ndarray]:
        """Return a random one of the blocks that a table falls into."""
        size = table.batch_size
        start = size * int(self._rng.integers(-(-table.total_size // size)))
        start = min(start, table.total_size - size)
        return [source[start : start + size] for source in table.sources]


def _in_memory(item: Data) -> np.ndarray:
    """Return the rows that batches are taken from: some random ones, of a source."""
    if not isinstance(item.array, Source):
        return item.array
    assert item.array.sample is not None
    return item.array.sample


def _order(batching: str, rows: int, batch_size: int) -> StoredOrder:
    """Return the order of a table; one of independent rows where a sample of it is too small."""
    return make_order(batching if batch_size <= rows else "with_replacement", rows, batch_size)


def noise_samples(
    gradients: BatchGradients, gaussian: Gaussian, positions: int = POSITIONS
) -> list[np.ndarray]:
    """Return errors of an estimate at positions of a Gaussian, shape (samples, d).

    From two halves of the positions, independent of each other. The sum of their squares, and not
    the mean, estimates the covariance.
    """
    halves: list[list[np.ndarray]] = [[], []]
    with np.errstate(all="ignore"):
        for half, position in _in_halves(gaussian, positions):
            estimates = gradients(position, BATCHES)
            estimates = estimates[np.isfinite(estimates).all(axis=1)]  # none outside the support
            if len(estimates) > 1:
                away = estimates - estimates.mean(axis=0)
                halves[half].append(away / np.sqrt((len(estimates) - 1) * positions / 2))
    return [np.concatenate(half or [np.zeros((1, len(gaussian.mean)))]) for half in halves]


def bends(gradients: BatchGradients, gaussian: Gaussian, matrix: Preconditioner) -> np.ndarray:
    """Return how the noise of batches changes their own gradients, on average, shape (2, d).

    The averages are over two halves of some positions of a Gaussian, independent of each other;
    those where there is no density are left out.
    """
    halves: list[list[np.ndarray]] = [[], []]
    with np.errstate(all="ignore"):
        for half, position in _in_halves(gaussian, POSITIONS // 2):
            found = gradients.bend(position, BATCHES // 4, matrix)
            if np.isfinite(found).all():
                halves[half].append(found)
    none = np.zeros(len(gaussian.mean))
    return np.array([np.mean(half or [none], axis=0) for half in halves])


def _in_halves(gaussian: Gaussian, positions: int) -> Iterator[tuple[int, np.ndarray]]:
    """Give positions of a Gaussian, each with the half of them that it belongs to."""
    rng = np.random.default_rng(_SEED)
    for i in range(positions):
        z = rng.standard_normal(len(gaussian.mean))
        yield i % 2, gaussian.mean + gaussian.shape.unwhiten(z)


def errors_where_known(
    data: FullData,
    gradients: BatchGradients,
    gaussian: Gaussian,
    others: Sequence[np.ndarray],
    batches: int = BATCHES,
) -> list[np.ndarray]:
    """Return errors of an estimate where the gradient of all rows is known.

    If it is nowhere, it is computed at positions of the Gaussian. Of each position an array, of
    shape (samples, d).
    """
    with np.errstate(all="ignore"):
        known = gaussian.known or _known(data, gaussian, others)
        each = batches * _COMPARED // len(known)
        return [gradients(position, each) - full for position, full in known]


def missing_in_batches(found: Sequence[np.ndarray], gaussian: Gaussian) -> np.ndarray:
    """Return how much of the gradient of all rows the mean of batches misses beyond its error.

    Root mean squares over positions, in posterior standard deviations: of a coordinate that depends
    on rows in none of the batches, about the share of its precision in these rows.

    ``found``: errors at some positions.
    """
    misses, errors = np.zeros((2, len(gaussian.mean)))
    with np.errstate(all="ignore"):
        for of_position in found:
            apart = gaussian.moves(of_position)
            misses += apart.mean(axis=0) ** 2 / len(found)
            errors += apart.var(axis=0, ddof=1) / len(apart) / len(found)
    beyond = np.where(misses > _BEYOND * errors, misses, 0)
    return np.nan_to_num(np.sqrt(beyond))


def _known(data: FullData, gaussian: Gaussian, others: Sequence[np.ndarray]) -> list[Known]:
    """Return gradients of all rows at positions of a Gaussian."""
    rng = np.random.default_rng(_SEED + 1)
    z = rng.standard_normal((_COMPARED, len(gaussian.mean)))
    positions = gaussian.mean + gaussian.shape.unwhiten(z)
    return [(at, data.gradients(at, others)[1].sum(axis=0)) for at in positions]
