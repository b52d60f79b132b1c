"""Whether two sets of draws agree jointly: what marginals cannot show, such as correlations.

Plain NumPy: parameters in columns, draws in rows.
"""

from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

Array = NDArray[np.floating]

MOST_DRAWS = 400
"""Draws of each run that are tested. More would find differences too small to matter."""

MOST_PARAMETERS = 1000
"""Parameters that are tested, evenly spaced where there are more."""

PERMUTATIONS = 499


class Permutations(NamedTuple):
    """What the permutation test found."""

    p_value: float
    energy: float


def permutation_test(
    draws: Array, reference: Array, permutations: int = PERMUTATIONS, seed: int = 0
) -> Permutations:
    r"""Test whether independent draws of two runs agree in distribution, all parameters together.

    Every parameter is replaced by the normal scores of its ranks among the draws of both runs, and
    the scores are whitened: :math:`z = (C + (d/N) I)^{-1/2} s` with their covariance :math:`C` over
    the :math:`N` draws of both. Ranks and :math:`C` do not know which run a draw is from, so that
    the p-value is exact; whitening by one of the runs would make that run look the whiter of the
    two. For draws :math:`x, x'` and :math:`y, y'` of the two runs it has two statistics,

    .. math::

        \mathrm{energy} = 2 E|x - y| - E|x - x'| - E|y - y'|, \qquad
        \mathrm{spread} = \big\| E x x^\top - E y y^\top \big\|_F^2 .

    The first is zero only for equal distributions, the second sees covariances sooner. Each is
    measured in standard deviations of its permutations, and the larger is compared with those of
    relabelled draws.

    ``draws``, ``reference``, shape (n, d) and (m, d): independent draws, finite and not constant in
    any column.

    The p-value, and the energy over :math:`2 E|x - y|`: 0 for equal distributions, 1 at most.

    References
    ----------
    Székely and Rizzo (2013), Energy statistics: a class of statistics based on distances, Journal
    of Statistical Planning and Inference 143(8), equation 1 and section 3.
    Phipson and Smyth (2010), Permutation p-values should never be zero, equation 1.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(2)
    >>> reference = rng.normal(size=(200, 2))
    >>> same = rng.normal(size=(200, 2))
    >>> correlated = same @ np.array([[1, 0.8], [0, 0.6]])
    >>> permutation_test(same, reference).p_value > 0.05
    True
    >>> permutation_test(correlated, reference).p_value
    0.002
    """
    products = whitened_products(np.concatenate([draws, reference]))
    size, total = len(draws), len(products)
    rng = np.random.default_rng(seed)
    ours = np.zeros((permutations + 1, total))
    ours[0, :size] = 1
    for labels in ours[1:]:
        labels[rng.permutation(total)[:size]] = 1
    squares = np.diag(products)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * products, 0))
    within, between, other = mean_pairs(distances, ours)
    energy = 2 * between - within - other
    within, between, other = mean_pairs(products**2, ours)
    spread = within + other - 2 * between
    statistics = np.stack([energy, spread])
    statistics -= statistics.mean(axis=1, keepdims=True)
    largest = (statistics / statistics.std(axis=1, keepdims=True)).max(axis=0)
    observed = int(np.count_nonzero(largest >= largest[0]))
    mean_distance = mean_pairs(distances, ours[:1])[1][0]
    return Permutations(
        observed / (permutations + 1), float(max(energy[0], 0) / (2 * mean_distance))
    )


def mean_pairs(values: Array, ours: Array) -> tuple[Array, Array, Array]:
    """Return the means over pairs of one group, of both, and of the other.

    Parameters
    ----------
    values : ndarray of shape (N, N)
        A symmetric function of pairs.
    ours : ndarray of shape (k, N)
        1 for the members of the first group, 0 for the others, in each of k labellings.
    """
    size = ours[0].sum()
    rest = len(values) - size
    within = np.einsum("kn,kn->k", ours @ values, ours)
    rows = ours @ values.sum(axis=1)
    between, total = rows - within, values.sum()
    other = total - 2 * rows + within
    return within / size**2, between / (size * rest), other / rest**2


def whitened_products(values: Array) -> Array:
    """Return the inner products of whitened normal scores of the draws, shape (N, N)."""
    size, parameters = values.shape
    scores = scipy.special.ndtri((scipy.stats.rankdata(values, axis=0) - 0.5) / size)
    scores = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    ridge = parameters / size
    if parameters <= size:
        covariance = scores.T @ scores / size + ridge * np.eye(parameters)
        return scores @ scipy.linalg.solve(covariance, scores.T, assume_a="pos")
    products = scores @ scores.T  # the same by way of the smaller matrix
    return size * scipy.linalg.solve(
        products + size * ridge * np.eye(size), products, assume_a="pos"
    )
