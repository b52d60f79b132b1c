"""The other samplers of the family: what they change of SGLD, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any, ClassVar

from pymc.step_methods.state import dataclass_state
from pytensor.graph.basic import Variable

from pymc_sgld.arguments import number, positive
from pymc_sgld.dynamics.base import Dynamics
from pymc_sgld.dynamics.mala import MetropolisAdjusted
from pymc_sgld.dynamics.underdamped import BAOAB, Thermostat
from pymc_sgld.errors import SettingError
from pymc_sgld.setup.call import Traits
from pymc_sgld.stats import OF_SOME
from pymc_sgld.step import SGLD, SGLDState


@dataclass_state
class SGHMCState(SGLDState):
    """That of SGLD, and the friction."""

    friction: float = field(metadata={"frozen": True})


class SGHMC(SGLD):
    r"""Stochastic gradient Hamiltonian Monte Carlo: Langevin dynamics with a momentum.

    The momentum carries a chain on in the direction in which it moves, so that it takes fewer
    updates from one end of the posterior to the other. Minibatches, control variates,
    preconditioner, choice of the step size and diagnostics are those of :class:`SGLD`; the update
    is that of :class:`~pymc_sgld.dynamics.underdamped.BAOAB`, which has one gradient, too.

    Parameters
    ----------
    vars : variable or sequence of variables, optional
        Random variables to sample. By default all continuous free variables of the model.
    friction : float
        :math:`\gamma`, per unit of time: the share of the momentum that is forgotten in an update
        is :math:`1 - e^{-\gamma \varepsilon}`. Without noise, 1 is about the best for the default
        preconditioner, with which the posterior is round. A larger friction makes gradient noise
        do less harm, and the chain slower.
    step_size : float or callable, optional
        :math:`\varepsilon`, a time: the one of SGLD is its square. By default chosen.
    **settings
        Those of :class:`SGLD`, but for ``integrator``.

    Raises
    ------
    SettingError
        For an argument that cannot be used, or one that this sampler does not have.

    References
    ----------
    Chen, Fox and Guestrin (2014), Stochastic gradient Hamiltonian Monte Carlo.
    Leimkuhler and Matthews (2013), Rational construction of stochastic numerical methods for
    molecular sampling.

    Examples
    --------
    >>> import pymc as pm
    >>> from pymc_sgld import SGHMC
    >>> with pm.Model():
    ...     x = pm.Normal("x", 0, 10)
    ...     step = SGHMC(friction=2.0, compile_kwargs={"mode": "FAST_COMPILE"})
    >>> step.schedule, step.steps_per_draw
    (constant(step_size=0.548), 3)
    """

    name = "sghmc"
    _traits = Traits(lacks={"integrator": "its update is BAOAB"})
    _state_class = SGHMCState
    stats_dtypes_shapes: ClassVar[dict[str, Any]] = SGLD.stats_dtypes_shapes | {
        "friction": OF_SOME["friction"]
    }

    def __init__(
        self,
        vars: Variable | Sequence[Variable] | None = None,
        *,
        friction: float = 1.0,
        **settings: Any,
    ) -> None:
        self.friction = positive("friction", friction)
        super().__init__(vars, **settings)

    def _dynamics(self) -> Dynamics:
        return BAOAB(self.friction)

    def _more(self) -> str:
        return f", friction={self.friction}"


class SGNHT(SGHMC):
    r"""The stochastic gradient Nosé–Hoover thermostat: gradient noise of unknown size is absorbed.

    Its friction follows the kinetic energy, and takes out what the noise of minibatch gradients
    puts in. It is exact for noise that is equally large in all directions of the coordinates of
    the preconditioner, and helps where that is about so. The update is that of
    :class:`~pymc_sgld.dynamics.underdamped.Thermostat`.

    The noise of gradients is not judged: what a chain says of its bias comes from half the step
    size.

    Parameters
    ----------
    vars : variable or sequence of variables, optional
        Random variables to sample. By default all continuous free variables of the model.
    friction : float
        :math:`\gamma`, that of the injected noise, and the mean of the friction without noise.
    **settings
        Those of :class:`SGHMC`, but for ``subtract_noise``.

    Raises
    ------
    SettingError
        For an argument that cannot be used, where every update reads all rows (there is no noise
        to be absorbed), or for a schedule with ``exploration``.

    References
    ----------
    Ding, Fang, Babbush, Chen, Skeel and Neven (2014), Bayesian sampling using stochastic gradient
    thermostats.

    Examples
    --------
    >>> import numpy as np
    >>> import pymc as pm
    >>> from pymc_sgld import SGNHT
    >>> with pm.Model():
    ...     mean = pm.Normal("mean", 0, 10)
    ...     x = pm.Normal("x", mean, 1, observed=np.random.default_rng(1).normal(3, 1, 1000))
    ...     step = SGNHT(
    ...         batch_size=50, step_size=0.1, gradient="minibatch",
    ...         compile_kwargs={"mode": "FAST_COMPILE"},
    ...     )
    >>> step.integrator, step.friction
    ('thermostat', 1.0)
    """

    name = "sgnht"
    _traits = Traits(
        lacks=SGHMC._traits.lacks | {"subtract_noise": "its friction takes out the noise"},
        cannot_explore="its friction holds the temperature even where nothing is injected",
        needs_noise="SGNHT absorbs the noise of minibatch gradients, and here every update reads "
        "all rows: use SGHMC, or pass a batch_size below the number of rows.",
    )

    def _dynamics(self) -> Dynamics:
        return Thermostat(self.friction)


class MALA(SGLD):
    r"""The Metropolis-adjusted Langevin algorithm: exact, with gradients of all rows.

    An accept step removes the bias of the step size: a reference on the engine of :class:`SGLD`,
    for data that are small enough to be read at every update. The update is that of
    :class:`~pymc_sgld.dynamics.mala.MetropolisAdjusted`. A step size that is not given is tuned to
    the acceptance rate 0.574.

    Parameters
    ----------
    vars : variable or sequence of variables, optional
        Random variables to sample. By default all continuous free variables of the model.
    **settings
        Those of :class:`SGLD`, but for ``batch_size``, ``gradient``, ``batching``, ``integrator``,
        ``bias_target`` and ``subtract_noise``.

    Raises
    ------
    SettingError
        For an argument that cannot be used, or one that this sampler does not have.

    References
    ----------
    Roberts and Tweedie (1996), Exponential convergence of Langevin distributions and their discrete
    approximations.
    Roberts and Rosenthal (1998), Optimal scaling of discrete approximations to Langevin diffusions.

    Examples
    --------
    >>> import pymc as pm
    >>> from pymc_sgld import MALA
    >>> with pm.Model():
    ...     x = pm.Normal("x", 0, 10)
    ...     idata = pm.sample(
    ...         100, tune=100, step=MALA(compile_kwargs={"mode": "FAST_COMPILE"}), chains=1,
    ...         quiet=True, progressbar=False, random_seed=1, compute_convergence_checks=False,
    ...     )
    >>> bool(abs(idata.sample_stats["acceptance_rate"].mean() - 0.574) < 0.2)
    True
    """

    name = "mala"
    _traits = Traits(
        lacks=dict.fromkeys(
            ("batch_size", "gradient", "batching"), "it reads all rows at every update"
        )
        | {
            "integrator": "its update is Euler–Maruyama with an accept step",
            "bias_target": "its accept step leaves no bias",
            "subtract_noise": "its gradients have none",
        },
        reads_all_rows=True,
        cannot_explore="its accept step is for the temperature above zero",
    )
    stats_dtypes_shapes: ClassVar[dict[str, Any]] = SGLD.stats_dtypes_shapes | {
        "acceptance_rate": OF_SOME["acceptance_rate"]
    }

    def __init__(self, vars: Variable | Sequence[Variable] | None = None, **settings: Any) -> None:
        if not number("temperature", settings.get("temperature", 1.0), 0):
            raise SettingError("temperature=0 cannot be used with an accept step: use SGLD.")
        super().__init__(vars, gradient="minibatch", **settings)

    def _dynamics(self) -> Dynamics:
        return MetropolisAdjusted()
