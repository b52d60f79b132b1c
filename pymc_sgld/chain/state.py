"""What a chain carries from draw to draw."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from pymc_sgld.chain.coupled import CoupledDifference
from pymc_sgld.chain.judge import Findings
from pymc_sgld.chain.mixing import Mixing
from pymc_sgld.chain.noise_monitor import NoiseMonitor, Reading
from pymc_sgld.dynamics.base import State
from pymc_sgld.equality import Comparable
from pymc_sgld.preconditioners import Adaptive, FisherLowRank


@dataclass(eq=False)
class GradientMoments(Comparable):
    """What gradients were like, for a preconditioner that is measured by them.

    Attributes
    ----------
    squares : ndarray, shape (d,)
        Mean squares of all.
    draws : int
        Of which they are.
    some : ndarray, shape (k, d)
        One gradient each of the last draws.
    """

    squares: np.ndarray
    some: np.ndarray
    draws: int = 0


@dataclass(eq=False)
class Chain(Comparable):
    """What a chain carries from draw to draw: with it restored, the same draw comes out.

    Attributes
    ----------
    tune, draws : int
        Draws before those that count, and those that do.
    row_seed : int
        Of the order in which rows are read.
    extra : tuple of ndarray
        What the state of the dynamics has beside the position.
    noise_monitor : NoiseMonitor
    reading : Reading
        Mean over the draws that count, or over the later half of those before.
    coupled : CoupledDifference
        With half the step size, in the last draws of either kind.
    mixing : Mixing
        Of the draws that count.
    draw, updates : int
        How many there have been.
    batches : int
        That were read: by these updates, by those of coupled chains, and by attempts that failed.
    refinement : float
        By which step sizes are multiplied, after what the chain met while tuning.
    last_step_size : float
        Of the last update.
    accepted : float
        Sum of the acceptance rates of the draws that count; NaN where nothing is rejected.
    heat : float
        Sum of the kinetic temperatures of the draws that count, where they are measured.
    overflows : int
        Attempts at draws after tuning that did not stay finite.
    memory : list of ndarray
        What the estimate of the gradient remembers; empty where that is nothing yet.
    remembered : int
        Updates there had been then.
    preconditioner : Adaptive, FisherLowRank or None
        That of the next update, where it is not the same for all chains.
    gradients : GradientMoments or None
        Of the draws since the preconditioner was measured, where it is to be measured again.
    findings : Findings
        Its bias, as far as it is known.
    reasons : int
        Not to trust it, a sum of `Reason`, as far as they are known.
    """

    tune: int
    draws: int
    row_seed: int
    extra: State
    noise_monitor: NoiseMonitor
    reading: Reading
    coupled: CoupledDifference
    mixing: Mixing
    draw: int = 0
    updates: int = 0
    batches: int = 0
    refinement: float = 1.0
    last_step_size: float = np.nan
    accepted: float = 0.0
    heat: float = 0.0
    overflows: int = 0
    memory: list[np.ndarray] = field(default_factory=list)
    remembered: int = 0
    preconditioner: Adaptive | FisherLowRank | None = None
    gradients: GradientMoments | None = None
    findings: Findings = field(default_factory=Findings)
    reasons: int = 0

    @property
    def untrusted(self) -> bool:
        """The verdict, as far as it is known."""
        return bool(self.reasons)

    @property
    def is_tuning(self) -> bool:
        """Whether the next draw is before those that count."""
        return self.draw < self.tune

    @property
    def is_over(self) -> bool:
        """Whether there was the last draw."""
        return self.draw == self.tune + self.draws

    @property
    def is_coupled(self) -> bool:
        """Whether the next draw is one of the last before the end, or before that of tuning."""
        left = self.tune + (0 if self.is_tuning else self.draws) - self.draw
        return 0 < left <= self.coupled.length and not self.coupled.failed


class Draw(NamedTuple):
    """What comes out of a draw.

    Attributes
    ----------
    position : ndarray, shape (d,)
    gradient : ndarray, shape (d,)
        The estimate of the last update.
    reading : Reading
        What the gradients say of the bias.
    stats : dict
        What the dynamics says.
    """

    position: np.ndarray
    gradient: np.ndarray
    reading: Reading
    stats: dict[str, float]
