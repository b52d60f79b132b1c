"""The Gaussian approximation of a posterior, and the nodes of its integrals over effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pymc_sgld.errors import warn
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.progress import progress
from pymc_sgld.tuning.posterior.earlier import verified
from pymc_sgld.tuning.posterior.search import approximate
from pymc_sgld.tuning.posterior.variational import Gaussian
from pymc_sgld.tuning.quadrature import settle_nodes
from pymc_sgld.tuning.settings import Search

_ROUNDS, _MOVED = 3, 0.3  # of the search for nodes, and by how many standard deviations moved


def locate(
    rows: Minibatcher, data: FullData, block: int, search: Search, sampler: str
) -> tuple[FullData, Gaussian]:
    """Return the log density of all rows, and the Gaussian that is closest to the posterior.

    Where effects of groups are integrated out, the density has the nodes that its posterior needs.
    """
    above = rows.parents
    top = {name for name in set().union(*above.values()) if not above.get(name)}
    gaussian = _verified(data, search) or approximate(data, search, top)
    if search.earlier is not None and gaussian.center is None:
        warn(
            f"{sampler}: the posterior is not like the one that settings= has, "
            f"{_apart(search.earlier, gaussian, search.names)}: it was searched as usual."
        )
    if rows.groups is None or rows.effects is None:
        return data, gaussian
    for _ in range(_ROUNDS):  # other nodes may have moved the posterior
        before = _slopes(data, gaussian, search)
        count, newton = settle_nodes(rows, gaussian, search.others, sampler)
        more = count > rows.groups.nodes_each or newton > rows.groups.newton
        rows.groups.use_nodes(count, newton)
        if more:
            data = FullData(rows.blocks(block), rows.backend)
        moved = np.abs(_slopes(data, gaussian, search) - before).max()
        if search.center is not None or not moved > _MOVED:
            break
        gaussian = approximate(data, replace(search, start=gaussian.mean), top)
    return data, replace(gaussian, center=None)  # nodes, or modes, are others than there were


def _verified(data: FullData, search: Search) -> Gaussian | None:
    """Return the Gaussian of an earlier run, if there is one and it fits."""
    if search.earlier is None:
        return None
    with progress("verifying what settings= has, by a pass over all rows"):
        return verified(data, search.earlier, search.others)


def _apart(one: Gaussian, other: Gaussian, names: Sequence[str]) -> str:
    """Return in words how far the second of two Gaussians is from the first."""
    widths = np.sqrt(other.shape.variances)
    moved = np.abs(other.mean - one.mean) / widths
    wider = widths / np.sqrt(one.shape.variances)
    far, odd = int(np.argmax(moved)), int(np.argmax(np.abs(np.log(wider))))
    return (
        f"which is up to {moved[far]:.2g} standard deviations away ({names[far]}) and has others "
        f"by up to the factor {wider[odd]:.2g} ({names[odd]})"
    )


def _slopes(data: FullData, gaussian: Gaussian, search: Search) -> np.ndarray:
    """Return gradients at the mean and far on both sides of it, in standard deviations."""
    away = 3 * gaussian.shape.unwhiten(np.ones(len(gaussian.mean)))
    places = [gaussian.mean + sign * away for sign in (0, 1, -1)]
    gradients = [data.gradients(place, search.others)[1].sum(axis=0) for place in places]
    return np.array([gaussian.shape.whiten_gradient(gradient) for gradient in gradients])
