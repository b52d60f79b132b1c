"""Underdamped Langevin dynamics: a position and a momentum, by an exact splitting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pymc_sgld.dynamics.base import Dynamics, Evaluation, State, Target
from pymc_sgld.dynamics.operators import functions_for

_LEAST_APART = 1e-4  # of eigenvalues, in their distance from one: its square is the error


@dataclass(frozen=True)
class BAOAB(Dynamics):
    r"""Stochastic gradient Hamiltonian Monte Carlo with friction, by the splitting BAOAB.

    It discretises

    .. math::

        d\theta = u\, dt, \qquad
        du = M \nabla \log p(\theta)\, dt - \gamma u\, dt + \sqrt{2 \gamma T}\, L\, dW,

    whose stationary distribution is the posterior times :math:`u \sim N(0, T M)`: in the
    coordinates of the preconditioner :math:`M = L L^\top`, :math:`u` is the momentum of a unit
    mass. One update of step size :math:`\varepsilon` (a time, in which SGLD's is
    :math:`\varepsilon^2`) is, with :math:`c = e^{-\gamma \varepsilon}`,

    .. math::

        \theta_{1/2} &= \theta + \tfrac{\varepsilon}{2} u, \\
        u_{1/2} &= c\, u + \sqrt{T (1 - c^2)}\, L z, \\
        \theta' &= \theta_{1/2} + \tfrac{\varepsilon}{2} u_{1/2}, \\
        u' &= u_{1/2} + \varepsilon M \hat g(\theta').

    The two half kicks B that follow each other have the same gradient, and are one: the positions
    are those of BAOAB, for one gradient an update. With gradients of all rows the variance of a
    Gaussian is exact at any stable step (:math:`\varepsilon^2 r < 4`), and the bias of other
    targets is of second order.

    Parameters
    ----------
    friction : float
        :math:`\gamma`, per unit of time.

    References
    ----------
    Chen, Fox and Guestrin (2014), Stochastic gradient Hamiltonian Monte Carlo, equation 13.
    Leimkuhler and Matthews (2013), Rational construction of stochastic numerical methods for
    molecular sampling, the method BAOAB.
    """

    friction: float = 1.0

    name = "baoab"
    order = 2
    reads = 3

    def start(self, normal: Callable[[], tuple[np.ndarray, ...]], temperature: float) -> State:
        r"""Return a momentum, :math:`u \sim N(0, T M)`."""
        return (np.sqrt(temperature) * normal()[0],)

    def update(
        self, state: State, target: Target, noise: tuple[Any, ...], step_size: Any, temperature: Any
    ) -> tuple[State, Evaluation]:
        """Return position and momentum after one update; see the formulas above."""
        (position, momentum), (normal,) = state, noise
        kept = functions_for(step_size).exp(-self.friction * step_size)
        diffusion = (temperature * (1 - kept**2)) ** 0.5 * normal
        half = position + (step_size / 2) * momentum
        momentum = kept * momentum + diffusion
        position = half + (step_size / 2) * momentum
        found = target(position)
        return (position, momentum + step_size * found.preconditioned), found

    def coarse(self, first: np.ndarray, second: np.ndarray, step_sizes: np.ndarray) -> np.ndarray:
        r"""Return :math:`(c z_1 + z_2) / \sqrt{1 + c^2}`, with the :math:`c` of half the step."""
        kept = np.exp(-self.friction * step_sizes / 2)[:, None]
        return ((kept * first + second) / np.sqrt(1 + kept**2)).astype(first.dtype)

    def memory(self, rates: Any, step_size: Any) -> Any:
        """Return the spectral radius of the update of position and momentum."""
        return np.abs(self._eigenvalues(np.atleast_1d(rates), step_size)).max(axis=0)

    def differences(
        self, step_sizes: np.ndarray, gradients: np.ndarray, matched: bool
    ) -> np.ndarray:
        r"""Return combinations of three, in which the momentum is not: its way is not noise.

        .. math::

            \hat g_{k+1} - (1 + c) (1 - \tfrac{\varepsilon^2}{2}) \hat g_k + c\, \hat g_{k-1},

        without :math:`\varepsilon^2 / 2` where rates are not one, times what makes the variance
        twice that of the noise :math:`\xi`. That moves the position, too, so that
        :math:`\xi_{k+1} - (1 + c) \xi_k + c\, \xi_{k-1}` is left. Where the last update moves
        nothing, the last difference is all noise, and alone.
        """
        if len(step_sizes) < 3 or not step_sizes[-1]:
            return gradients[-1:] - gradients[-2:-1]
        moved = step_sizes[1:-1, None]
        kept = np.exp(-self.friction * moved)
        left = (1 + kept) * (1 - moved**2 / 2 * matched)
        found = gradients[2:] - left * gradients[1:-1] + kept * gradients[:-2]
        return found * np.sqrt(2 / (1 + (1 + kept) ** 2 + kept**2))

    def limit(self, largest: float, rate: float) -> float:
        r"""Return :math:`\varepsilon` with :math:`\varepsilon^2 r` as large."""
        return float(np.sqrt(largest / rate))

    def gained(
        self,
        rates: np.ndarray,
        step_size: float,
        accumulated: Callable[[np.ndarray], np.ndarray],
    ) -> np.ndarray:
        r"""Return the covariance of positions that gradient noise of variance one adds, (d, d).

        A kick :math:`\varepsilon` of the momentum is a position
        :math:`\sum_a w_a \lambda_a^k` after :math:`k` updates, with the eigenvalues
        :math:`\lambda_a` of the update.
        """
        values = self._eigenvalues(rates, step_size)
        middle, half = values.mean(axis=0), (values[0] - values[1]) / 2
        # at critical damping both are one: apart by what changes little, and can be divided by
        least = _LEAST_APART * np.abs(1 - middle)
        half = np.where(np.abs(half) < least, least, half)
        values, apart = np.stack([middle + half, middle - half]), 2 * half
        kept = np.exp(-self.friction * step_size)
        weight = step_size**2 * (1 + kept) / 2 / apart
        found = accumulated(np.concatenate([values[0], values[1]]))
        weights = np.concatenate([weight, -weight])
        blocks = (np.outer(weights, weights) * found).reshape(2, len(rates), 2, len(rates))
        return np.real(blocks.sum(axis=(0, 2)))

    def noise_weight(self, step_size: Any) -> Any:
        r"""Return :math:`\varepsilon / (2 \gamma)`."""
        return step_size / (2 * self.friction)

    def _eigenvalues(self, rates: np.ndarray, step_size: Any) -> np.ndarray:
        """Return the two of each direction, shape (2, d), complex."""
        kept = np.exp(-self.friction * step_size)
        trace = 1 + kept - step_size**2 * rates * (1 + kept) / 2
        root = np.sqrt((trace**2 / 4 - kept).astype(complex))
        return np.stack([trace / 2 + root, trace / 2 - root])


@dataclass(frozen=True)
class Thermostat(BAOAB):
    r"""Stochastic gradient Nosé–Hoover thermostat: a friction that follows the temperature.

    The noise of gradients heats the momentum. The friction :math:`\xi` grows as long as the mean
    kinetic energy is too large, and so takes out what the noise puts in, whose size need not be
    known:

    .. math::

        du = M \hat g(\theta)\, dt - \xi u\, dt + \sqrt{2 \gamma T}\, L\, dW, \qquad
        d\xi = \left(\tfrac1d u^\top M^{-1} u - T\right) dt .

    It is exact for noise that is equally large in all directions of the coordinates of
    :math:`M`. One update is that of :class:`BAOAB`, with two half steps of :math:`\xi` around the
    step of the friction.

    Parameters
    ----------
    friction : float
        :math:`\gamma`, that of the injected noise: where gradients have none, the mean of
        :math:`\xi`.

    References
    ----------
    Ding, Fang, Babbush, Chen, Skeel and Neven (2014), Bayesian sampling using stochastic gradient
    thermostats, algorithm 2.
    Leimkuhler and Shang (2016), Adaptive thermostats for noisy gradient systems: the splitting.
    """

    name = "thermostat"
    takes_duals = True

    def start(self, normal: Callable[[], tuple[np.ndarray, ...]], temperature: float) -> State:
        r"""Return a momentum :math:`u`, :math:`M^{-1} u`, and the friction."""
        momentum, dual = normal()
        root = np.sqrt(temperature)
        return root * momentum, root * dual, np.asarray(self.friction)

    def update(
        self, state: State, target: Target, noise: tuple[Any, ...], step_size: Any, temperature: Any
    ) -> tuple[State, Evaluation]:
        """Return position, momentum, its dual and the friction after one update."""
        (position, momentum, dual, friction), (normal, dual_normal) = state, noise
        xp = functions_for(step_size)

        def heat(momentum: Any, dual: Any) -> Any:
            return (step_size / 2) * ((momentum * dual).sum() / momentum.shape[0] - temperature)

        half = position + (step_size / 2) * momentum
        friction = friction + heat(momentum, dual)
        kept = xp.exp(-friction * step_size)
        rate = xp.where(abs(friction) < 1e-6, 1e-6, friction)
        injected = -xp.expm1(-2 * rate * step_size) / rate
        scale = (temperature * self.friction * injected) ** 0.5
        momentum = kept * momentum + scale * normal
        dual = kept * dual + scale * dual_normal
        friction = friction + heat(momentum, dual)
        position = half + (step_size / 2) * momentum
        found = target(position)
        momentum = momentum + step_size * found.preconditioned
        dual = dual + step_size * found.gradient
        return (position, momentum, dual, friction), found

    def noise_weight(self, step_size: Any) -> Any:
        """Return zero: the friction takes out what noise adds."""
        return 0 * step_size
