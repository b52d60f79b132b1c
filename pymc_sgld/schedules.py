"""Step size schedules: callables from the count of updates to the step size.

A schedule is called with an integer array of shape (k,), the updates since the start of the chain
(tuning included, the first is 0), and returns the step sizes of these updates, shape (k,). Any
such callable will do; the classes here add a ``repr`` and checked arguments.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pymc_sgld.errors import SettingError

Schedule = Callable[[np.ndarray], np.ndarray]

LARGEST = 1e30  # step size: its square still is a number

__all__ = ["constant", "cyclical", "polynomial"]


def _positive(owner: str, **values: Any) -> None:
    for name, value in values.items():
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            raise SettingError(f"{owner}: {name} must be a number, got {value!r}.")
        if not 0 < float(value) < np.inf:
            raise SettingError(f"{owner}: {name} must be finite and positive, got {value!r}.")


@dataclass(frozen=True)
class constant:
    r"""The same step size :math:`\varepsilon` at every update.

    Parameters
    ----------
    step_size : float
        :math:`\varepsilon`: the drift is :math:`\varepsilon / 2`, the noise variance
        :math:`\varepsilon`.

    Examples
    --------
    >>> import numpy as np
    >>> constant(0.1)(np.arange(3))
    array([0.1, 0.1, 0.1])
    """

    step_size: float

    def __post_init__(self) -> None:
        _positive("schedules.constant", step_size=self.step_size)
        if not 1 / LARGEST <= self.step_size <= LARGEST:
            raise SettingError(
                f"schedules.constant: step_size must be between {1 / LARGEST:.0e} and "
                f"{LARGEST:.0e}, got {self.step_size!r}: no model has scales so far from one. "
                "Leave it out to have it chosen."
            )

    def __call__(self, count: np.ndarray) -> np.ndarray:
        """Return the step sizes of the updates ``count``, shape (k,)."""
        return np.full(np.shape(count), float(self.step_size))


@dataclass(frozen=True)
class polynomial:
    r"""The Robbins–Monro schedule :math:`\varepsilon_t = a (b + t)^{-\gamma}`.

    :math:`\sum \varepsilon_t = \infty` and :math:`\sum \varepsilon_t^2 < \infty` for
    :math:`\gamma \in (1/2, 1]`; any :math:`\gamma \in (0, 1]` is accepted, since
    :math:`\gamma = 1/3` minimises the mean squared error of posterior averages.

    Parameters
    ----------
    a : float
        Scale, positive. The first step size is ``a * b**-gamma``.
    b : float
        Offset in updates, positive.
    gamma : float
        Decay, in (0, 1].

    References
    ----------
    Welling and Teh (2011), section 4; Teh, Thiery and Vollmer (2016), Consistency and fluctuations
    for stochastic gradient Langevin dynamics, section 5.

    Examples
    --------
    >>> import numpy as np
    >>> polynomial(a=0.1, b=1.0, gamma=0.5)(np.array([0, 3, 99]))
    array([0.1 , 0.05, 0.01])
    """

    a: float
    b: float
    gamma: float

    def __post_init__(self) -> None:
        _positive("schedules.polynomial", a=self.a, b=self.b, gamma=self.gamma)
        if self.gamma > 1:
            raise SettingError(
                f"schedules.polynomial: gamma={self.gamma!r} is above 1, so the step sizes have a "
                "finite sum and the chain stops short of the posterior. Use 0 < gamma <= 1."
            )

    def __call__(self, count: np.ndarray) -> np.ndarray:
        """Return the step sizes of the updates ``count``, shape (k,)."""
        return self.a * (float(self.b) + np.asarray(count)) ** -float(self.gamma)


@dataclass(frozen=True)
class cyclical:
    r"""The cosine schedule with warm restarts.

    .. math:: \varepsilon_t = \tfrac{\varepsilon_0}{2}
        \left[1 + \cos\left(\pi\, (t \bmod P) / P\right)\right]

    Each cycle starts with large steps that look for a mode and ends with small ones that sample it.
    In the first part of a cycle, ``exploration``, no noise is injected: the temperature is zero.
    The stats ``cycle`` and ``cycle_position`` of every draw say where its last update stood, and
    ``explores`` whether it is one of that part, of which
    :func:`~pymc_sgld.thin_by_step_size` keeps none.

    Parameters
    ----------
    step_size : float
        :math:`\varepsilon_0`, the largest step size, taken at the start of a cycle.
    period : int
        :math:`P`, updates in a cycle.
    exploration : float
        Share of a cycle without noise, below 1. Only for SGLD and SGHMC.

    References
    ----------
    Zhang, Li, Zhang, Chen and Wilson (2020), Cyclical stochastic gradient MCMC for Bayesian deep
    learning, equation 1 and algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> cyclical(step_size=0.2, period=2)(np.arange(5)).round(3)
    array([0.2, 0.1, 0.2, 0.1, 0.2])
    """

    step_size: float
    period: int
    exploration: float = 0.0

    def __post_init__(self) -> None:
        _positive("schedules.cyclical", step_size=self.step_size, period=self.period)
        share = self.exploration
        if not (isinstance(share, numbers.Real) and 0 <= share < 1):
            raise SettingError(
                "schedules.cyclical: exploration is a share of a cycle, at least 0 and below 1, "
                f"got {share!r}. Leave it out for cycles that only sample."
            )
        if not isinstance(self.period, numbers.Integral):
            raise SettingError(
                "schedules.cyclical: period must be a whole number of updates, got "
                f"{self.period!r}. Pass 1000, for instance."
            )

    def __call__(self, count: np.ndarray) -> np.ndarray:
        """Return the step sizes of the updates ``count``, shape (k,)."""
        _, phase = self.cycle(count)
        return self.step_size * np.cos(np.pi / 2 * phase) ** 2  # the same, and never rounded to 0

    def cycle(self, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the cycles of the updates ``count``, from 0, and the positions, in [0, 1)."""
        cycle, update = np.divmod(np.asarray(count), self.period)
        return cycle, update / self.period


