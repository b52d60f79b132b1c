"""From the readings of a chain to words: what is off, by how much, and what to change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike

from pymc_sgld.chain.coupled import GROUPS, CoupledBias
from pymc_sgld.chain.noise_monitor import Reading
from pymc_sgld.dynamics.gaussian_law import GaussianLaw
from pymc_sgld.dynamics.known_noise import KnownNoise
from pymc_sgld.messages import Message, Reason
from pymc_sgld.tolerance import CHAIN_FALSE_ALARMS, MEAN_TOLERANCE, SD_TOLERANCE
from pymc_sgld.wording import apart

SLACK = 2.0  # times the bias target that a reading may show
_LEAST_FACTOR = 0.01  # of a refinement


class Findings(NamedTuple):
    """The bias of the worst parameter, as far as it is known; NaN where it is not.

    Attributes
    ----------
    mean_shift, mean_shift_error : float
        In standard deviations, with its standard error: by what half the step size changes.
    sd_ratio, sd_ratio_error : float
        The standard deviation over that of the posterior, by the noise of gradients or by what
        half the step size changes, whichever is worse. The error is NaN for the former.
    """

    mean_shift: float = np.nan
    mean_shift_error: float = np.nan
    sd_ratio: float = np.nan
    sd_ratio_error: float = np.nan


@dataclass(frozen=True)
class Judge:
    """What readings are judged by.

    Parameters
    ----------
    names : sequence of str
        Of the coordinates.
    parameters : sequence of str
        Names of what a coupled difference compares.
    bias_target : float
        Tolerated relative inflation of the variance.
    variances : ndarray, shape (d,), or None
        Diagonal of M, where M is the covariance of the posterior.
    chosen : bool
        Whether the step size was chosen for the target, and not given.
    law : GaussianLaw or None
        What a Gaussian posterior becomes; None where the posterior is not known.
    known : KnownNoise or None
        Gradient noise that is taken off the noise that is injected.
    gentler : sequence of str
        Arguments with which gradients have less noise.
    """

    names: Sequence[str]
    parameters: Sequence[str]
    bias_target: float
    variances: np.ndarray | None
    chosen: bool
    law: GaussianLaw | None = None
    known: KnownNoise | None = None
    gentler: Sequence[str] = ()
    _latest: dict[float, tuple[float, float]] = field(init=False, repr=False, default_factory=dict)

    def added(self, reading: Reading, step_size: float, factor: float = 1.0) -> np.ndarray:
        """Return the relative variance that each coordinate gains, shape (d,), or (1,) in all.

        Where M is not the covariance of the posterior, the greatest that any direction gains from
        gradient noise is the threshold, on a Gaussian and for small steps.

        Parameters
        ----------
        reading : Reading
            Of some draws.
        step_size : float
            Their step size.
        factor : float
            Asks for what the reading would be at that many times the step size.
        """
        if self.law is None:
            return factor * _known([max(reading.inflation - 1, reading.threshold)])
        own, remains = self._own_and_remains(factor * step_size)
        if self.variances is None:
            return _known([own + factor * remains * reading.threshold])
        taken = 0.0 if self.known is None else self.known.taken(factor * step_size)
        return _known(own + factor * reading.noise * remains / self.variances - taken)

    def _own_and_remains(self, step_size: float) -> tuple[float, float]:
        """Return what the injected noise adds, and the share of gradient noise that is left."""
        if step_size in self._latest:  # as from draw to draw: the rest takes a while
            return self._latest[step_size]
        assert self.law is not None
        found = self.law.own(step_size), self.law.remains(step_size)
        self._latest.clear()
        self._latest[step_size] = found
        return found

    def is_noisy(self, reading: Reading, step_size: float) -> bool:
        """Whether a coordinate gains more variance than is tolerated."""
        return bool(self.added(reading, step_size).max() > SLACK * self.bias_target)

    def messages(
        self, reading: Reading, bias: CoupledBias | None, step_size: float, failed: bool = False
    ) -> list[Message]:
        """Return a message for each reading that exceeds its tolerance, none if none does.

        Parameters
        ----------
        reading : Reading
            Of the draws after tuning.
        bias : CoupledBias or None
            What half the step size changed, if that is known.
        step_size : float
            That of the last draw.
        failed : bool
            Whether the coupled chain did not stay finite.
        """
        found = [self._variance(reading, step_size)]
        if failed:
            text = (
                "a second chain with steps of half the size left the support of the density: "
                f"the step size {step_size:.2g} is too large near some of the draws. Pass "
                f"{self._smaller(step_size)}, or reparametrise the model."
            )
            found += [Message(Reason.COUPLED, step_size, text)]
        if bias is not None:
            found += [self._contrast(bias, step_size)]
        return [message for message in found if message is not None]

    def _variance(self, reading: Reading, step_size: float) -> Message | None:
        if not self.is_noisy(reading, step_size):
            return None
        added = self.added(reading, step_size)
        worst = int(np.argmax(added))
        smaller = "a smaller bias_target" if self.chosen else self._smaller(step_size)
        read, most = apart(*np.sqrt([1 + added[worst], 1 + SLACK * self.bias_target]))
        whose = "the worst linear combination of parameters"
        if len(added) == len(self.names):
            whose = self.names[worst]
        text = (
            f"the standard deviation of {whose} is about {_percent(added[worst])} too large "
            f"(sd_ratio {read}; bias_target={self.bias_target} tolerates {most}). "
            f"Pass {', or '.join([smaller, *self.gentler])}."
        )
        return Message(Reason.NOISE, float(added[worst]), text)

    def refine(self, reading: Reading, bias: CoupledBias | None, step_size: float) -> float:
        """Return the factor by which a step size is to be smaller, after what a chain has read.

        The noise is to be within the bias target; what half the step size changed is to be half of
        what would be reported.
        """
        factor = 1.0
        if bias is not None:
            excess = self.excess(bias)[0]
            factor = min(1.0, 0.5 / excess) if excess > 1 else 1.0
        if np.max(self.added(reading, step_size, factor)) <= 1.25 * self.bias_target:
            return max(factor, _LEAST_FACTOR)
        low, high = 0.0, factor
        for _ in range(20):
            middle = (low + high) / 2
            within = np.max(self.added(reading, step_size, middle)) <= self.bias_target
            low, high = (middle, high) if within else (low, middle)
        return max(low, _LEAST_FACTOR)

    def findings(self, reading: Reading, bias: CoupledBias | None, step_size: float) -> Findings:
        """Return the bias of the worst parameter: of the one that is off beyond most doubt."""
        by_noise = float(np.sqrt(1 + self.added(reading, step_size).max()))
        if bias is None:
            return Findings(sd_ratio=by_noise)
        quantile = _quantile(len(bias.shift))
        shift = _worst(bias.shift, bias.shift_error, quantile)
        ratios, errors = sd_ratio(bias.inflation, bias.inflation_error)
        excess, error = _worst(ratios - 1, errors, quantile)
        if not abs(by_noise - 1) < abs(excess):
            excess, error = by_noise - 1, np.nan
        return Findings(*shift, 1 + excess, error)

    def excess(self, bias: CoupledBias) -> tuple[float, int, bool]:
        """Return how many tolerances the worst bias is, in which parameter, and if in its mean.

        Zero where it may as well be none: what is less than a quantile of its error away from it.
        """
        quantile = _quantile(len(bias.shift))
        ratio, _ = sd_ratio(bias.inflation, bias.inflation_error)
        sizes = np.abs([bias.shift / MEAN_TOLERANCE, (ratio - 1) / SD_TOLERANCE])
        errors = [bias.shift_error / MEAN_TOLERANCE, bias.inflation_error / 2 / SD_TOLERANCE]
        with np.errstate(invalid="ignore"):
            sizes = np.where(sizes - quantile * np.array(errors) > 1, sizes, 0)
        kind, worst = np.unravel_index(int(np.argmax(sizes)), sizes.shape)
        return float(sizes[kind, worst]), int(worst), bool(kind == 0)

    def _contrast(self, bias: CoupledBias, step_size: float) -> Message | None:
        """Return what half the step size changes, where that is beyond doubt and tolerance."""
        tolerances, worst, of_mean = self.excess(bias)
        if not tolerances:
            return None
        name = self.parameters[worst]
        if of_mean:
            size, error = bias.shift[worst], bias.shift_error[worst]
            what = f"the mean of {name} is about {size:+.2f} (± {error:.2f}) sd off"
        else:
            size, error = _percent(bias.inflation[worst]), 50 * bias.inflation_error[worst]
            side = "large" if bias.inflation[worst] > 0 else "small"
            what = f"the standard deviation of {name} is about {size} (± {error:.0f} %) too {side}"
        text = (
            f"{what}, by comparison with a second chain of half the step size. Pass "
            f"{self._smaller(step_size)}, or reparametrise the model."
        )
        return Message(Reason.MEAN if of_mean else Reason.SD, tolerances, text)

    def _smaller(self, step_size: float) -> str:
        return f"a smaller step_size {self.now(step_size)}"

    def now(self, step_size: float) -> str:
        """Return what a step size is, in parentheses."""
        rest = "" if self.chosen else "; one is chosen if you leave it out"
        return f"(now {step_size:.2g}{rest})"


def sd_ratio(inflation: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ratios of standard deviations and their errors, from those of relative variances."""
    ratio = np.sqrt(np.maximum(1 + inflation, 0))
    return ratio, error / (2 * np.maximum(ratio, 0.1))


def _quantile(parameters: int) -> float:
    """Return how many errors a mean or standard deviation may be off by chance, in one of them."""
    return -float(scipy.special.stdtrit(GROUPS - 1, CHAIN_FALSE_ALARMS / (4 * parameters)))


def _worst(sizes: np.ndarray, errors: np.ndarray, quantile: float) -> tuple[float, float]:
    """Return the size, and its error, that is the largest less that many errors."""
    with np.errstate(invalid="ignore"):
        worst = int(np.argmax(np.nan_to_num(np.abs(sizes) - quantile * errors, nan=-np.inf)))
    return float(sizes[worst]), float(errors[worst])


def _known(added: ArrayLike) -> np.ndarray:
    """Return an array without NaN: what overflowed is infinite, and never passes for small."""
    return np.nan_to_num(np.asarray(added, dtype=float), nan=np.inf, posinf=np.inf)


def _percent(inflation: float) -> str:
    """Return by how much a standard deviation is off where its variance is."""
    percent = 100 * abs(np.sqrt(max(1 + inflation, 0)) - 1)
    return f"{percent:.0f} %" if percent < 1000 else "more than ten times"
