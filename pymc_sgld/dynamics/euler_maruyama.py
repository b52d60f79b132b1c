"""The Euler–Maruyama update of stochastic gradient Langevin dynamics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pymc_sgld.dynamics.base import Evaluation, Overdamped, State, Target


@dataclass(frozen=True)
class EulerMaruyama(Overdamped):
    r"""Stochastic gradient Langevin dynamics as in the textbook.

    .. math::

        \theta' = \theta + \tfrac{\varepsilon}{2} M \hat g(\theta)
            + \sqrt{T \varepsilon}\, L z, \qquad z \sim N(0, I), \quad L L^\top = M

    with step size :math:`\varepsilon` (drift :math:`\varepsilon / 2`, noise variance
    :math:`T \varepsilon M`), preconditioner :math:`M`, temperature :math:`T` and :math:`\hat g`
    an estimate of the full-data gradient of the log posterior. :math:`T = 0` is preconditioned
    stochastic gradient ascent.

    References
    ----------
    Welling and Teh (2011), Bayesian learning via stochastic gradient Langevin dynamics,
    equation 4; with a constant preconditioner as in Girolami and Calderhead (2011), section 5.

    Examples
    --------
    >>> target = lambda position: Evaluation(-position, -position)  # a standard normal
    >>> (position,), _ = EulerMaruyama().update(
    ...     (np.array([1.0]),), target, (np.array([2.0]),), 0.25, 1.0
    ... )
    >>> position
    array([1.875])
    """

    name = "euler_maruyama"
    order = 1
    is_exact = False

    def update(
        self, state: State, target: Target, noise: tuple[Any, ...], step_size: Any, temperature: Any
    ) -> tuple[State, Evaluation]:
        """Return the position after one update; see the formula above."""
        (position,), (normal,) = state, noise
        found = target(position)
        drift = (step_size / 2) * found.preconditioned
        diffusion = (temperature * step_size) ** 0.5 * normal
        return (position + drift + diffusion,), found

    def variance(self, rates: np.ndarray, step_size: float) -> np.ndarray:
        r"""Return :math:`r \varepsilon / (1 - (1 - \varepsilon r / 2)^2)`."""
        return rates * step_size / (1 - self.memory(rates, step_size) ** 2)
