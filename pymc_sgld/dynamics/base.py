r"""What a dynamics is: the update of a chain, and what a Gaussian becomes under it.

A dynamics moves a *state*: a tuple of arrays, of which the first is the position :math:`\theta`,
shape (d,). What it evaluates it asks of a *target*, a function of the position. Updates are written
with operators only, so that the same code serves NumPy arrays (in tests) and PyTensor variables (in
the compiled loop). Random numbers are handed in, never drawn inside.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

State = tuple[Any, ...]


class Evaluation(NamedTuple):
    r"""What a target gives at a position.

    Attributes
    ----------
    gradient : array or tensor, shape (d,)
        :math:`\hat g`, an estimate of the gradient of the log posterior.
    preconditioned : array or tensor, shape (d,)
        :math:`M \hat g`.
    """

    gradient: Any
    preconditioned: Any


class Target(Protocol):
    """The posterior, as far as an update reads it."""

    def __call__(self, position: Any) -> Evaluation:
        """Return the estimate of the gradient at a position, shape (d,)."""

    def log_density(self, position: Any) -> Any:
        """Return the log density at a position: of all rows, where all of them are read."""


@dataclass(frozen=True)
class Update(ABC):
    r"""What moves a state.

    Notation: step size :math:`\varepsilon`, preconditioner :math:`M = L L^\top`, temperature
    :math:`T`, standard normal :math:`z`.

    Attributes
    ----------
    name : str
        As users write it.
    vectors, scalars : int
        Vectors :math:`L z` and single numbers :math:`z` that an update takes.
    takes_duals : bool
        Whether it takes :math:`L^{-\top} z`, too, for each of the vectors.
    """

    name: ClassVar[str]
    vectors: ClassVar[int] = 1
    scalars: ClassVar[int] = 0
    takes_duals: ClassVar[bool] = False

    def start(self, normal: Callable[[], tuple[np.ndarray, ...]], temperature: float) -> State:
        """Return what a state has beside the position when a chain starts.

        Parameters
        ----------
        normal : callable
            Draws a vector :math:`L z`, shape (d,), and its dual where duals are taken.
        temperature : float
        """
        return ()

    def stats(self, extra: State, updates: int) -> dict[str, float]:
        """Return what a draw of so many updates says, by what its state has beside the position."""
        return {}

    def refresh(self, state: State, target: Target) -> State:
        """Return the state with all that it holds of the target: before the updates of a draw.

        In between, other step methods may have moved what the target depends on.
        """
        return state

    @abstractmethod
    def update(
        self,
        state: State,
        target: Target,
        noise: tuple[Any, ...],
        step_size: Any,
        temperature: Any,
    ) -> tuple[State, Evaluation]:
        r"""Return the state after one update, and what the update evaluated.

        Parameters
        ----------
        state : tuple of arrays or tensors
            The first is the position, shape (d,).
        target : callable
            Evaluates the gradient at a position.
        noise : tuple of arrays or tensors
            Independent vectors :math:`L z`, shape (d,), then the duals :math:`L^{-\top} z` of
            each where they are taken, then numbers :math:`z`.
        step_size, temperature : float or scalar tensor
        """


@dataclass(frozen=True)
class Dynamics(Update):
    """An update, and its stationary distribution on a Gaussian.

    Rates are eigenvalues of :math:`M P` with the precision :math:`P` of a Gaussian.

    Attributes
    ----------
    order : int
        Of the bias in the step size, where gradients have no noise.
    is_exact : bool
        Whether the variance of a Gaussian is exact, where gradients have no noise.
    reads : int
        Consecutive gradients from which their noise is known.
    acceptance : float or None
        The acceptance rate that a chosen step size is tuned to, where there is an accept step.
    """

    order: ClassVar[int]
    is_exact: ClassVar[bool] = True
    reads: ClassVar[int] = 2
    acceptance: ClassVar[float | None] = None

    @abstractmethod
    def coarse(self, first: np.ndarray, second: np.ndarray, step_sizes: np.ndarray) -> np.ndarray:
        """Return the noise of updates that take the place of two with half the step size each.

        On the same Brownian path.

        Parameters
        ----------
        first, second : ndarray, shape (k, n)
            Standard normal numbers of the two.
        step_sizes : ndarray, shape (k,)
            Of the updates that take their place.
        """

    def fine(
        self, coarse: np.ndarray, beside: np.ndarray, step_sizes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""Return the noise of two updates with half the step size each, given that of one.

        The opposite of :meth:`coarse`. That is :math:`a z_1 + b z_2` with :math:`a^2 + b^2 = 1`, so
        that with another standard normal :math:`z'`

        .. math:: z_1 = a z - b z', \qquad z_2 = b z + a z' .

        Parameters
        ----------
        coarse : ndarray, shape (k, n)
            Standard normal numbers of the updates.
        beside : ndarray, shape (k, n)
            As many that are independent of these.
        step_sizes : ndarray, shape (k,)
            Of the updates.
        """
        one = np.ones((len(step_sizes), 1), coarse.dtype)
        a, b = self.coarse(one, 0 * one, step_sizes), self.coarse(0 * one, one, step_sizes)
        return a * coarse - b * beside, b * coarse + a * beside

    def variance(self, rates: np.ndarray, step_size: float) -> np.ndarray:
        """Return the stationary variance over that of the Gaussian, shape (d,): ones, if exact.

        Where gradients have no noise.
        """
        return np.ones(len(rates))

    @abstractmethod
    def memory(self, rates: Any, step_size: Any) -> Any:
        """Return how much of where it was an update leaves in a direction of that rate."""

    @abstractmethod
    def differences(
        self, step_sizes: np.ndarray, gradients: np.ndarray, matched: bool
    ) -> np.ndarray:
        """Return combinations of consecutive gradients that have twice the variance of their noise.

        As little as can be is left in them of how the position moved.

        Parameters
        ----------
        step_sizes : ndarray, shape (k,)
            Of at least two updates; the last may be zero, of one that moves nothing.
        gradients : ndarray, shape (k, d)
            That they used, or a linear function of each.
        matched : bool
            Whether the rates of all directions are one.

        Returns
        -------
        ndarray, shape (m, d)
            At least one combination.
        """

    @abstractmethod
    def limit(self, largest: float, rate: float) -> float:
        r"""Return the step size for which the fastest direction moves by a given share.

        Parameters
        ----------
        largest : float
            :math:`\varepsilon r` of an overdamped dynamics, which moves by half of it.
        rate : float
            :math:`r`, of the fastest direction.
        """

    @abstractmethod
    def gained(
        self,
        rates: np.ndarray,
        step_size: float,
        accumulated: Callable[[np.ndarray], np.ndarray],
    ) -> np.ndarray:
        r"""Return the covariance that gradient noise of variance one adds, shape (d, d).

        Parameters
        ----------
        rates : ndarray, shape (d,)
        step_size : float
        accumulated : callable
            What the batches of consecutive updates leave of noise, by the memory of a direction.
        """

    @abstractmethod
    def noise_weight(self, step_size: Any) -> Any:
        """Return what ``gained`` is to first order in the step size, at the rate one."""


