r"""How many nodes the integral over the effects of a group needs.

A quadrature with few nodes has an error :math:`e(\phi)` of the log density that is summed over all
groups. What it does to the posterior is its gradient, which for pairs of points of the Gaussian
approximation, :math:`m \pm W z` with standard normal z, is estimated by

.. math:: |W^\top \nabla e|^2 \approx \tfrac14 E [e(m + W z) - e(m - W z)]^2 ,

in squared posterior standard deviations that means move. The number of nodes is the least with
which this is below a hundredth of a standard deviation. With one node, where effects are normal
given the other variables, there is no error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pymc_sgld.errors import warn
from pymc_sgld.minibatch.groups.conditional import Conditional
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.tuning.posterior.variational import Gaussian

CANDIDATES = {1: (3, 5, 7, 9, 15), 2: (3, 5, 7, 9)}
EXACT = {1: 31, 2: 17}  # nodes of the quadrature that others are compared with
ERROR = 0.01  # posterior standard deviations
MOST_STEPS = 8  # of Newton's method, in an update
_PAIRS, _FAR = 4, 2.0  # of places, and standard deviations beyond most draws of one variable
_MOST_ROWS = 50_000  # of the groups that are compared
_SEED = 20190713  # fixed: what is measured is a property of the model, not of a chain


class PoorIntegral(Exception):
    """No quadrature is good enough for effects that are integrated out by default."""


def errors(
    conditional: Conditional, q: int, gaussian: Gaussian, others: Sequence[np.ndarray]
) -> dict[int, float]:
    """Return how far quadratures move means, in posterior standard deviations, by their nodes."""
    rng = np.random.default_rng(_SEED)
    squares = dict.fromkeys(CANDIDATES[q], 0.0)
    counts = [*CANDIDATES[q], EXACT[q]]
    for _ in range(_PAIRS):
        away = gaussian.shape.unwhiten(rng.standard_normal(len(gaussian.mean)))
        sums = [
            conditional.log_likelihoods(gaussian.mean + sign * away, others, counts, _MOST_ROWS)
            for sign in (1, -1)
        ]
        apart = sums[0] - sums[1]
        for count, found in zip(counts, apart - apart[-1], strict=True):
            if count in squares:
                squares[count] += float(found) ** 2 / 4 / _PAIRS
    return {count: float(np.sqrt(square)) for count, square in squares.items()}


def steps_to_modes(
    conditional: Conditional, count: int, gaussian: Gaussian, others: Sequence[np.ndarray]
) -> int:
    """Return how many of Newton's steps lead from the stored modes to those elsewhere.

    Nodes must be around the mode. In groups of many rows effects spread little, and in few groups
    what is common to them is uncertain: then modes lie many of their standard deviations apart.
    They are compared in the corners of a cube, at a distance that few draws are beyond.
    """
    rng, size = np.random.default_rng(_SEED), len(gaussian.mean)
    far = 1 + _FAR / np.sqrt(size)
    places = []
    for _ in range(_PAIRS):
        away = gaussian.shape.unwhiten(far * rng.choice([-1.0, 1.0], size))
        places += [gaussian.mean + away, gaussian.mean - away]

    def values(place: np.ndarray, *steps: int) -> float:
        return float(conditional.log_likelihoods(place, others, [count], _MOST_ROWS, *steps)[0])

    exact = {i: values(place) for i, place in enumerate(places)}
    exact = {i: value for i, value in exact.items() if np.isfinite(value)}
    for steps in range(1, MOST_STEPS):
        if all(abs(values(places[i], steps) - exact[i]) < _FAR * ERROR for i in exact):
            return steps
    return MOST_STEPS


def settle_nodes(
    rows: Minibatcher,
    gaussian: Gaussian,
    others: Sequence[np.ndarray],
    sampler: str,
) -> tuple[int, int]:
    """Choose the nodes at a Gaussian approximation of the posterior, and return their number.

    The other number is that of Newton's steps from the modes at its mean.

    Raises
    ------
    PoorIntegral
        Where the largest number is not enough, for effects that nobody asked to integrate out.
    """
    groups, conditional = rows.groups, rows.effects
    assert groups is not None and conditional is not None
    conditional.settle(gaussian.mean.astype(rows.inputs.position.dtype), others)
    if conditional.normal:
        return 1, 1
    found = errors(conditional, groups.q, gaussian, others)
    enough = [count for count, error in found.items() if error < ERROR]
    count = min(enough, default=max(found))
    if not enough:
        found_out = (
            f"the integral over {groups.labels} by quadrature is not exact: means may be "
            f"{found[count]:.2g} posterior standard deviations off"
        )
        if groups.by_default:
            raise PoorIntegral(found_out)
        warn(f"{sampler}: {found_out}. Pass marginalize=False.")
    return count, steps_to_modes(conditional, count, gaussian, others)