def explores(schedule: Schedule, first: int, updates: int) -> np.ndarray | None:
    """Return which updates explore, shape (k,): None where a schedule has no such part."""
    share = getattr(schedule, "exploration", 0.0)
    if not share:
        return None
    count = np.arange(first, first + updates)
    _, position = schedule.cycle(count)  # type: ignore[attr-defined]
    return position < share


def cycle_of(schedule: Schedule, update: int) -> tuple[int, float]:
    """Return the cycle of an update and its position in it: -1 and 0 where there are no cycles.

    A schedule has cycles if it has a method ``cycle`` as that of `cyclical`.
    """
    if not hasattr(schedule, "cycle"):
        return -1, 0.0
    cycle, position = schedule.cycle(np.array([update]))
    return int(cycle[0]), float(position[0])


def make_schedule(step_size: Any) -> Schedule:
    """Check what the user gave as ``step_size``: a positive number, or a schedule.

    Raises
    ------
    SettingError
        For a number that is not finite and positive, or a callable that returns nonsense for its
        first updates.
    """
    if callable(step_size):
        if isinstance(step_size, type):
            raise SettingError(
                f"step_size is the class {step_size.__name__}, not a schedule: call it with its "
                "arguments first, as in schedules.constant(1e-4)."
            )
        evaluate(step_size, np.arange(3))
        return step_size
    if isinstance(step_size, np.ndarray) and step_size.ndim == 0:
        step_size = step_size.item()
    is_number = isinstance(step_size, numbers.Real) and not isinstance(step_size, bool)
    if not (is_number and 0 < float(step_size) < np.inf):
        raise SettingError(
            f"step_size={step_size!r} must be a finite number above zero, or a schedule such as "
            "pymc_sgld.schedules.polynomial. Leave it out to have it chosen."
        )
    return constant(step_size)


def check_horizon(schedule: Schedule, updates: int) -> None:
    """Evaluate a schedule for all updates of a chain, so that it cannot fail half-way."""
    if isinstance(schedule, constant):
        return
    for first in range(0, updates, 65536):
        evaluate(schedule, np.arange(first, min(first + 65536, updates)))


def evaluate(schedule: Schedule, count: np.ndarray) -> np.ndarray:
    """Call a schedule and check what it returns: finite positive numbers of shape (k,)."""
    if isinstance(schedule, constant):  # was checked when it was made
        return schedule(count)
    try:
        returned = np.asarray(schedule(count))
        if returned.dtype.kind not in "iuf":
            raise TypeError(f"it returned {returned.dtype} values")
        step_sizes = returned.astype(float)
    except Exception as error:  # whatever the user's code raises
        raise SettingError(
            f"step_size: the schedule {schedule!r} failed for the updates {count[0]} to "
            f"{count[-1]}: {error}. It is called with an integer array of shape (k,) and must "
            "return step sizes of the same shape."
        ) from error
    if step_sizes.shape != count.shape:
        raise SettingError(
            f"step_size: the schedule {schedule!r} returned shape {step_sizes.shape} for updates "
            f"of shape {count.shape}. It must return one step size for every update."
        )
    wrong = ~(np.isfinite(step_sizes) & (step_sizes > 0))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise SettingError(
            f"step_size: the schedule {schedule!r} returned {step_sizes[first]} for update "
            f"{count[first]}. Every step size must be finite and positive."
        )
    return step_sizes
