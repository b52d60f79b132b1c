r"""The gradient noise of a chain, and the variance that it adds to the draws.

Two consecutive updates read different rows almost at the same place, so that half the square of
the difference of their gradients estimates :math:`V = \operatorname{Cov} \hat g`, and nothing has
to be evaluated for it. To first order in the step size: the noise of the first gradient moves the
place of the second. Where :math:`M` is the covariance of the posterior that move is known,
:math:`\hat g_{k+1} - (1 - \tfrac\varepsilon2) \hat g_k` is free of it; elsewhere the reading is too
great by a factor of about :math:`1 + \varepsilon \lambda / 2`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pymc_sgld.dynamics.base import Dynamics
from pymc_sgld.equality import Comparable

READ = 30  # updates of a draw, its last ones: more would take longer, and say little more


@dataclass(eq=False)
class Reading(Comparable):
    r"""Means over draws of what gradients say about the bias; all relative to the temperature.

    Attributes
    ----------
    draws : int
        How many.
    inflation : float
        Relative variance, averaged over all directions.
    threshold : float
        :math:`\alpha`.
    noise : ndarray, shape (d,)
        :math:`\tfrac\varepsilon4 (M V M)_{ii}`: what the noise adds to the variance of each
        coordinate where :math:`M` is the covariance of the posterior.
    """

    draws: int
    inflation: float
    threshold: float
    noise: np.ndarray

    @classmethod
    def none(cls, size: int) -> Reading:
        """Return the reading of no draws."""
        return cls(0, 0.0, 0.0, np.zeros(size))

    def include(self, other: Reading) -> None:
        """Average with the reading of other draws."""
        self.draws += other.draws
        share = other.draws / self.draws
        self.inflation += (other.inflation - self.inflation) * share
        self.threshold += (other.threshold - self.threshold) * share
        with np.errstate(over="ignore", invalid="ignore"):
            self.noise = self.noise + (other.noise - self.noise) * share


@dataclass(eq=False)
class NoiseMonitor(Comparable):
    r"""Reads the gradients of the updates of a draw.

    Parameters
    ----------
    dynamics : Dynamics
        Where it is not exact on a Gaussian, the gradients show its own bias, too.
    temperature : float
        :math:`T`.
    share : float
        By which differences of consecutive gradients overstate :math:`V`: 1 for independent
        batches, :math:`1 / (1 + n/N)` for those of epochs, which make up for each other, 0 where
        every update reads all rows.
    matched : bool
        Whether ``M`` is the covariance of the posterior.

    Notes
    -----
    Welling and Teh's threshold is that of the direction of most noise, which power iteration finds
    while the chain runs: before a draw changes the direction it is read along it.
    """

    dynamics: Dynamics
    temperature: float
    share: float
    matched: bool
    direction: np.ndarray = field(default_factory=lambda: np.zeros(0))
    dual: np.ndarray = field(default_factory=lambda: np.zeros(0))  # M^-1 direction
    _seen: int = 0
    _strength: float = 0.0

    def read(
        self, step_sizes: np.ndarray, gradients: np.ndarray, multiplied: np.ndarray
    ) -> Reading:
        r"""Return the reading of one draw.

        .. math::

            \text{inflation} = 1 + \tfrac{\varepsilon}{4 d T} \operatorname{tr} M E \hat g \hat g^T
            \quad\text{(Euler–Maruyama)},\qquad
            1 + \tfrac{\varepsilon}{4 d T} \operatorname{tr} M V
            \quad\text{(a dynamics that is exact on a Gaussian)},

        .. math::

            \alpha = \tfrac{\varepsilon}{4} \lambda_{\max}(M^{1/2} V M^{1/2}) .

        Parameters
        ----------
        step_sizes : ndarray, shape (k,)
            Of at least two updates, of which the last ``READ`` are read; the last may be one that
            moves nothing, of size 0.
        gradients, multiplied : ndarray, shape (k, d)
            :math:`\hat g` and :math:`M \hat g`.

        References
        ----------
        Welling and Teh (2011), section 4.
        """
        if not self.temperature:
            return Reading(1, np.nan, np.nan, np.full(gradients.shape[1], np.nan))
        step_sizes = step_sizes[-READ:]
        gradients, multiplied = gradients[-READ:], multiplied[-READ:]
        moving, size = step_sizes[:-1], gradients.shape[1]
        with np.errstate(over="ignore", invalid="ignore"):  # on its way to infinity
            apart, moved = (
                self.dynamics.differences(step_sizes, each, self.matched)
                for each in (gradients, multiplied)
            )
            weights = self.dynamics.noise_weight(moving[-len(apart) :])
            weights = weights * (self.share / (2 * self.temperature * len(apart)))
            if self.dynamics.is_exact:
                added = (weights @ (apart * moved)).sum() / size
            else:
                squares = (step_sizes @ (gradients * multiplied)).sum()
                added = squares / (4 * self.temperature * np.count_nonzero(step_sizes) * size)
            alpha = weights.sum() * self.temperature * self._follow(apart, moved)
            return Reading(1, 1 + float(added), float(alpha), weights @ (moved * moved))

    def _follow(self, apart: np.ndarray, moved: np.ndarray) -> float:
        """Return the noise along the direction of most noise, then turn it by what is new."""
        if not self.share:
            return 0.0
        if not self._seen:
            strongest = np.linalg.eigh(apart @ moved.T)[1][:, -1]
            self.direction, self.dual = moved.T @ strongest, apart.T @ strongest
        norm = self.direction @ self.dual
        if not norm > 0:
            return 0.0
        along = apart @ self.direction
        found = float(along @ along / len(along) / norm)
        self._seen += 1
        rate = max(1 / self._seen, 0.01)
        self._strength += (found - self._strength) * rate
        if self._strength > 0:
            turned = along * (rate / (len(along) * self._strength))
            self.direction = self.direction + turned @ moved
            self.dual = self.dual + turned @ apart
            scale = np.sqrt(self.direction @ self.dual)
            self.direction, self.dual = self.direction / scale, self.dual / scale
        return found
