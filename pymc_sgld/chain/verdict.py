"""What is said of a chain at its end: by its readings, its draws, and how many it accepted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pymc_sgld.chain.judge import Judge
from pymc_sgld.chain.state import Chain
from pymc_sgld.messages import Message, Reason

JUDGED = 20  # draws after which the noise is judged, and again after as many
STUCK, CREEPS = 0.1, 0.9  # acceptance rates below and above which a step size is far off
WARM = 0.15  # by which the kinetic temperature may be off
BY_CHANCE = 3.0  # errors of a mean of squares of normal numbers, besides
FEW, MOST_OVERFLOWS = 3, 0.02  # draws, and their share, that may be made again


@dataclass(frozen=True)
class ChainVerdict(ABC):
    """Judges chains.

    Parameters
    ----------
    judge : Judge
        What readings are judged by.
    temperature : float
        That of the chains: at zero there is nothing to judge.
    """

    judge: Judge
    temperature: float

    @abstractmethod
    def of(self, chain: Chain) -> list[Message]:
        """Judge a chain after a draw, and return what is to be said: nothing before its last.

        Before, it is judged now and then: a chain that is interrupted has no last draw.
        """


@dataclass(frozen=True)
class VerdictByReadings(ChainVerdict):
    """Judges chains by what they read of their bias, and by their draws.

    Parameters
    ----------
    variances : ndarray, shape (d,), or None
        Of the Gaussian that the settings were chosen for, at the temperature.
    acceptance : float or None
        The rate that is best, where there is an accept step: then there is no bias to be measured.
    doubts : sequence of Message
        What is to be said of every chain, whatever its readings.
    """

    variances: np.ndarray | None
    acceptance: float | None
    doubts: Sequence[Message]

    def of(self, chain: Chain) -> list[Message]:
        """Judge a chain after a draw; before the last one, its noise alone."""
        if not self.temperature:
            return []
        coupled, reading, step_size = chain.coupled, chain.reading, chain.last_step_size
        if chain.is_over:
            bias = coupled.bias()
            messages = self.judge.messages(reading, bias, step_size, coupled.failed)
            chain.findings = self.judge.findings(reading, bias, step_size)
            messages += [*self.doubts, *self._of_draws(chain), *_of_overflows(chain)]
            chain.reasons = sum(message.reason for message in messages)
            return messages
        counted = chain.draw - chain.tune
        if counted > 0 and counted % JUDGED == 0:
            chain.findings = self.judge.findings(reading, None, step_size)
            noisy = Reason.NOISE * self.judge.is_noisy(reading, step_size)
            chain.reasons = noisy + sum(doubt.reason for doubt in self.doubts)
        return []

    def _of_draws(self, chain: Chain) -> list[Message]:
        """Return what the draws say, and what a step size does that is far off the best."""
        chosen, best = self.judge.chosen, self.acceptance
        expected = self.variances if best is None else None
        told = chain.mixing.messages(self.judge.names, expected, chosen)
        if best is None:
            return told
        rate = chain.accepted / chain.draws
        now = self.judge.now(chain.last_step_size)
        what = f"{rate:.0%} of the proposals were accepted, and about {best:.0%} is best:"
        if rate < STUCK and chain.draws >= JUDGED:
            remedy = (
                "tune longer, pass a step_size, or reparametrise the model"
                if chosen
                else f"pass a smaller step_size {now}"
            )
            text = f"{what} the chain hardly moves. To mend that, {remedy}."
            return [*told, Message(Reason.STUCK, STUCK / max(rate, 1e-9), text)]
        if rate > CREEPS and not chosen:
            text = (
                f"{what} the steps are so small that there are too few draws to judge this chain. "
                f"Pass a larger step_size {now}, or sample more draws."
            )
            return [
                message._replace(text=text) if message.reason == Reason.SHORT else message
                for message in told
            ]
        return told


@dataclass(frozen=True)
class VerdictByTemperature(ChainVerdict):
    """Judges chains of a momentum by its temperature: for posteriors of very many modes.

    The mean and the sd of one weight say little there. But in any mode, momenta have the
    temperature of the posterior, and are hotter where steps are too large or gradients too noisy.
    """

    def of(self, chain: Chain) -> list[Message]:
        """Judge a chain after a draw."""
        counted = chain.draw - chain.tune
        if not self.temperature or counted <= 0 or not (chain.is_over or counted % JUDGED == 0):
            return []
        heat, messages = chain.heat / counted / self.temperature, []
        if chain.overflows > max(FEW, MOST_OVERFLOWS * counted):
            text = (
                f"{chain.overflows} draws of {counted} exploded and were made again with smaller "
                "steps: tune longer, so that the chain has settled, or pass a larger batch_size."
            )
            messages += [Message(Reason.UNSTABLE, chain.overflows, text)]
        chance = BY_CHANCE * np.sqrt(2 / (counted * len(self.judge.names)))
        if abs(heat - 1) > WARM + chance:
            effect = (
                "predictions are too uncertain: pass a larger batch_size or a larger friction, or "
                "tune longer"
                if heat > 1
                else "steps are too large for the curvature: tune longer, so that it is measured "
                "again"
            )
            text = (
                f"the kinetic temperature was {heat:.2f} times that of the posterior (the stat "
                f"kinetic_temperature): {effect}."
            )
            messages += [Message(Reason.HEAT, abs(heat - 1) / WARM, text)]
        chain.reasons = sum(message.reason for message in messages)
        return messages if chain.is_over else []


def _of_overflows(chain: Chain) -> list[Message]:
    """Return what is to be said where draws were made again with smaller steps."""
    if not chain.overflows:
        return []
    text = (
        f"{chain.overflows} attempts at a draw overflowed after tuning, and steps became "
        f"{1 / chain.refinement:.2g} times smaller: the draws before may be off. Sample "
        "with a smaller step_size, reparametrise the model, or compare with NUTS."
    )
    return [Message(Reason.UNSTABLE, chain.overflows, text)]
