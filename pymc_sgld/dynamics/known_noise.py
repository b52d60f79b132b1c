r"""Gradient noise that was measured: as much less is injected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pymc_sgld.dynamics.base import Dynamics
from pymc_sgld.preconditioners import Preconditioner


@dataclass(frozen=True)
class KnownNoise:
    r"""Takes gradient noise of a known covariance off the noise that updates inject.

    In the coordinates where :math:`M = L L^\top` is the identity, let gradient noise have the
    variances :math:`\nu_i` in directions :math:`u_i`, the eigenvectors of :math:`L^\top V L`. The
    normal numbers :math:`z` of an update become

    .. math::

        z + \sum_i \left( \sqrt{1 - \tfrac{w(\varepsilon)}{T} \nu_i} - 1 \right) u_i u_i^\top z ,

    with :math:`w` the variance that gradient noise of variance one adds, over that which injected
    noise makes, on a Gaussian of which :math:`M` is the covariance. What a dynamics and the order
    of the batches leave of noise is in :math:`w`: of Euler–Maruyama and independent batches it is
    :math:`\varepsilon / 4`, so that the noise

    .. math:: \eta \sim N\left(0, \varepsilon M - \tfrac{\varepsilon^2}{4} M V M\right)

    is injected at the temperature one, and to first order in :math:`\varepsilon` that of SGHMC is
    :math:`\varepsilon / 2 \gamma`: the friction of the noise becomes :math:`\gamma - \hat B` with
    :math:`\hat B = \tfrac\varepsilon2 L^\top V L`. Of a direction with more noise than is injected,
    nothing is injected.

    Parameters
    ----------
    variances : ndarray, shape (k,)
        :math:`\nu_i`.
    directions : ndarray, shape (d, k)
        :math:`u_i`.
    preconditioner : Preconditioner
        :math:`M`, the covariance of the posterior.
    dynamics : Dynamics
    accumulated : callable
        What the batches of consecutive updates leave of noise, by the memory of a direction.
    temperature : float
        :math:`T`, above zero.

    References
    ----------
    Chen, Fox and Guestrin (2014), Stochastic gradient Hamiltonian Monte Carlo, equation 13.
    """

    variances: np.ndarray
    directions: np.ndarray
    preconditioner: Preconditioner
    dynamics: Dynamics
    accumulated: Callable[[np.ndarray], np.ndarray]
    temperature: float = 1.0

    @classmethod
    def of(
        cls,
        errors: Sequence[np.ndarray],
        preconditioner: Preconditioner,
        dynamics: Dynamics,
        accumulated: Callable[[np.ndarray], np.ndarray],
        temperature: float = 1.0,
    ) -> KnownNoise:
        """Return the noise whose covariance is the mean of some sums of squares of errors.

        Parameters
        ----------
        errors : sequence of ndarray, shape (samples, d)
            Of gradients.
        preconditioner, dynamics, accumulated, temperature
            As above.
        """
        whitened = [preconditioner.whiten_gradient(half) for half in errors]
        found = np.linalg.eigh(np.mean([half.T @ half for half in whitened], axis=0))
        return cls(*found, preconditioner, dynamics, accumulated, temperature)

    def remaining(self, normals: np.ndarray, step_sizes: np.ndarray) -> np.ndarray:
        """Return normal numbers, a row for each update, less what gradients have of noise.

        Parameters
        ----------
        normals : ndarray, shape (n, d)
        step_sizes : ndarray, shape (n,)
        """
        sizes, places = np.unique(step_sizes, return_inverse=True)
        scales = np.array([np.sqrt(1 - self._shares(size)) - 1 for size in sizes.tolist()])
        along = (normals @ self.directions) * scales[places]
        return normals + along @ self.directions.T

    def taken(self, step_size: float) -> np.ndarray:
        """Return the relative variance that each coordinate has less for it, shape (d,)."""
        lengths = self.preconditioner.factor(self.directions.T) ** 2  # of unit vectors, L u
        variances = self.preconditioner.factor(np.eye(len(self.directions))) ** 2
        return self._shares(step_size) @ lengths / variances.sum(axis=0)

    def _shares(self, step_size: float) -> np.ndarray:
        """Return the share of the injected variance that each direction has less, shape (k,)."""
        if not step_size:
            return np.zeros(len(self.variances))
        one = np.ones(1)
        added = self.dynamics.gained(one, step_size, self.accumulated)[0, 0]
        weight = added / self.dynamics.variance(one, step_size)[0]
        return np.clip(weight * self.variances / self.temperature, 0, 1)
