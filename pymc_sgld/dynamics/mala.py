"""The Metropolis-adjusted Langevin algorithm: Euler–Maruyama with an accept step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt

from pymc_sgld.dynamics.base import Evaluation, Overdamped, State, Target
from pymc_sgld.dynamics.operators import functions_for


@dataclass(frozen=True)
class MetropolisAdjusted(Overdamped):
    r"""Langevin dynamics that is exact: each update is a proposal.

    .. math::

        \theta^* = \theta + \tfrac{\varepsilon}{2} M g(\theta) + \sqrt{T \varepsilon}\, L z

    takes the place of :math:`\theta` with the probability :math:`\min(1, e^a)`. With
    :math:`s = g(\theta) + g(\theta^*)` the logarithm of the Metropolis–Hastings ratio is

    .. math::

        a = \frac{\log p(\theta^*) - \log p(\theta)}{T}
            - \frac12 \sqrt{\frac{\varepsilon}{T}}\, s^\top L z
            - \frac{\varepsilon}{8 T}\, s^\top M s .

    It needs the gradient and the density of all rows. The proposal is one leapfrog step of
    Hamiltonian Monte Carlo with the step :math:`\sqrt\varepsilon` and a new momentum, and
    :math:`a` is minus its change of energy. On smooth targets :math:`1 -` acceptance is
    proportional to :math:`\varepsilon^{3/2}` for small steps.

    The state holds, beside the position, :math:`g`, :math:`M g`, :math:`\log p`, and the sum of
    acceptance probabilities since the state was refreshed.

    References
    ----------
    Besag (1994), discussion of Grenander and Miller. Roberts and Tweedie (1996), Exponential
    convergence of Langevin distributions and their discrete approximations. Roberts and Rosenthal
    (1998), Optimal scaling of discrete approximations to Langevin diffusions: the acceptance rate
    of 0.574.
    """

    name = "mala"
    order = 2
    scalars = 1
    acceptance = 0.574

    def start(self, normal: Callable[[], tuple[np.ndarray, ...]], temperature: float) -> State:
        """Return zeros: a state is refreshed before it moves."""
        nothing = 0 * normal()[0]
        return nothing, nothing, np.zeros(()), np.zeros(())

    def stats(self, extra: State, updates: int) -> dict[str, float]:
        """Return the mean of the acceptance probabilities."""
        return {"acceptance_rate": float(extra[-1]) / updates}

    def refresh(self, state: State, target: Target) -> State:
        """Return the state with gradients and density at its position."""
        found = target(state[0])
        return state[0], *found, target.log_density(state[0]), 0 * state[4]

    def update(
        self, state: State, target: Target, noise: tuple[Any, ...], step_size: Any, temperature: Any
    ) -> tuple[State, Evaluation]:
        """Return the state after a proposal, accepted or not; see the formulas above."""
        position, gradient, preconditioned, density, accepted = state
        normal, chance = noise
        xp = functions_for(step_size, position)
        diffusion = (temperature * step_size) ** 0.5 * normal
        proposal = position + (step_size / 2) * preconditioned + diffusion
        found, proposed_density = target(proposal), target.log_density(proposal)
        both = gradient + found.gradient
        of_both = preconditioned + found.preconditioned
        ratio = (
            (proposed_density - density)
            - (both * diffusion).sum(axis=0) / 2
            - (step_size / 8) * (both * of_both).sum(axis=0)
        ) / temperature
        probability = xp.exp(xp.minimum(xp.where(xp.isnan(ratio), -np.inf, ratio), 0))
        takes = uniform(chance) < probability
        moved = [
            xp.where(takes, new, old)
            for new, old in (
                (proposal, position),
                (found.gradient, gradient),
                (found.preconditioned, preconditioned),
                (proposed_density, density),
            )
        ]
        return (*moved, accepted + probability), Evaluation(moved[1], moved[2])


def uniform(normal: Any) -> Any:
    """Return the uniform number of a standard normal one: its distribution function."""
    if functions_for(normal) is pt:
        return pt.erfc(-normal / np.sqrt(2)) / 2
    from scipy.special import ndtr

    return ndtr(normal)
