"""What the user asked for, where to look for the posterior, and what a step then runs with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pymc_sgld.dynamics.base import Dynamics
from pymc_sgld.dynamics.gaussian_law import GaussianLaw
from pymc_sgld.gradients.base import Estimate
from pymc_sgld.messages import Message
from pymc_sgld.minibatch.density import LogDensity
from pymc_sgld.minibatch.full_data import Center
from pymc_sgld.preconditioners import LAPLACE, Preconditioner
from pymc_sgld.tuning.posterior.variational import Gaussian


@dataclass(frozen=True)
class Asked:
    """What the user asked for, by name or by default."""

    gradient: str  # an estimator
    preconditioner: Any  # ``M``
    batching: str  # how batches are drawn
    dynamics: Dynamics  # the update
    bias_target: float  # tolerated relative inflation of the variance
    sampler: str = "SGLD"  # as the user calls it
    subtract_noise: bool = False  # whether the noise of gradients is to be known

    @property
    def by_laplace(self) -> bool:
        """Whether ``M`` comes from the width of the posterior."""
        return isinstance(self.preconditioner, str) and self.preconditioner in LAPLACE


@dataclass(frozen=True)
class Chosen:
    """What was chosen by the noise of gradients: it stays right for other data with that noise."""

    call: str  # by whom, and for what, in words
    gradient: str
    batch_size: int
    step_size: float
    updates_apart: int
    noise: float  # tr(M V), with batches of that size
    rough: float  # how far the posterior was from a Gaussian, in the worst coordinate


@dataclass(frozen=True)
class Search:
    """Where to look for the posterior."""

    start: np.ndarray  # shape (d,): where the search begins
    others: list[np.ndarray]  # values of the variables that the step does not move
    center: np.ndarray | None  # shape (d,): the point that takes the place of a search
    names: list[str]  # of the coordinates
    earlier: Gaussian | None = None  # what an earlier step found, to be verified
    chosen: Chosen | None = None  # and chose


@dataclass(frozen=True)
class Settings:
    """What a step runs with."""

    density: LogDensity  # with batches of the size that was chosen
    gradient: str
    estimate: Estimate
    preconditioner: Preconditioner
    gaussian: Gaussian | None = None  # the posterior, as far as it is known before sampling
    step_size: float = np.nan  # for the bias target
    updates_apart: int = 1  # updates after which draws are nearly independent at that step size
    # of the bias, where ``M`` is not the covariance of the posterior
    prediction: GaussianLaw | None = None
    doubts: Sequence[Message] = ()  # why no chain is to be trusted, if there is a reason
    # shape (samples, d): of gradients, where their noise is to be known: the sum of their squares
    # is its covariance
    errors: Sequence[np.ndarray] = ()
    center: Center | None = None  # where the estimate expands
    chosen: Chosen | None = None  # where it can be taken over

    @property
    def fisher_divergence(self) -> float:
        """How far the posterior is from a Gaussian; NaN where it is not known."""
        return np.nan if self.gaussian is None else self.gaussian.fisher_divergence
