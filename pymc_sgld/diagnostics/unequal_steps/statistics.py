"""Weighted draws of one scalar parameter: moments, quantiles and convergence, in plain NumPy.

With equal weights every figure is that of ArviZ. Weights have the shape of the draws, (chain,
draw), and the same sum in every chain; together they sum to 1.
"""

from typing import NamedTuple

import numpy as np
import scipy
from arviz_stats.base.array import array_stats
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating]

FEWEST_DRAWS = 4
"""Draws per chain below which there is neither R-hat nor effective sample size."""


class Figures(NamedTuple):
    """What weighted draws say of one parameter; one row of `pymc_sgld.weighted_summary`."""

    mean: float
    sd: float
    lower: float
    upper: float
    ess_bulk: float
    ess_tail: float
    r_hat: float
    mcse_mean: float
    mcse_sd: float


def figures(draws: ArrayLike, weights: Array, ci_prob: float, tail_prob: float) -> Figures:
    r"""Compute the figures of one parameter from weighted draws.

    The mean is :math:`\bar f = \sum w_t f_t`, the variance
    :math:`\sum w_t (f_t - \bar f)^2 / (1 - \sum w_t^2)`. To first order the error of the mean is
    that of the plain mean of :math:`y_t = N w_t (f_t - \bar f)`, whose autocorrelation ArviZ
    measures: autocorrelation in the draws and unequal weights are both in it.

    Parameters
    ----------
    draws : array_like of shape (chain, draw)
        Numbers or booleans.
    weights : ndarray of shape (chain, draw)
        With the sum 1.
    ci_prob : float
        Probability of the equal-tailed interval.
    tail_prob : float
        ``ess_tail`` is that of the quantiles ``tail_prob`` and ``1 - tail_prob``, as in ArviZ.

    Returns
    -------
    Figures
        NaN where draws are not finite, and where there are too few or they are constant.
    """
    values = np.asarray(draws, dtype=float)
    if not np.isfinite(values).all():
        return Figures(*[np.nan] * len(Figures._fields))
    center = float((weights * values).sum())
    lower, upper = quantile(values, weights, [(1 - ci_prob) / 2, (1 + ci_prob) / 2])
    r_hat = mcse_mean = mcse_sd = ess_bulk = ess_tail = np.nan
    if values.shape[1] >= FEWEST_DRAWS and np.ptp(values) > 0:
        squares = (values - center) ** 2
        spread = float((weights * squares).sum())
        mcse_mean = error(values, weights)
        # ArviZ divides by the draws for this error, and by one less for that of the mean
        mcse_sd = error(squares, weights) * np.sqrt((1 - 1 / values.size) / spread / 4)
        ess_bulk = effective_size(normal_scores(values, weights), weights)
        tails = quantile(values, weights, [1 - tail_prob, tail_prob])
        ess_tail = min(effective_size(values <= tail, weights) for tail in tails)
        r_hat = rank_r_hat(values, weights)
    return Figures(
        center,
        float(np.sqrt(variance(values, weights))),
        float(lower),
        float(upper),
        float(ess_bulk),
        float(ess_tail),
        r_hat,
        float(mcse_mean),
        float(mcse_sd),
    )


def variance(values: Array, weights: Array) -> float:
    """Return the variance, unbiased for independent draws."""
    center = (weights * values).sum()
    with np.errstate(all="ignore"):  # NaN for a single draw
        return float((weights * (values - center) ** 2).sum() / (1 - (weights**2).sum()))


def quantile(values: Array, weights: Array, probabilities: ArrayLike) -> Array:
    r"""Return quantiles, by straight lines between the draws.

    The sorted draw :math:`k` stands at the middle :math:`c_k` of its share of the weight, and is
    the quantile :math:`(c_k - c_1) / (c_n - c_1)`. With equal weights this is ``numpy.quantile``.
    """
    order = np.argsort(values, axis=None, kind="stable")
    middle = middles(weights.ravel()[order])
    with np.errstate(all="ignore"):
        places = np.nan_to_num((middle - middle[0]) / (middle[-1] - middle[0]))
    return np.interp(np.asarray(probabilities), places, values.ravel()[order])


def middles(weights: Array) -> Array:
    """Return the middle of each weight's share of their sum, shape (n,)."""
    above = np.cumsum(weights)
    return (above - weights / 2) / above[-1]


def error(values: Array, weights: Array) -> float:
    """Return the Monte-Carlo standard error of the weighted mean."""
    influence = values.size * weights * (values - (weights * values).sum())
    return float(array_stats.mcse(influence))


def effective_size(values: Array, weights: Array) -> float:
    """Return how many independent draws of weight one have as small an error of the mean."""
    values = np.asarray(values, dtype=float)
    with np.errstate(all="ignore"):
        return float(np.divide(variance(values, weights), error(values, weights) ** 2))


def normal_scores(values: Array, weights: Array) -> Array:
    """Replace draws by the normal quantiles of their weighted ranks; ties share theirs."""
    order = np.argsort(values, axis=None, kind="stable")
    ordered, size = values.ravel()[order], values.size
    middle = middles(weights.ravel()[order])
    first = np.flatnonzero(np.diff(ordered, prepend=np.nan) != 0)
    counts = np.diff(np.append(first, size))
    shares = np.add.reduceat(weights.ravel()[order], first)
    tied = np.add.reduceat(weights.ravel()[order] * middle, first) / shares
    ranks = np.empty(size)
    ranks[order] = np.repeat(size * tied + 0.5, counts)
    return scipy.special.ndtri((ranks - 3 / 8) / (size + 1 / 4)).reshape(values.shape)


def rank_r_hat(values: Array, weights: Array) -> float:
    """Return the rank-normalised split R-hat, the larger of that of location and of spread.

    Chains are split where half of their weight is behind them; NaN for a single chain.
    """
    if len(values) < 2:
        return np.nan
    late = np.stack([middles(row) for row in weights]) - 0.5
    halves = [
        (chain, np.flatnonzero(side * late[chain] > 1e-9))
        for side in (-1, 1)
        for chain in range(len(values))
    ]
    kept = np.concatenate([values[half] for half in halves])
    shares = np.concatenate([weights[half] for half in halves])
    shares = shares / shares.sum()
    ends = np.cumsum([len(rows) for _, rows in halves])[:-1]
    folded = np.abs(kept - quantile(kept, shares, 0.5))
    return max(_r_hat(normal_scores(form, shares), shares, ends) for form in (kept, folded))


def _r_hat(scores: Array, weights: Array, ends: NDArray[np.integer]) -> float:
    parts = list(zip(np.split(scores, ends), np.split(weights, ends), strict=True))
    parts = [(values, share / share.sum()) for values, share in parts]
    means = [(share * values).sum() for values, share in parts]
    within = np.mean([variance(values, share) for values, share in parts])
    size = np.mean([1 / (share**2).sum() for _, share in parts])
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.divide(np.var(means, ddof=1), within) + (size - 1) / size))
