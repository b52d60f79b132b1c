"""Dynamics: what an update is, one file for each.

``base``                what all of them have
``euler_maruyama``      the textbook update
``leimkuhler_matthews`` averaged noise, of second order
``mala``                an accept step
``underdamped``         a momentum with friction
``operators``           the same functions of arrays and of graphs
``gaussian_law``        the stationary distribution on a Gaussian, and the step size from it
"""

from pymc_sgld.dynamics.base import Dynamics
from pymc_sgld.dynamics.euler_maruyama import EulerMaruyama
from pymc_sgld.dynamics.leimkuhler_matthews import LeimkuhlerMatthews
from pymc_sgld.dynamics.mala import MetropolisAdjusted
from pymc_sgld.dynamics.underdamped import BAOAB

INTEGRATORS: dict[str, Dynamics] = {
    dynamics.name: dynamics for dynamics in (EulerMaruyama(), LeimkuhlerMatthews())
}


def dynamics_of(name: str, friction: float | None = None) -> Dynamics:
    """Return the dynamics of a run, by what it stores of it."""
    others: tuple[Dynamics, ...] = (MetropolisAdjusted(), BAOAB(friction or 1.0))
    return (INTEGRATORS | {dynamics.name: dynamics for dynamics in others})[name]
