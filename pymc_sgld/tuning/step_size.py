r"""The step size at which the variance of a Gaussian posterior is off by a tolerated factor.

With drift :math:`\tfrac\varepsilon2 M \hat g`, a posterior of precision :math:`P` and gradient
noise of covariance :math:`V` in independent batches, the stationary covariance :math:`\Sigma`
obeys

.. math::

    \Sigma = B \Sigma B^\top + Q + \tfrac{\varepsilon^2}{4} M V M,
    \qquad B = I - \tfrac{\varepsilon}{2} M P,

with :math:`Q = \varepsilon M` for Euler–Maruyama noise; the noise of Leimkuhler and Matthews makes
:math:`\Sigma = P^{-1}` exact without :math:`V`. The inflation is that of the worst direction,
:math:`\lambda_{\max}(P^{1/2} \Sigma P^{1/2})`. Batches by reshuffling have less.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_POSITIONS, _BATCHES = 32, 64  # of the measurement of the gradient noise
# beyond this step, in units of the fastest direction's, the posterior is no longer like a Gaussian
LARGEST = 0.3


def noise_covariance(
    gradients: Callable[[np.ndarray, int], np.ndarray],
    mean: np.ndarray,
    whitener: np.ndarray,
    seed: int = 0,
) -> np.ndarray:
    """Return the covariance of a gradient estimate, averaged over a Gaussian of positions.

    Parameters
    ----------
    gradients : callable
        Returns estimates from a number of batches at a position, shape (batches, d).
    mean : ndarray, shape (d,)
        Of the positions.
    whitener : ndarray, shape (d, d)
        A factor of their covariance.
    seed : int
        Of the positions.
    """
    rng = np.random.default_rng(seed)
    covariance = np.zeros((len(mean), len(mean)))
    for _ in range(_POSITIONS):
        estimates = gradients(mean + whitener @ rng.standard_normal(len(mean)), _BATCHES)
        covariance += np.cov(estimates.T).reshape(covariance.shape) / _POSITIONS
    return covariance


class Prediction:
    """The stationary variance of SGLD on a Gaussian, for any step size.

    Parameters
    ----------
    precision : ndarray, shape (d, d)
        Of the posterior.
    noise : ndarray, shape (d, d)
        Covariance of the gradient estimate.
    factor : ndarray, shape (d, d)
        ``L`` with ``L L' = M``, the preconditioner.
    averaged : bool
        Whether the noise is that of Leimkuhler and Matthews.
    """

    def __init__(
        self, precision: np.ndarray, noise: np.ndarray, factor: np.ndarray, averaged: bool
    ) -> None:
        # in the coordinates where M is the identity and the drift is diagonal
        self.rates, turn = np.linalg.eigh(factor.T @ precision @ factor)
        self._noise = turn.T @ (factor.T @ noise @ factor) @ turn
        self._averaged = averaged

    def inflation(self, step_size: float) -> float:
        """Return the relative variance inflation of the worst direction, 1 for none."""
        left = 1 - step_size * self.rates / 2
        share = 1 - np.outer(left, left)
        covariance = step_size**2 / 4 * self._noise / share
        if self._averaged:
            covariance = covariance + np.diag(1 / self.rates)
        else:
            covariance = covariance + np.diag(step_size / np.diag(share))
        scale = np.sqrt(self.rates)
        return float(np.linalg.eigvalsh(scale[:, None] * covariance * scale)[-1])

    def step_size(self, bias_target: float) -> float:
        """Return the largest step size whose inflation is ``1 + bias_target`` at most."""
        high = LARGEST / float(self.rates[-1])
        if self.inflation(high) <= 1 + bias_target:
            return high
        low = high * 1e-9
        for _ in range(40):
            middle = np.sqrt(low * high)
            if self.inflation(middle) <= 1 + bias_target:
                low = middle
            else:
                high = middle
        return float(low)

    def updates_apart(self, step_size: float) -> int:
        """Return after how many updates the slowest direction has forgotten all but a fifth."""
        slowest = float(self.rates[0])
        return max(1, int(np.ceil(np.log(0.2) / np.log1p(-step_size * slowest / 2))))
