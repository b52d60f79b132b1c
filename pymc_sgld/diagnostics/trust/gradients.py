"""Gradients of the log posterior of all rows at the draws of a run."""

from __future__ import annotations

import numpy as np

from pymc_sgld.backends.backend import NUMPY, Backend
from pymc_sgld.compiled.threads import one_thread
from pymc_sgld.diagnostics.trust.unconstrained import GRADIENTS, Draws, check_row_count
from pymc_sgld.diagnostics.trust.whitened import DRAWS_A_COORDINATE, LARGEST_SIZE, Array, Sample
from pymc_sgld.errors import MinibatchError
from pymc_sgld.minibatch.blocks import BLOCK
from pymc_sgld.minibatch.density import LogDensity
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.progress import progress
from pymc_sgld.tuning.importance.expansion import FEW, PARTS, Expansion
from pymc_sgld.tuning.importance.weighted import FEWEST_ROWS
from pymc_sgld.tuning.posterior.covariance import FULL_SIZE, Full
from pymc_sgld.tuning.posterior.variational import Gaussian

FEWEST, MOST = 400, 2000
"""Gradients that are computed, where nothing is said and there are as many draws."""

ENTRIES = 2e9
"""Numbers of the data that these gradients may read."""

JUDGED_AT, ROWS_ERROR = 8, 0.02
"""Draws where gradients from few rows are judged, and what they may be off by, in sds of a mean."""

NODES = {1: 9, 2: 7}
"""Of the integral over one or two effects of a group, along each, where one is not exact."""

NEAR, NEWTON = 0.1, 4
"""Standard deviations from the modes of effects at the mean, and steps from there to others."""


def with_gradients(
    draws: Draws,
    wanted: int | None = None,
    temperature: float = 1.0,
    *,
    rows: int | None = None,
) -> Sample:
    """Return draws with gradients of the log posterior of all rows at evenly spaced ones of them.

    Parameters
    ----------
    wanted : int, optional
        How many gradients; by default few enough for the size of the data.
    temperature : float
        That of the run: the gradients are those of the posterior to the power 1/T.
    """
    rows_of = draws.minibatcher()
    rows_of.check_sources()
    if rows_of.groups is not None and rows_of.effects is not None:
        others = draws.values(rows_of.others, 0, 0)
        rows_of.effects.settle(draws.position.mean(axis=(0, 1)), others, NEAR)
        if not rows_of.effects.normal:
            rows_of.groups.use_nodes(NODES[rows_of.groups.q], NEWTON)
    try:
        density: LogDensity = rows_of.blocks(BLOCK)
    except MinibatchError:  # all rows at once needs no batches
        density = rows_of.density(rows_of.largest)
    data = FullData(density, Backend({}) if rows_of.groups is not None else NUMPY)
    check_row_count(data.rows, rows_of, rows, GRADIENTS)
    chains, length = draws.shape
    wanted = wanted or _how_many(density, draws.position.shape[2])
    stretches = min(length, -(-wanted // chains))
    every = length // stretches
    first = length - every * stretches
    position = draws.position[:, first:]
    gradient = np.empty((chains, stretches, position.shape[2]))
    passes = progress("gradients of all rows at draws", chains * stretches)
    with np.errstate(all="ignore"), one_thread(), passes as update:
        split = None if density.others else _split(data, draws.position, chains * stretches)
        for chain, stretch in np.ndindex(chains, stretches):
            last = (stretch + 1) * every - 1
            if split is not None:
                gradient[chain, stretch] = split.gradient(position[chain, last])
            else:
                others = draws.values(density.others, chain, first + last)
                terms = data.gradients(position[chain, last], others)[1]
                gradient[chain, stretch] = terms.sum(axis=0)
            update()
    return Sample(position, gradient / temperature, every)


def _split(data: FullData, position: Array, wanted: int) -> Expansion | None:
    """Return the log density by an expansion around the draws and few rows, where that is exact.

    None where the data are small, and where the draws are too few to say how wide they are.
    """
    size = position.shape[2]
    together = position.reshape(-1, size)
    if size > FULL_SIZE or len(together) < 4 * size or data.rows <= FEW:
        return None
    covariance = np.cov(together, rowvar=False).reshape(size, size)
    try:
        shape = Full(np.linalg.inv(covariance))
    except np.linalg.LinAlgError:  # draws that do not vary
        return None
    gaussian, rows = Gaussian(together.mean(axis=0), shape), FEWEST_ROWS
    places = together[:: -(-len(together) // JUDGED_AT)]
    while 4 * rows < data.rows:
        split = Expansion(data, gaussian, [], rows)
        if split.is_exact or split.passes > 3 * wanted:
            return None
        parts = np.array([split.gradients_of_parts(place) for place in places])
        apart = shape.whiten_gradient(parts - parts.mean(axis=1, keepdims=True))
        error = np.sqrt(np.mean(apart**2, axis=0).sum(axis=0) / (PARTS * (PARTS - 1)))
        if error.max() < ROWS_ERROR:
            return split
        rows *= 4
    return None


def _how_many(density: LogDensity, size: int) -> int:
    """Return at how many draws to take gradients, for the size of the data."""
    entries = max(1, sum(item.array.size for item in density.data))
    enough = DRAWS_A_COORDINATE * size if size <= LARGEST_SIZE else 0
    return int(np.clip(ENTRIES / entries, FEWEST, max(MOST, enough)))
