"""How noisy an estimate of the gradient is around the centre, measured before anything is compiled.

Gradients of some thousand batches at some dozen points of the posterior's Gaussian approximation,
in NumPy code.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytensor
from pytensor.compile.mode import Mode
from pytensor.graph.traversal import toposort
from pytensor.tensor.blockwise import Blockwise

from pymc_sgld.batching import RowOrder, block_rows, make_order
from pymc_sgld.full_data import FullData
from pymc_sgld.gradients import Estimate
from pymc_sgld.minibatch.density import LogDensity, Table
from pymc_sgld.minibatch.rows import Data
from pymc_sgld.sources.source import Source
from pymc_sgld.tuning.gaussian import Gaussian, Known

POSITIONS, BATCHES = 32, 64
_SLOW = 4  # times fewer of both, where NumPy's code loops over the rows of a batch
_COMPARED = 4  # positions, with the gradient of all rows
_BEYOND = 25.0  # times the error of the mean of estimates, squared
_SEED = 20190703  # fixed: what is measured is a property of the model, not of a chain
_MODE = Mode("py", "fast_compile")  # nothing to compile


class BatchGradients:
    """An estimate of the gradient at any position, for one batch after the other.

    Parameters
    ----------
    density : LogDensity
        The model.
    estimate : Estimate
        The estimate, in the variables of ``density``.
    others : sequence of ndarray
        Values of the variables that the step does not move.
    batching : str
        How batches are drawn.
    in_blocks : bool
        Whether a batch of a source is a block of it: rows that follow each other, at random.
    """

    def __init__(
        self,
        density: LogDensity,
        estimate: Estimate,
        others: Sequence[np.ndarray],
        batching: str,
        in_blocks: bool = False,
    ) -> None:
        self._in_blocks = in_blocks
        self._rng = np.random.default_rng(_SEED)
        self._tables = [table for table in density.tables if not table.full]
        self._rows = [[_in_memory(item) for item in table.data] for table in self._tables]
        self._orders = [
            _order(batching, len(rows[0]) if rows else table.total_size, table.batch_size)
            for table, rows in zip(self._tables, self._rows, strict=True)
        ]
        self._stored = [order.storage_order() for order in self._orders]
        whole = [item for table in density.tables if table.full for item in table.data]
        whole += density.whole
        self.dtype = density.position.dtype
        self._constant = [*others, *estimate.arrays.values(), *[item.whole for item in whole]]
        self._count = 0
        nodes = toposort([estimate.gradient])
        self.slow = any(isinstance(node.op, Blockwise) for node in nodes)
        self._function = pytensor.function(
            [
                density.position,
                *[item.variable for table in self._tables for item in table.data],
                *density.others.values(),
                *estimate.arrays,
                *[item.variable for item in whole],
            ],
            estimate.gradient,
            mode=_MODE,
            on_unused_input="ignore",
        )

    def __call__(self, position: np.ndarray, batches: int) -> np.ndarray:
        """Return the estimates at a position from a number of batches, shape (batches, d)."""
        found = []
        for _ in range(batches):
            data = []
            for i, table in enumerate(self._tables):
                data += self._block(table) if self._in_blocks and table.sources else self._batch(i)
            self._count += 1
            found.append(self._function(position.astype(self.dtype), *data, *self._constant))
        return np.array(found)

    def _batch(self, i: int) -> list[np.ndarray]:
        """Return the rows of a table that come next in its order."""
        order, stored = self._orders[i], self._stored[i]
        rows = block_rows(order.starts(self._rng, 0, self._count, 1)[0], order)
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


def _order(batching: str, rows: int, batch_size: int) -> RowOrder:
    """Return the order of a table; one of independent rows where a sample of it is too small."""
    return make_order(batching if batch_size <= rows else "with_replacement", rows, batch_size)


def noise_samples(
    gradients: BatchGradients, gaussian: Gaussian, positions: int = POSITIONS
) -> list[np.ndarray]:
    """Return errors of an estimate at positions of a Gaussian, shape (samples, d).

    Returns
    -------
    list of two ndarray, shape (samples, d)
        From two halves of the positions, independent of each other. The sum of their squares, and
        not the mean, estimates the covariance.
    """
    rng = np.random.default_rng(_SEED)
    size = len(gaussian.mean)
    batches = BATCHES // _SLOW if gradients.slow else BATCHES
    positions = max(4, positions // _SLOW) if gradients.slow else positions
    halves: list[list[np.ndarray]] = [[], []]
    with np.errstate(all="ignore"):
        for i in range(positions):
            position = gaussian.mean + gaussian.shape.away(rng.standard_normal(size))
            estimates = gradients(position, batches)
            estimates = estimates[np.isfinite(estimates).all(axis=1)]  # none outside the support
            if len(estimates) > 1:
                away = estimates - estimates.mean(axis=0)
                halves[i % 2].append(away / np.sqrt((len(estimates) - 1) * positions / 2))
    return [np.concatenate(half or [np.zeros((1, size))]) for half in halves]


def noise_covariances(
    gradients: BatchGradients, gaussian: Gaussian, positions: int = POSITIONS
) -> np.ndarray:
    """Return the covariance of an estimate, averaged over positions of a Gaussian.

    Returns
    -------
    ndarray, shape (2, d, d)
        From two halves of the positions, independent of each other.
    """
    return np.array([half.T @ half for half in noise_samples(gradients, gaussian, positions)])


def missing_in_batches(
    data: FullData, gradients: BatchGradients, gaussian: Gaussian, others: Sequence[np.ndarray]
) -> np.ndarray:
    """Return how much of the gradient of all rows the mean of batches misses beyond its error.

    They are compared where the gradient of all rows is known, or else at positions of the Gaussian.

    Returns
    -------
    ndarray, shape (d,)
        Root mean squares over positions, in posterior standard deviations: of a coordinate that
        depends on rows in none of the batches, about the share of its precision in these rows.
    """
    shape, unit = gaussian.shape, np.sqrt(gaussian.shape.variances)
    misses, errors = np.zeros((2, len(unit)))
    with np.errstate(all="ignore"):
        known = gaussian.known or _known(data, gaussian, others, gradients.dtype)
        for position, full in known:
            estimates = gradients(position, BATCHES * _COMPARED // len(known))
            apart = shape.away(shape.pull(estimates - full)) / unit
            misses += apart.mean(axis=0) ** 2 / len(known)
            errors += apart.var(axis=0, ddof=1) / len(apart) / len(known)
    beyond = np.where(misses > _BEYOND * errors, misses, 0)
    return np.nan_to_num(np.sqrt(beyond))


def _known(
    data: FullData, gaussian: Gaussian, others: Sequence[np.ndarray], dtype: str
) -> list[Known]:
    """Return gradients of all rows at positions of a Gaussian."""
    rng = np.random.default_rng(_SEED + 1)
    z = rng.standard_normal((_COMPARED, len(gaussian.mean)))
    positions = gaussian.mean + gaussian.shape.away(z)
    return [(at, data.gradients(at.astype(dtype), others)[1].sum(axis=0)) for at in positions]
