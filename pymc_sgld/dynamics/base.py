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
from typing import Any, ClassVar, NamedTuple

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


Target = Callable[[Any], Evaluation]


@dataclass(frozen=True)
class Dynamics(ABC):
    r"""An update, and its stationary distribution on a Gaussian.

    Notation: step size :math:`\varepsilon`, preconditioner :math:`M = L L^\top`, temperature
    :math:`T`, standard normal :math:`z`. Rates are eigenvalues of :math:`M P` with the precision
    :math:`P` of a Gaussian.

    Attributes
    ----------
    name : str
        As users write it.
    order : int
        Of the bias in the step size, where gradients have no noise.
    is_exact : bool
        Whether the variance of a Gaussian is exact, where gradients have no noise.
    vectors : int
        Vectors :math:`L z` that an update takes.
    """

    name: ClassVar[str]
    order: ClassVar[int]
    is_exact: ClassVar[bool]
    vectors: ClassVar[int] = 1

    def start(self, normal: Callable[[], np.ndarray], temperature: float) -> State:
        """Return what a state has beside the position when a chain starts.

        Parameters
        ----------
        normal : callable
            Draws a vector :math:`L z`, shape (d,).
        temperature : float
        """
        return ()

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
        noise : tuple of arrays or tensors, shape (d,)
            Independent vectors :math:`L z`.
        step_size, temperature : float or scalar tensor
        """

    @abstractmethod
    def coarse(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the noise of updates that take the place of two with half the step size each.

        On the same Brownian path; all of shape (k, vectors * d).
        """

    @abstractmethod
    def variance(self, rates: np.ndarray, step_size: float) -> np.ndarray:
        """Return the stationary variance over that of the Gaussian, shape (d,).

        Where gradients have no noise.
        """

    @abstractmethod
    def memory(self, rates: Any, step_size: Any) -> Any:
        """Return how much of where it was an update leaves in a direction of that rate."""

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

    def coarse(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        r"""Return :math:`(z_1 + z_2) / \sqrt 2`."""
        return (first + second) / np.sqrt(2, dtype=first.dtype)

    def memory(self, rates: Any, step_size: Any) -> Any:
        r"""Return :math:`1 - \varepsilon r / 2`."""
        return 1 - step_size * rates / 2

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