@dataclass(frozen=True)
class Overdamped(Dynamics):
    r"""A dynamics whose gradient step is :math:`\tfrac\varepsilon2 M \hat g(\theta)`."""

    def coarse(self, first: np.ndarray, second: np.ndarray, step_sizes: np.ndarray) -> np.ndarray:
        r"""Return :math:`(z_1 + z_2) / \sqrt 2`."""
        return (first + second) / np.sqrt(2, dtype=first.dtype)

    def memory(self, rates: Any, step_size: Any) -> Any:
        r"""Return :math:`1 - \varepsilon r / 2`."""
        return 1 - step_size * rates / 2

    def differences(
        self, step_sizes: np.ndarray, gradients: np.ndarray, matched: bool
    ) -> np.ndarray:
        r"""Return :math:`\hat g_{k+1} - (1 - \tfrac\varepsilon2) \hat g_k`, or differences."""
        left = self.memory(1.0, step_sizes[:-1, None]) if matched else 1
        return gradients[1:] - left * gradients[:-1]

    def limit(self, largest: float, rate: float) -> float:
        """Return the step size of that rate."""
        return largest / rate

    def gained(
        self,
        rates: np.ndarray,
        step_size: float,
        accumulated: Callable[[np.ndarray], np.ndarray],
    ) -> np.ndarray:
        r"""Return :math:`\varepsilon^2 / 4` times what accumulates."""
        return step_size**2 / 4 * accumulated(self.memory(rates, step_size))

    def noise_weight(self, step_size: Any) -> Any:
        r"""Return :math:`\varepsilon / 4`."""
        return step_size / 4
