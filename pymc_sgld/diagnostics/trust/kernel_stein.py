r"""The kernel Stein discrepancy: a distance of draws from a posterior, by its gradients alone.

References
----------
Gorham and Mackey (2017), Measuring sample quality with kernels, section 3: the inverse
multiquadric kernel controls convergence. Liu, Lee and Jordan (2016), A kernelized Stein discrepancy
for goodness-of-fit tests; Chwialkowski, Strathmann and Gretton (2016), A kernel test of goodness of
fit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pymc_sgld.diagnostics.trust.whitened import Array, Sample

SCALE, EXPONENT = 1.0, -0.5
"""The kernel is ``(SCALE ** 2 + |x - y| ** 2) ** EXPONENT``."""

MOST_DRAWS = 1000
REPLICATES = 2000
FLIP = 0.25  # probability that the sign of a weight changes from one draw to the next
_SEED = 20170703  # fixed: a report of the same run is the same report


class Discrepancy(NamedTuple):
    """The kernel Stein discrepancy, and how probable it is for exact draws."""

    size: float  # the discrepancy; positive
    p_value: float  # share of the bootstrap that is as large; not below 1 / 2001
    draws: int  # how many were used


def stein_kernel(white: Array, slope: Array) -> Array:
    r"""Return the Stein kernel of every pair of points, shape (n, n).

    .. math::

        h(x, y) = s_x^\top s_y k + s_x^\top \nabla_y k + s_y^\top \nabla_x k
            + \operatorname{tr} \nabla_x \nabla_y k, \qquad
        k(x, y) = (c^2 + |x - y|^2)^\beta .

    References
    ----------
    Gorham and Mackey (2017), equation 3.
    """
    size = white.shape[1]
    norms = np.einsum("ni,ni->n", white, white)
    apart = np.maximum(norms[:, None] + norms - 2 * white @ white.T, 0)
    base = SCALE**2 + apart
    # (x - y) (s_y - s_x)
    inner = slope @ white.T
    own = np.diag(inner)
    toward = inner + inner.T - own[:, None] - own
    first = 2 * EXPONENT * base ** (EXPONENT - 1)
    second = 4 * EXPONENT * (EXPONENT - 1) * apart * base ** (EXPONENT - 2)
    return slope @ slope.T * base**EXPONENT + first * (toward - size) - second


def kernel_discrepancy(sample: Sample) -> Discrepancy:
    r"""Test whether draws follow the posterior, by their gradients.

    The points are whitened by the mean and the covariance of the draws, and thinned until they
    are nearly independent. The reference is a wild bootstrap,
    :math:`n^{-2} \sum_{ij} w_i w_j h(x_i, x_j)`, with signs :math:`w` that flip with probability
    1/4 from one draw to the next and start anew in every chain, so that what is left of
    the autocorrelation is in the reference as well.

    References
    ----------
    Chwialkowski, Strathmann and Gretton (2016), A kernel test of goodness of fit, section 3.
    """
    chains, stretches = sample.here.shape[:2]
    effective = max(1.0, min(sample.effective, MOST_DRAWS))
    thin = max(1, int(np.ceil(chains * stretches / effective)))
    at = slice((stretches - 1) % thin, None, thin)
    white, slope = sample.here[:, at], sample.slope[:, at]
    lengths = white.shape[:2]
    kernel = stein_kernel(white.reshape(-1, sample.size), slope.reshape(-1, sample.size))
    count = len(kernel)
    total = kernel.sum()
    rng = np.random.default_rng(_SEED)
    flips = rng.random((REPLICATES, *lengths)) < FLIP
    flips[:, :, 0] = rng.random((REPLICATES, lengths[0])) < 0.5
    weights = np.where(np.cumsum(flips, axis=2) % 2, -1.0, 1.0).reshape(REPLICATES, count)
    bootstrap = np.einsum("ri,ri->r", weights @ kernel, weights)
    return Discrepancy(
        float(np.sqrt(total) / count),
        float((1 + (bootstrap >= total).sum()) / (1 + REPLICATES)),
        count,
    )
