"""Dynamics: what an update is, one file for each.

``base``                 what all of them have
``euler_maruyama``       the textbook update
``leimkuhler_matthews``  averaged noise, of second order
``mala``                 an accept step
``underdamped``          a momentum with friction
``adam``                 no dynamics: the way to a mode
``operators``            the same functions of arrays and of graphs
``known_noise``          gradient noise that was measured: as much less is injected
``gaussian_law``         the stationary distribution on a Gaussian, and the step size from it
"""

from pymc_sgld.dynamics.base import Dynamics
from pymc_sgld.dynamics.euler_maruyama import EulerMaruyama
from pymc_sgld.dynamics.leimkuhler_matthews import LeimkuhlerMatthews

INTEGRATORS: dict[str, Dynamics] = {
    dynamics.name: dynamics for dynamics in (EulerMaruyama(), LeimkuhlerMatthews())
}
