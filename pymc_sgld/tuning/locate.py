"""The Gaussian approximation of a posterior, and the nodes of its integrals over effects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pymc_sgld.backends.backend import Backend
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.tuning.posterior.search import approximate
from pymc_sgld.tuning.posterior.variational import Gaussian
from pymc_sgld.tuning.quadrature import settle_nodes
from pymc_sgld.tuning.settings import Search

_ROUNDS, _MOVED = 3, 0.3  # of the search for nodes, and by how many standard deviations moved


def locate(
    rows: Minibatcher, data: FullData, block: int, backend: Backend, search: Search, sampler: str
) -> tuple[FullData, Gaussian]:
    """Return the log density of all rows, and the Gaussian that is closest to the posterior.

    Where effects of groups are integrated out, the density has the nodes that its posterior needs.
    """
    above = rows.parents
    top = {name for name in set().union(*above.values()) if not above.get(name)}
    gaussian = approximate(data, search, top)
    if rows.groups is None or rows.effects is None:
        return data, gaussian
    for _ in range(_ROUNDS):  # other nodes may have moved the posterior
        before = _slopes(data, gaussian, search)
        count, newton = settle_nodes(rows, gaussian, search.others, sampler)
        more = count > rows.groups.nodes_each or newton > rows.groups.newton
        rows.groups.use_nodes(count, newton)
        if more:
            data = FullData(rows.blocks(block), backend)
        moved = np.abs(_slopes(data, gaussian, search) - before).max()
        if search.center is not None or not moved > _MOVED:
            break
        gaussian = approximate(data, replace(search, start=gaussian.mean), top)
    return data, gaussian


def _slopes(data: FullData, gaussian: Gaussian, search: Search) -> np.ndarray:
    """Return gradients at the mean and far on both sides of it, in standard deviations."""
    away = 3 * gaussian.shape.unwhiten(np.ones(len(gaussian.mean)))
    places = [gaussian.mean + sign * away for sign in (0, 1, -1)]
    gradients = [data.gradients(place, search.others)[1].sum(axis=0) for place in places]
    return np.array([gaussian.shape.whiten_gradient(gradient) for gradient in gradients])
