r"""Stein's identities at the draws of a run: what holds of a posterior only.

For draws of mean :math:`m` and covariance :math:`\Sigma` that follow the posterior, whose gradient
is :math:`g = \nabla \log p`,

.. math::

    E\,g = 0, \qquad E (\theta - m) g^\top = -I .

The first holds at any stationary SGLD of constant step, whatever its bias. The second does not.
Without the centering, the scalar :math:`-E\,\theta^\top g = d` would mix the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pymc_sgld.diagnostics.trust.whitened import Array, Sample, error_of_mean


class Identities(NamedTuple):
    """What the identities read along each coordinate, with Monte-Carlo standard errors."""

    # shape (d,): 0 for a posterior; the shift of a Gaussian's mean, in sds of the draws
    first: Array
    first_error: Array
    # shape (d,): 1 for a posterior
    second: Array
    second_error: Array


class Direction(NamedTuple):
    """The direction in which the second identity is farthest from 1."""

    # what it reads along that direction: the relative variance of a Gaussian
    inflation: float
    error: float
    loadings: Array  # shape (d,): correlation of the direction with each coordinate of the draws


def identities(sample: Sample) -> Identities:
    r"""Read both identities along each coordinate.

    With :math:`y = \theta - m` and :math:`\Sigma` the covariance of the draws,

    .. math::

        \mathrm{first}_j = -E \frac{(\Sigma g)_j}{\sqrt{\Sigma_{jj}}}, \qquad
        \mathrm{second}_j = -E \frac{y_j (\Sigma g)_j}{\Sigma_{jj}} .

    That :math:`m` and :math:`\Sigma` are estimates has no effect of first order where the
    identities hold. Where there are too few gradients for :math:`\Sigma`, its diagonal is used.

    Examples
    --------
    >>> import numpy as np
    >>> draws = np.random.default_rng(1).normal(size=(4, 500, 1))
    >>> wide = Sample(2 * draws, -2 * draws, every=1)  # of a standard normal
    >>> print(f"{identities(wide).second[0]:.0f}")  # 2 ** 2, up to Monte-Carlo error
    4
    """
    along = sample.slope @ sample.directions.T
    away = sample.here @ sample.directions.T
    shifts, products = -along, -away * along
    each = range(sample.size)
    return Identities(
        shifts.mean(axis=(0, 1)),
        np.array([error_of_mean(shifts[:, :, j]) for j in each]),
        products.mean(axis=(0, 1)),
        np.array([error_of_mean(products[:, :, j]) for j in each]),
    )


def worst_direction(sample: Sample) -> Direction:
    r"""Find the direction in which the second identity is worst, without the bias of a maximum.

    The greatest eigenvalue of a measured matrix is too great. So the direction that one half of
    the chains finds worst is judged by the other half, and the other way round. A single chain is
    cut in two.
    """
    found = cross_judged(_worst, _judge, sample.here, sample.slope)
    return Direction(*found, sample.directions @ _worst(sample.here, sample.slope))


def cross_judged(
    find: Callable[..., Array], judge: Callable[..., tuple[float, float]], *draws: Array
) -> tuple[float, float]:
    """Return what is read along the worst direction, and the error.

    The direction that one half of the chains finds is judged by the other half, and the other way
    round: ``find(*half)`` and ``judge(direction, *half)``.
    """
    one, other = zip(*map(_halves, draws), strict=True)
    first, error = judge(find(*one), *other)
    second, other_error = judge(find(*other), *one)
    return (first + second) / 2, float(np.hypot(error, other_error)) / 2


def _halves(draws: Array) -> tuple[Array, Array]:
    """Return half of the chains each, or half of a single one, of shape (chains, draws, d)."""
    if len(draws) == 1:
        draws = draws[0, : draws.shape[1] // 2 * 2].reshape(2, -1, draws.shape[-1])
    middle = len(draws) // 2
    return draws[:middle], draws[middle:]


def _worst(white: Array, slope: Array) -> Array:
    """Return the eigenvector of the second identity farthest from 1."""
    z, s = (each.reshape(-1, white.shape[-1]) for each in (white, slope))
    second = -(z - z.mean(axis=0)).T @ s / len(z)
    values, vectors = np.linalg.eigh((second + second.T) / 2)
    return vectors[:, int(np.argmax(np.abs(values - 1)))]


def _judge(direction: Array, white: Array, slope: Array) -> tuple[float, float]:
    """Return what the second identity reads along a direction, and the error."""
    series = -(white @ direction) * (slope @ direction)
    return float(series.mean()), error_of_mean(series)
