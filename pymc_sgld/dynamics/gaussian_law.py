r"""The step size at which the variance of a Gaussian posterior is off by a tolerated factor.

With drift :math:`\tfrac\varepsilon2 M \hat g`, a posterior of precision :math:`P` and gradient
noise of covariance :math:`V` in independent batches, the stationary covariance :math:`\Sigma`
obeys

.. math::

    \Sigma = B \Sigma B^\top + Q + \tfrac{\varepsilon^2}{4} M V M,
    \qquad B = I - \tfrac{\varepsilon}{2} M P,

with :math:`Q = \varepsilon M` for Euler–Maruyama noise; the noise of Leimkuhler and Matthews makes
:math:`\Sigma = P^{-1}` exact without :math:`V`. The inflation is that of the worst direction,
:math:`\lambda_{\max}(P^{1/2} \Sigma P^{1/2})`. The batches of an epoch make up for each other, so
that reshuffling leaves less of :math:`V`: see ``accumulated`` in ``batching``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy

import numpy as np
import scipy

from pymc_sgld.batching.order import independent
from pymc_sgld.dynamics.base import Dynamics

LARGEST = 0.3  # step size, in units of the fastest direction's
_MISFIT, _LEAST = 4.0, 0.1  # how the largest step shrinks where a posterior is not like a Gaussian
_DIRECTIONS = 4  # of greatest inflation, to look at


def largest_step(fisher_divergence: float) -> float:
    """Return the largest step size for a posterior of that Fisher divergence from a Gaussian.

    On a Gaussian any step below 4 is stable. Elsewhere it has to be small where the density bends
    most, so the divergence is that in the worst coordinate: a rule of thumb, which the coupled
    chain with half the step size checks. (Two crossed factors, non-centered, have 0.85 in the
    logarithm of a scale: with steps of 0.25 its standard deviation is 13 % too small, with 0.1 not.
    Regressions have less than 0.1.)
    """
    return LARGEST * max(_LEAST, 1 / (1 + _MISFIT * fisher_divergence))


class GaussianLaw:
    """The stationary variance of a dynamics on a Gaussian, for any step size.

    Parameters
    ----------
    precision : ndarray, shape (d, d)
        Of the posterior.
    noise : ndarray, shape (2, d, d)
        Covariance of the gradient estimate, measured twice: the worst direction of one measurement
        is judged by the other, because the greatest eigenvalue of a measured matrix is too great.
    factor : ndarray, shape (d, d)
        ``L`` with ``L L' = M``, the preconditioner.
    dynamics : Dynamics
    accumulated : callable
        What becomes of gradient noise, by how much of a direction is left after an update.
    """

    def __init__(
        self,
        precision: np.ndarray,
        noise: np.ndarray,
        factor: np.ndarray,
        dynamics: Dynamics,
        accumulated: Callable[[np.ndarray], np.ndarray] = independent,
    ) -> None:
        # in the coordinates where M is the identity and the drift is diagonal
        self.rates, turn = np.linalg.eigh(factor.T @ precision @ factor)
        turned = factor @ turn
        self._turned = turned
        self._noise = np.array([turned.T @ of_half @ turned for of_half in noise])
        self._dynamics, self._accumulated = dynamics, accumulated
        self._round = bool(np.ptp(self.rates) < 1e-6)  # one rate for all: M = P^-1
        self._scale = np.sqrt(self.rates)
        self.size = size = len(self.rates)
        among = (max(0, size - _DIRECTIONS), size - 1)
        small = np.outer(self._scale, self._scale) / np.add.outer(self.rates, self.rates)
        self._worst = [
            scipy.linalg.eigh(small * of_half, subset_by_index=among)[1].T
            for of_half in self._noise
        ]

    @classmethod
    def of_one_rate(
        cls, dynamics: Dynamics, accumulated: Callable[[np.ndarray], np.ndarray]
    ) -> GaussianLaw:
        """Return the law of one direction, where the preconditioner makes all of them alike."""
        one = np.ones((1, 1))
        return cls(one, np.stack([one, one]), one, dynamics, accumulated)

    def inflation(self, step_size: float) -> float:
        """Return the relative variance inflation of the worst direction, 1 for none."""
        return self._worst_of(step_size, with_own=True)

    def covariance(self, step_size: float) -> np.ndarray:
        """Return the stationary covariance, shape (d, d), in the coordinates of the posterior."""
        exact = self._dynamics.variance(self.rates, step_size) / self.rates
        noisy = self._gained(step_size) * self._noise.mean(axis=0)
        return self._turned @ (np.diag(exact) + noisy) @ self._turned.T

    def own(self, step_size: float) -> float:
        """Return what the injected noise alone adds to the variance of the worst direction."""
        return float(self._dynamics.variance(self.rates, step_size).max()) - 1

    def _of_noise(self, step_size: float) -> float:
        """Return what gradient noise alone adds."""
        return self._worst_of(step_size, with_own=False)

    def _worst_of(self, step_size: float, with_own: bool) -> float:
        exact = self._dynamics.variance(self.rates, step_size) * with_own
        weights = np.outer(self._scale, self._scale) * self._gained(step_size)
        found = [exact.max()]
        for directions, judge in zip(self._worst, self._noise[::-1], strict=True):
            noisy = weights * judge
            found += [u**2 @ exact + u @ noisy @ u for u in directions]
        return float(max(found))

    def _gained(self, step_size: float) -> np.ndarray:
        """Return the covariance that noise of variance one adds, shape (d, d) or (1, 1)."""
        rates = self.rates[:1] if self._round else self.rates
        with np.errstate(all="ignore"):  # steps too large for a stationary distribution
            return self._dynamics.gained(rates, step_size, self._accumulated)

    def remains(self, step_size: float) -> float:
        """Return the share of gradient noise that is left, of what independent batches leave."""
        independent_batches = copy(self)
        independent_batches._accumulated = independent
        added = self._of_noise(step_size)
        return added / max(independent_batches._of_noise(step_size), 1e-300) if added else 1.0

    def step_size(self, bias_target: float, largest: float = LARGEST) -> float:
        """Return the largest step size whose inflation is ``1 + bias_target`` at most.

        Parameters
        ----------
        bias_target : float
            Tolerated relative inflation of the variance.
        largest : float
            Greatest step size, in units of the fastest direction's.
        """
        high = self._dynamics.limit(largest, float(self.rates[-1]))
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
        left = float(np.max(self._dynamics.memory(self.rates, step_size)))
        return max(1, int(np.ceil(np.log(0.2) / np.log(left))))


class WideGaussianLaw(GaussianLaw):
    """The same for very many coordinates: bounds, from the ends of the spectra.

    Gradient noise is bounded by what it would add if the direction of most noise were the one
    where batches make up for each other least.

    Parameters
    ----------
    rates : ndarray, shape (2,)
        The least and the greatest eigenvalue of ``M P``.
    noise : sequence of two ndarray, shape (samples, d)
        Errors of the gradient estimate, whose squares add up to its covariance, in the coordinates
        where M is the identity: the worst direction of one half is judged by the other.
    dynamics, accumulated
        As above.
    """

    def __init__(
        self,
        rates: np.ndarray,
        noise: Sequence[np.ndarray],
        dynamics: Dynamics,
        accumulated: Callable[[np.ndarray], np.ndarray] = independent,
    ) -> None:
        self.rates, self.size = rates, noise[0].shape[1]
        self._dynamics, self._accumulated = dynamics, accumulated
        self._squares = np.mean([(half**2).sum(axis=0) for half in noise], axis=0)
        self._strength = 0.0
        for half, judge in zip(noise, noise[::-1], strict=True):
            among = (max(0, len(half) - _DIRECTIONS), len(half) - 1)
            directions = half.T @ scipy.linalg.eigh(half @ half.T, subset_by_index=among)[1]
            directions = directions / (np.linalg.norm(directions, axis=0) + 1e-300)
            found = ((judge @ directions) ** 2).sum(axis=0)
            self._strength = max(self._strength, float(found.max()))

    def added(self, step_size: float) -> np.ndarray:
        """Return the variance that noise adds to each of these coordinates, relatively, (d,)."""
        gained = self._dynamics.gained(np.ones(1), step_size, self._accumulated)
        return gained[0, 0] * self._squares

    def _worst_of(self, step_size: float, with_own: bool) -> float:
        gained = np.diag(self._dynamics.gained(self.rates, step_size, self._accumulated))
        added = self._strength * float((self.rates * gained).max())
        return added + (1 + self.own(step_size) if with_own else 0)
