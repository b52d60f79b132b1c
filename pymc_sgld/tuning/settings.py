"""What the user asked for, where to look for the posterior, and what a step then runs with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pymc_sgld.backends.backend import Backend
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
    """What the user asked for, by name or by default.

    Attributes
    ----------
    gradient : str
        An estimator.
    preconditioner : str or array
        ``M``.
    batching : str
        How batches are drawn.
    dynamics : Dynamics
        The update.
    bias_target : float
        Tolerated relative inflation of the variance.
    backend : Backend
        What runs the updates, and what takes long before them.
    sampler : str
        As the user calls it.
    subtract_noise : bool
        Whether the noise of gradients is to be known.
    """

    gradient: str
    preconditioner: Any
    batching: str
    dynamics: Dynamics
    bias_target: float
    backend: Backend
    sampler: str = "SGLD"
    subtract_noise: bool = False

    @property
    def by_laplace(self) -> bool:
        """Whether ``M`` comes from the width of the posterior."""
        return isinstance(self.preconditioner, str) and self.preconditioner in LAPLACE


@dataclass(frozen=True)
class Search:
    """Where to look for the posterior.

    Attributes
    ----------
    start : ndarray, shape (d,)
        Where the search begins.
    others : list of ndarray
        Values of the variables that the step does not move.
    center : ndarray, shape (d,), or None
        The point that takes the place of a search.
    names : list of str
        Of the coordinates.
    """

    start: np.ndarray
    others: list[np.ndarray]
    center: np.ndarray | None
    names: list[str]


@dataclass(frozen=True)
class Settings:
    """What a step runs with.

    Attributes
    ----------
    density : LogDensity
        With batches of the size that was chosen.
    gradient : str
    estimate : Estimate
    preconditioner : Preconditioner
    gaussian : Gaussian or None
        The posterior, as far as it is known before sampling.
    step_size : float
        For the bias target.
    updates_apart : int
        Updates after which draws are nearly independent at that step size.
    prediction : GaussianLaw or None
        Of the bias, where ``M`` is not the covariance of the posterior.
    doubts : sequence of Message
        Why no chain is to be trusted, if there is a reason.
    errors : sequence of ndarray, shape (samples, d)
        Of gradients, where their noise is to be known: the sum of their squares is its covariance.
    center : Center or None
        Where the estimate expands.
    """

    density: LogDensity
    gradient: str
    estimate: Estimate
    preconditioner: Preconditioner
    gaussian: Gaussian | None = None
    step_size: float = np.nan
    updates_apart: int = 1
    prediction: GaussianLaw | None = None
    doubts: Sequence[Message] = ()
    errors: Sequence[np.ndarray] = ()
    center: Center | None = None
