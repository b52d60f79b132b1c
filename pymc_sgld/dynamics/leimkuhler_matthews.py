"""The update of Leimkuhler and Matthews: averages of consecutive normal numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pymc_sgld.dynamics.base import Evaluation, Overdamped, State, Target


@dataclass(frozen=True)
class LeimkuhlerMatthews(Overdamped):
    r"""Stochastic gradient Langevin dynamics with averaged noise, of second order.

    .. math::

        \theta_{k+1} = \theta_k + \tfrac{\varepsilon}{2} M \hat g(\theta_k)
            + \sqrt{T \varepsilon}\, L\, \tfrac12 (z_k + z_{k+1})

    The state holds :math:`L z_k` beside the position. With a constant step size, and where the
    gradient has no noise, the variance of a Gaussian is exact, and the bias of other targets is of
    second order in :math:`\varepsilon`.

    References
    ----------
    Leimkuhler and Matthews (2013), Rational construction of stochastic numerical methods for
    molecular sampling, equation 6.

    Examples
    --------
    >>> target = lambda position: Evaluation(-position, -position)  # a standard normal
    >>> (position, last), _ = LeimkuhlerMatthews().update(
    ...     (np.array([1.0]), np.array([3.0])), target, (np.array([1.0]),), 0.25, 1.0
    ... )
    >>> position, last
    (array([1.875]), array([1.]))
    """

    name = "leimkuhler_matthews"
    order = 2

    def start(self, normal: Callable[[], tuple[np.ndarray, ...]], temperature: float) -> State:
        r"""Return :math:`L z_0`."""
        return normal()

    def update(
        self, state: State, target: Target, noise: tuple[Any, ...], step_size: Any, temperature: Any
    ) -> tuple[State, Evaluation]:
        """Return the position after one update, and its noise; see the formula above."""
        (position, last), (normal,) = state, noise
        found = target(position)
        drift = (step_size / 2) * found.preconditioned
        diffusion = (temperature * step_size) ** 0.5 * ((last + normal) / 2)
        return (position + drift + diffusion, normal), found
