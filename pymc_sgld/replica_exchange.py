"""Replica exchange: chains at several temperatures that swap their positions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from pymc.step_methods.state import dataclass_state
from pytensor.graph.basic import Variable

from pymc_sgld.arguments import number
from pymc_sgld.chain.state import Chain, Draw
from pymc_sgld.dynamics.base import Dynamics
from pymc_sgld.dynamics.euler_maruyama import EulerMaruyama
from pymc_sgld.equality import Comparable
from pymc_sgld.errors import SettingError
from pymc_sgld.setup.call import Traits
from pymc_sgld.stats import OF_SOME
from pymc_sgld.step import SGLD, SGLDState
from pymc_sgld.storage.encoding import register

BATCHES = 16  # that a swap reads, or all of an epoch if it has fewer


@register
@dataclass(eq=False)
class Replica(Comparable):
    """A chain at a higher temperature, and where it is: None before it starts."""

    chain: Chain
    position: np.ndarray | None = None


@dataclass_state
class ReplicaExchangeState(SGLDState):
    """That of SGLD, and the chains at the other temperatures."""

    replicas: list[Replica]
    temperatures: tuple[float, ...] = field(metadata={"frozen": True})


class ReplicaExchange(SGLD):
    r"""Replica exchange stochastic gradient Langevin dynamics.

    Chains at the temperatures :math:`1 = T_1 < \dots < T_R` make the updates of :class:`SGLD` side
    by side. The hot ones cross from mode to mode. After the updates of a draw, neighbours are
    proposed to swap their positions, and the draws of the chain at the temperature one are kept.
    With an estimate :math:`\hat D` of :math:`\log p(\theta_{k+1}) - \log p(\theta_k)`, of variance
    :math:`\hat\sigma^2`, a swap is accepted with the probability

    .. math::

        \min\left(1, e^{\tau \hat D - \tau^2 \hat\sigma^2 / 2}\right), \qquad
        \tau = \frac{1}{T_k} - \frac{1}{T_{k+1}} .

    Both densities are estimated by the same 16 batches, or by all batches of an epoch where they
    are fewer, which leaves no error where the batch size divides the number of rows; the batches
    tell the variance. The second term corrects the bias of the first, exactly for a Gaussian error
    of known variance. Errors make swaps rare: with :math:`\tau \hat\sigma` much above one there are
    none, and the remedy is a larger ``batch_size``.

    The step size is that of all temperatures. Half the step size is not compared: chains that swap
    do not stay close.

    Parameters
    ----------
    vars : variable or sequence of variables, optional
        Random variables to sample. By default all continuous free variables of the model.
    temperatures : sequence of float
        :math:`T_k`: from 1 upwards. The highest is to cross between modes, which takes about the
        difference of log density that has to be crossed, and neighbours must be near enough to
        swap: see the stat ``swap_rate``.
    **settings
        Those of :class:`SGLD`, but for ``temperature``, ``integrator``, ``subtract_noise`` and
        ``data``.

    Raises
    ------
    SettingError
        For an argument that cannot be used, or one that this sampler does not have.

    Notes
    -----
    Stats of its own are ``swap_rate``, the mean probability of the swaps that were proposed after a
    draw, and ``swapped``, whether the draw came from the next higher temperature. Of more than two
    chains, the even pairs and the odd ones take turns.

    References
    ----------
    Deng, Feng, Gao, Liang and Lin (2020), Non-convex learning via replica exchange stochastic
    gradient MCMC, equation 7 and algorithm 1. Ceperley and Dewing (1999), The penalty method for
    random walks with uncertain energies, equation 12.

    Examples
    --------
    >>> import pymc as pm
    >>> from pymc_sgld import ReplicaExchange
    >>> with pm.Model():
    ...     x = pm.NormalMixture("x", w=[0.3, 0.7], mu=[-5, 5], sigma=1)
    ...     step = ReplicaExchange(
    ...         temperatures=(1, 4, 16), step_size=0.2, preconditioner="identity",
    ...         gradient="minibatch", compile_kwargs={"mode": "FAST_COMPILE"},
    ...     )
    >>> step.temperatures
    (1.0, 4.0, 16.0)
    """

    name = "replica_exchange"
    _traits = Traits(
        lacks={
            "temperature": "it has temperatures",
            "integrator": "its update is Euler–Maruyama",
            "subtract_noise": "each temperature would have another amount of noise to subtract",
            "data": "its swaps read random rows, and sources read them in order only",
        },
        couples=False,
        cannot_explore="swaps are for temperatures above zero",
    )
    _state_class = ReplicaExchangeState
    stats_dtypes_shapes: ClassVar[dict[str, Any]] = SGLD.stats_dtypes_shapes | {
        name: OF_SOME[name] for name in ("swap_rate", "swapped")
    }

    def __init__(
        self,
        vars: Variable | Sequence[Variable] | None = None,
        *,
        temperatures: Sequence[float] = (1.0, 2.0, 4.0, 8.0),
        **settings: Any,
    ) -> None:
        given = temperatures if isinstance(temperatures, Iterable) else ()
        self.temperatures = tuple(number("temperatures", each, 0) for each in given)
        steps = np.diff(self.temperatures)
        if len(steps) < 1 or self.temperatures[0] != 1 or not (steps > 0).all():
            raise SettingError(
                f"temperatures={temperatures!r} must be two numbers or more, each above the one "
                "before, and the first 1: its draws are kept."
            )
        super().__init__(vars, **settings)
        self._hot = [
            replace(self._transition, run=self._transition.run.at(each), temperature=each)
            for each in self.temperatures[1:]
        ]
        self._start_hot(0, 0)

    def _start(self, tune: int, draws: int) -> None:
        """Start new chains, one at each temperature."""
        super()._start(tune, draws)
        self._start_hot(tune, draws)

    def _start_hot(self, tune: int, draws: int) -> None:
        self.replicas = [Replica(hot.start(self.rng, tune, draws)) for hot in self._hot]

    def _extend(self, draws: int, positions: np.ndarray) -> None:
        super()._extend(draws, positions)
        for replica in self.replicas:
            replica.chain.draws = draws

    def _dynamics(self) -> Dynamics:
        return EulerMaruyama()

    def _draw(
        self,
        position: np.ndarray,
        others: list[np.ndarray],
        parameters: Callable[[np.ndarray], np.ndarray],
    ) -> Draw:
        """Run the updates of all chains, then swap."""
        first = self.chain.draw % 2 if len(self._hot) > 1 else 0
        draw = super()._draw(position, others, parameters)
        places = [draw.position]
        for hot, replica in zip(self._hot, self.replicas, strict=True):
            at, before = replica.position, replica.chain.batches
            start = position if at is None else at
            found = hot.draw(replica.chain, self.rng, start, others, parameters)
            self.chain.batches += replica.chain.batches - before
            places.append(found.position)
        densities, share = self._log_densities(places, others)
        rates, swapped = [], False
        for cold in range(first, len(self._hot), 2):
            tau = 1 / self.temperatures[cold] - 1 / self.temperatures[cold + 1]
            rate = swap_probability(densities[cold + 1] - densities[cold], tau, share)
            rates.append(rate)
            if self.rng.random() < rate:
                places[cold : cold + 2] = places[cold : cold + 2][::-1]
                swapped |= cold == 0
        for replica, place in zip(self.replicas, places[1:], strict=True):
            replica.position = place
        stats = {"swap_rate": float(np.mean(rates)), "swapped": int(swapped)}
        return draw._replace(position=places[0], stats=draw.stats | stats)

    def _log_densities(
        self, positions: Sequence[np.ndarray], others: list[np.ndarray]
    ) -> tuple[np.ndarray, float]:
        """Return what batches say of each position, shape (positions, batches).

        And which share of their variance is that of their mean.
        """
        run, longest = self._transition.run, self._transition.run.longest
        epoch = longest.total_size / longest.batch_size if longest else 1.0
        batches = min(BATCHES, int(epoch))
        reads = run.reads(self.rng, int(self.rng.integers(2**62)), 0, batches)
        found = [
            [run.log_density(at, [of[j : j + 1] for of in reads], others) for j in range(batches)]
            for at in positions
        ]
        self.chain.batches += batches * len(positions)
        left = 1 - batches / epoch if self.batching == "reshuffle" else 1.0
        return np.array(found), left / batches

    def _more(self) -> str:
        return f", temperatures={self.temperatures}"


def swap_probability(differences: np.ndarray, tau: float, share: float) -> float:
    """Return the probability of a swap; see the formula of :class:`ReplicaExchange`.

    Parameters
    ----------
    differences : ndarray, shape (batches,)
        Estimates of the log density of the hot position less that of the cold one.
    tau : float
        The difference of the inverse temperatures.
    share : float
        The variance of their mean over that of one of them.
    """
    with np.errstate(all="ignore"):
        variance = share * differences.var(ddof=1) if share and len(differences) > 1 else 0.0
        exponent = tau * differences.mean() - tau**2 * variance / 2
    return 0.0 if np.isnan(exponent) else float(np.exp(min(0.0, exponent)))
