"""Adam: no dynamics, but the way to a mode from which one starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pymc_sgld.dynamics.base import Evaluation, State, Target, Update

BETAS = 0.9, 0.999
LEAST = 1e-8  # of the root of a mean square


@dataclass(frozen=True)
class Adam(Update):
    r"""Ascent of the log density, each coordinate in units of the size of its gradients.

    .. math::

        m' &= \beta_1 m + (1 - \beta_1) \hat g(\theta), \qquad
        v' = \beta_2 v + (1 - \beta_2) \hat g(\theta)^2, \\
        \theta' &= \theta + \varepsilon\, \frac{m' / (1 - \beta_1^t)}{\sqrt{v' / (1 - \beta_2^t)}}

    with :math:`\beta_1 = 0.9` and :math:`\beta_2 = 0.999`, for update t. The state is the position,
    m, v and the number of updates before. No noise is injected.

    References
    ----------
    Kingma and Ba (2015), Adam: a method for stochastic optimization, algorithm 1.
    """

    name: ClassVar[str] = "adam"
    vectors: ClassVar[int] = 0

    def start(self, normal: Callable[[], tuple[np.ndarray, ...]], temperature: float) -> State:
        """Return moments of zero, and that there was no update."""
        size = normal()[0]
        return np.zeros_like(size), np.zeros_like(size), np.asarray(0.0)

    def update(
        self, state: State, target: Target, noise: tuple[Any, ...], step_size: Any, temperature: Any
    ) -> tuple[State, Evaluation]:
        """Return the state after one update; see the formulas above."""
        position, mean, square, count = state
        first, second = BETAS
        found = target(position)
        count = count + 1
        mean = first * mean + (1 - first) * found.gradient
        square = second * square + (1 - second) * found.gradient**2
        size = (square / (1 - second**count)) ** 0.5 + LEAST
        position = position + step_size * (mean / (1 - first**count)) / size
        return (position, mean, square, count), found
