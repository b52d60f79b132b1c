r"""What the order of the rows on disk adds to the noise of the gradient.

Batches of a source are random subsets of a window, which is shuffled: of :math:`W` of the
:math:`K` blocks of rows (``batching.windows``). Where rows of one block are alike, as in data that
are sorted by time, group or outcome, windows differ by more than chance, and all batches of a
window err to the same side. With :math:`B` the covariance of the gradient estimate of one block as
a batch, and :math:`R` that of as many rows picked at random, the estimate of a window is off by an
error of covariance

.. math::

    X = \left(\frac{1}{W} - \frac{1}{K}\right) (B - R)

beyond that of shuffled rows. A chain that stays in a window for long follows it, by
:math:`P^{-1}` times the error with :math:`P` the precision of the posterior. So the variance of the
worst direction is inflated by at most :math:`\lambda_{\max}(P^{-1/2} X P^{-1/2})`, whatever the
step size.

References
----------
Cochran (1977), Sampling techniques, chapter 9: the variance of samples of clusters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy

from pymc_sgld.errors import warn
from pymc_sgld.minibatch.density import LogDensity, Table
from pymc_sgld.minibatch.full_data import Center, FullData
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.sources.grouped import OfGroups
from pymc_sgld.sources.reader import window_order
from pymc_sgld.tuning.batch_noise import BATCHES, BatchGradients, noise_samples
from pymc_sgld.tuning.posterior.variational import Gaussian
from pymc_sgld.tuning.settings import Asked

_POSITIONS, _BLOCKS = 8, 512  # positions with 64 blocks each, or one with all of them
_SURE = 4.0  # standard errors
_TWICE = 2.0  # the variance of a block, over that of random rows, where nothing else is known


def check_order(
    rows: Minibatcher,
    density: LogDensity,
    gradient: str,
    center: Center | None,
    others: Sequence[np.ndarray],
    around: Gaussian | np.ndarray,
    asked: Asked,
) -> None:
    """Warn where the rows of a source are in an order that batches do not average out.

    Parameters
    ----------
    around : Gaussian or ndarray, shape (d,)
        The posterior; or a point, where it is not known. There the noise of a block is compared
        with that of random rows, of which any step size was chosen to bear some.
    asked : Asked
        It has the tolerated relative inflation of the variance; half of it is what the order may
        have.
    """
    for table in density.tables:
        if table.full or not table.sources or any(s.is_shuffled for s in table.sources):
            continue
        order = window_order(table.sources, table.batch_size)
        if order.windows == 1:
            continue
        size = order.block
        if table.groups:  # a batch is told by its rows
            size = max(1, round(size / table.total_size * rows.largest))
        data = FullData(rows.density(size), rows.backend, 2 * _POSITIONS * BATCHES)
        of_blocks, of_random = (
            BatchGradients(data, gradient, center, others, "reshuffle", in_blocks)
            for in_blocks in (True, False)
        )
        if isinstance(around, np.ndarray):
            found = _at_a_point(of_blocks, of_random, around)
            if found > _TWICE:
                text = f"the gradients of its blocks have {found:.2g} times the variance"
                _warn(table, text, asked.sampler)
        else:
            share = 1 / order.blocks_of_window - 1 / order.blocks
            found = share * excess(_pulled(of_blocks, around), _pulled(of_random, around))
            if found > asked.bias_target / 2:
                text = f"it may inflate posterior variances by up to {100 * found:.2g} %"
                _warn(table, text, asked.sampler)


def excess(blocks: list[np.ndarray], random: list[np.ndarray]) -> float:
    """Return the greatest eigenvalue of ``B - R``, or zero where it may be chance.

    ``blocks``, ``random``, shape (samples, d): of each covariance two independent samples, the sum
    of whose squares estimates it. The direction that is the worst of one is judged by the other:
    the greatest eigenvalue of a measured matrix is too great.
    """
    found, errors = np.zeros((2, 2))
    for i in range(2):
        basis = np.linalg.svd(np.vstack([blocks[i], random[i]]), full_matrices=False)[2]
        of_blocks, of_random = blocks[i] @ basis.T, random[i] @ basis.T
        last = [len(basis) - 1] * 2
        apart = of_blocks.T @ of_blocks - of_random.T @ of_random
        worst = scipy.linalg.eigh(apart, subset_by_index=last)[1]
        one, other = (((half[1 - i] @ basis.T @ worst[:, 0]) ** 2) for half in (blocks, random))
        found[i] = one.sum() - other.sum()
        errors[i] = np.sqrt(2 / len(one)) * np.hypot(one.sum(), other.sum())
    return float(found.mean()) if found.mean() > _SURE * np.hypot(*errors) / 2 else 0.0


def _pulled(gradients: BatchGradients, gaussian: Gaussian) -> list[np.ndarray]:
    return [
        gaussian.shape.whiten_gradient(half)
        for half in noise_samples(gradients, gaussian, _POSITIONS)
    ]


def _at_a_point(blocks: BatchGradients, random: BatchGradients, position: np.ndarray) -> float:
    """Return the greatest ratio of the variances of a coordinate."""
    with np.errstate(all="ignore"):
        variances = [each(position, _BLOCKS).var(axis=0, ddof=1) for each in (blocks, random)]
        return float(np.nan_to_num(variances[0] / variances[1], posinf=0).max())


def _warn(table: Table, what: str, sampler: str) -> None:
    given = (source for source in table.sources if not isinstance(source, OfGroups))
    names = ", ".join(f'"{source.name}"' for source in given)
    warn(
        f"{sampler}: the rows of {names} have an order, so that neighbouring rows are no random "
        f"batch: {what}. Write a shuffled copy with pymc_sgld.sources.shuffled, and sample "
        "from that."
    )
