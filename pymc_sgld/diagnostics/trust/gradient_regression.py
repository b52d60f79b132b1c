r"""How far off means and variances are, from the gradients at the draws.

A regression of gradients on positions gives the precision of the posterior, and where its mean is:
exactly so for a Gaussian, whatever the draws follow. In the coordinates :math:`z` in which
the draws have mean 0 and covariance :math:`I`, with gradients :math:`s`,

.. math::

    s \approx b - A z, \qquad A = -\operatorname{Cov}(s, z) \operatorname{Cov}(z)^{-1}
    \text{, symmetrised,}

the posterior has the precision :math:`A` and the mean :math:`A^{-1} b`. Where the draws
follow the posterior, Stein's identities give :math:`A = I` and :math:`b = 0` for *any* posterior:
that it is like a Gaussian is needed for the size of a bias, not for its absence.

**The mean.** :math:`b = 0` at any stationary SGLD of constant step, also where a skewed posterior
shifts its mean. There the residuals :math:`r = s - b + A z` show it. Draws that are too wide are
given the weights :math:`1 + w` that make their covariance :math:`A^{-1}`, to first order,

.. math::

    w = \tfrac12 \left[ z^\top (A^{-1} - I) z - \operatorname{tr} (A^{-1} - I) \right],

and the gradients have a mean again, :math:`b + E\,w r`. So the posterior mean is estimated by
:math:`A^{-1} (b + E\,w r)`. In many dimensions :math:`A^{-1} - I` is mostly noise: it is shrunk by
the factor :math:`1 - \nu / |A^{-1} - I|^2`, at least 0, with :math:`\nu` the expected square of
that noise.

References
----------
Mira, Solgi and Imparato (2013), Zero variance Markov chain Monte Carlo for Bayesian estimators,
section 2; Baker, Fearnhead, Fox and Nemeth (2019), Control variates for stochastic gradient MCMC,
section 4 (the same regression, to reduce variance).
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from pymc_sgld.diagnostics.trust.whitened import Array, Sample

MOST_BLOCKS, FEWEST_BLOCKS = 40, 10
"""Blocks of a jackknife, over all chains."""

EFFECTIVE_DRAWS = 10
"""Effective draws that a block should have."""


class MeasuredBias(NamedTuple):
    """Estimates along each coordinate, with standard errors."""

    # shape (d,): mean of the draws less that of the posterior, in standard deviations of the
    # posterior
    shift: Array
    shift_error: Array
    # shape (d,): variance of the draws over that of the posterior
    inflation: Array
    inflation_error: Array
    blocks: int  # of the jackknife: the errors have one degree of freedom less


class _Block(NamedTuple):
    """Sums over a block of draws."""

    draws: int
    position: Array  # of all draws, shape (d,)
    square: Array  # shape (d, d)
    white: Array  # of draws with a gradient, shape (n, d)
    slope: Array


def measure_bias(sample: Sample) -> MeasuredBias | None:
    r"""Measure the bias of the draws along each coordinate.

    The errors, and a correction of the bias that the estimates themselves have from finitely
    many draws, are those of a jackknife over blocks of consecutive draws, which keeps their
    autocorrelation.

    None where the gradients are not those of a hump: :math:`A` is not positive definite.

    References
    ----------
    Künsch (1989), The jackknife and the bootstrap for general stationary observations, section 2.

    Examples
    --------
    >>> import numpy as np
    >>> draws = np.random.default_rng(1).normal(size=(4, 500, 1))
    >>> shifted = Sample(0.5 + 2 * draws, -(0.5 + 2 * draws), every=1)  # of a standard normal
    >>> bias = measure_bias(shifted)
    >>> print(f"{bias.shift[0]:.1f} {bias.inflation[0]:.0f}")
    0.5 4
    """
    blocks = _blocks(sample)
    share = min(1.0, sample.effective / sum(block.draws for block in blocks))
    whole = _estimate(blocks, sample.factor, share)
    if whole is None:
        return None
    parts = [
        _estimate(blocks[:i] + blocks[i + 1 :], sample.factor, share) for i in range(len(blocks))
    ]
    if any(part is None for part in parts):
        return None
    without = np.array(parts)  # (blocks, 2, d)
    rest = len(blocks) - 1
    estimate = (rest + 1) * whole - rest * without.mean(axis=0)
    error = np.sqrt(rest * without.var(axis=0))
    return MeasuredBias(estimate[0], error[0], estimate[1], error[1], len(blocks))


def _blocks(sample: Sample) -> list[_Block]:
    """Cut every chain into blocks of the same number of stretches."""
    chains, stretches = sample.here.shape[:2]
    most = min(MOST_BLOCKS, sample.effective / EFFECTIVE_DRAWS)
    in_a_chain = int(np.clip(most // chains, max(1, -(-FEWEST_BLOCKS // chains)), stretches))
    edges = np.linspace(0, stretches, in_a_chain + 1).astype(int)
    found = []
    for chain in range(chains):
        for start, stop in pairwise(edges):
            z = sample.white[chain, start:stop].reshape(-1, sample.size)
            here, slope = sample.here[chain, start:stop], sample.slope[chain, start:stop]
            found.append(_Block(len(z), z.sum(axis=0), z.T @ z, here, slope))
    return found


def _estimate(blocks: list[_Block], factor: Array, share: float) -> Array | None:
    """Return shifts and inflations along the coordinates, shape (2, d), or None without a hump.

    ``share`` is that of the draws which are effective.
    """
    draws = sum(block.draws for block in blocks)
    mean = np.sum([block.position for block in blocks], axis=0) / draws
    square = np.sum([block.square for block in blocks], axis=0)
    covariance = (square - draws * np.outer(mean, mean)) / (draws - 1)
    z = np.concatenate([block.white for block in blocks]) - mean
    s = np.concatenate([block.slope for block in blocks])
    middle, level = z.mean(axis=0), s.mean(axis=0)
    about, bend = z - middle, s - level
    sloped = -np.linalg.solve(about.T @ about, about.T @ bend)
    precision = (sloped + sloped.T) / 2
    if np.linalg.eigvalsh(precision)[0] <= 0:
        return None
    variance = np.linalg.inv(precision)
    residual = bend + about @ precision
    inverse = np.linalg.inv(covariance)
    missing = variance - covariance
    # what noise makes of it, of the covariance and of the regression: squares of all entries
    norms, products = ((one * other).sum(axis=1) for one, other in ((z, z), (z, residual)))
    noise = (norms * (residual**2).sum(axis=1) + products**2).mean() / 2 / len(z)
    noise += len(mean) * (len(mean) + 1) / (draws * share)
    missing *= max(0.0, 1 - noise / np.sum(missing**2))
    excess = inverse @ missing @ inverse
    weight = (np.einsum("ni,ni->n", z @ excess, z) - np.trace(excess @ covariance)) / 2
    at_mean = level + precision @ middle + weight @ residual / len(z)
    exact = np.einsum("ji,ji->j", factor @ variance, factor)
    shift = -(factor @ (variance @ at_mean)) / np.sqrt(exact)
    inflation = np.einsum("ji,ji->j", factor @ covariance, factor) / exact
    return np.array([shift, inflation])
