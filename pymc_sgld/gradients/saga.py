"""SAGA: a control variate that remembers the last gradient of every block of rows."""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt

from pymc_sgld.errors import SettingError
from pymc_sgld.gradients.base import Blocks, Estimate
from pymc_sgld.gradients.minibatch import inside, minibatch
from pymc_sgld.minibatch.density import LogDensity, Table, gradient_of
from pymc_sgld.minibatch.full_data import Center, FullData

LARGEST = 100_000_000  # bytes of the gradients of all blocks; a chain holds a few copies


def saga(density: LogDensity, center: Center, data: FullData | None = None) -> Estimate:
    r"""Return the minibatch gradient with a control variate of what each block was before.

    The rows are shuffled once and fall into :math:`K = \lceil N/n \rceil` blocks, which are the
    batches. With :math:`f_b` the log-likelihood of a block and :math:`\alpha_b` its gradient where
    it was read last,

    .. math::

        \hat g(\theta) = \nabla \log p(\theta) + \sum_{k=1}^K \alpha_k
            + K \left[ \nabla f_b(\theta) - \alpha_b \right], \qquad
        \alpha_b \leftarrow \nabla f_b(\theta) .

    It is SAGA with the blocks as the components of the sum: :math:`K d` numbers are remembered, and
    no pass is made but the first, at the center. Blocks are read independently of each other: in
    epochs, those that were not read yet would be the ones that :math:`\sum_k \alpha_k` has at old
    positions, and the estimate would be biased.

    What is subtracted comes from a position of the chain that differs from block to block, so that
    there is noise which :func:`~pymc_sgld.gradients.svrg.svrg` has not, at most of the covariance
    :math:`P`, the precision of the posterior: less, where :math:`K` updates are few beside what a
    chain remembers. It does not become less with larger blocks.

    Where :math:`n` does not divide :math:`N`, the last block begins with rows that are counted in
    the one before, and count zero times in it.

    ``center``: where the gradients of the blocks are evaluated first.

    Raises
    ------
    SettingError
        Where the gradients of all blocks take too much memory, or rows come from sources: these
        have no blocks that come back.

    References
    ----------
    Defazio and others (2014), SAGA: a fast incremental gradient method with support for
    non-strongly convex composite objectives. Dubey, Reddi, Póczos, Smola, Xing and Williamson
    (2016), Variance reduction in stochastic gradient Langevin dynamics, algorithm 1.
    """
    if density.full:
        return minibatch(density)
    batched = [table for table in density.tables if not table.full]
    counts = [-(-table.total_size // table.batch_size) for table in batched]
    _check(density, batched, sum(counts))
    places = [pt.scalar(f"place{i}", dtype="int64") for i in range(len(batched))]
    stored = [density.position.type(f"stored{i}") for i in range(len(batched))]
    total = density.position.type("total")
    renewed = [
        gradient_of([_of_block(table, place, count)], density)
        for table, place, count in zip(batched, places, counts, strict=True)
    ]
    whole = [
        graph
        for table, graph in zip(density.tables, density.log_likelihoods, strict=True)
        if table.full
    ]
    changes = [
        np.asarray(count, density.position.dtype) * (new - old)
        for count, new, old in zip(counts, renewed, stored, strict=True)
    ]
    gradient = pt.add(gradient_of([density.log_prior, *whole], density), total, *changes)
    blocks = Blocks(counts, places, total, stored, renewed, center.position)
    return Estimate(inside(density, gradient), blocks=blocks)


def _of_block(table: Table, place: pt.TensorVariable, count: int) -> pt.TensorVariable:
    """Return the log-likelihood of the rows of a block that no other has."""
    size = table.batch_size
    rows = pt.add(*[g.reshape((size, -1)).sum(axis=1) for g in table.likelihoods.values()], 0)
    twice = count * size - table.total_size
    if twice:
        counts = 1 - pt.eq(place, count - 1) * (np.arange(size) < twice)
        rows = rows * counts.astype(rows.dtype)
    return pt.sum(rows)


def _check(density: LogDensity, batched: list[Table], blocks: int) -> None:
    """Refuse rows that have no blocks, and a table that takes too much memory."""
    if any(table.sources for table in batched):
        raise SettingError(
            'gradient="saga" needs fixed blocks of rows, and rows of data= are shuffled anew in '
            'every epoch: use gradient="svrg" or the default, "control_variate".'
        )
    size = density.position.type.shape[0]
    needed = blocks * size * np.dtype(density.position.dtype).itemsize
    if needed > LARGEST:
        raise SettingError(
            f'gradient="saga" would remember the gradients of {blocks:,} blocks of rows with '
            f"{size:,} entries each: {needed / 1e6:,.0f} MB, and up to {LARGEST / 1e6:,.0f} MB are "
            'accepted. Pass a larger batch_size, or gradient="svrg", which remembers one.'
        )
