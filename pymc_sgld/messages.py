"""What chains say at their end, and a run once for all of its chains.

Each chain ends on its own, in a process that knows of no other. PyMC logs what it says in the
parent, at any number of cores. There it is kept until PyMC logs that the run is over.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from enum import IntFlag
from typing import Any, NamedTuple

CHAIN, RUN = logging.getLogger("pymc.stats.convergence"), logging.getLogger("pymc.sampling.mcmc")
"""By which PyMC logs what a chain says, and that a run begins and ends."""

_BETTER = {"minibatch": "control_variate", "control_variate": "taylor"}  # gradients


class Reason(IntFlag):
    """What a chain was found to be off by; a result stores the sum."""

    NOISE = 1
    COUPLED = 2
    MEAN = 4
    SD = 8
    GAUSSIAN = 16
    WIDTH = 32
    SHORT = 64
    UNSTABLE = 128
    STUCK = 256
    HEAT = 512


class Message(NamedTuple):
    """One thing that is off."""

    reason: Reason
    excess: float  # in tolerances, to tell which chain is the worst
    text: str  # what is off, by how much, and what to change


def less_noise(gradient: str | None) -> list[str]:
    """Return arguments with which gradients have less noise than those in use."""
    better = [f'gradient="{_BETTER[gradient]}"'] if gradient in _BETTER else []
    return ["a larger batch_size", *better]


class LastWords(str):
    """All that a chain says at its end, as the text that PyMC logs.

    Attributes
    ----------
    step : str
        Which of the step methods of the chain.
    sampler : str
        As the user calls it.
    """

    messages: Sequence[Message]
    step: str
    sampler: str

    def __new__(
        cls, text: str, messages: Sequence[Message] = (), step: str = "", sampler: str = ""
    ) -> LastWords:
        """Keep the parts beside the text; a pickle has the text only, and they follow."""
        new = super().__new__(cls, text)
        new.messages, new.step, new.sampler = messages, step, sampler
        return new

    @classmethod
    def of(cls, messages: Sequence[Message], step: str, sampler: str = "SGLD") -> LastWords:
        """Return the words of a chain."""
        text = "\n".join(f"{sampler}: {message.text}" for message in messages)
        return cls(text, messages, step, sampler)


class OneVoice(logging.Filter):
    """Says what several chains of a run say once, with their number: a filter of PyMC's loggers.

    Where nothing would tell that the run is over, because such lines are not logged, each chain
    speaks for itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[int, list[LastWords]] = {}  # by thread: a run stays in its own

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the words of a chain; say them before the line that the run is over."""
        thread = threading.get_ident()
        if record.name == RUN.name:
            kept, self._kept[thread] = self._kept.get(thread, []), []
            for line in in_one_voice(kept, record.getMessage()):
                CHAIN.warning(line)
            return True
        knows_the_end = thread in self._kept and RUN.isEnabledFor(logging.INFO)
        if not isinstance(record.msg, LastWords) or not knows_the_end:
            return True
        self._kept[thread].append(record.msg)
        return False


def in_one_voice(kept: Sequence[LastWords], run: str) -> list[str]:
    """Return a line for each thing that is off, that of the chain where it is worst.

    ``run``: what PyMC says of the run, with the number of its chains.
    """
    number = re.search(r"Sampling (\d+) chain", run)
    of_all = f" of {number[1]}" if number else ""
    grouped: dict[Any, list[Message]] = {}
    for words in kept:
        for message in words.messages:
            key = (words.sampler, words.step, message.reason)
            grouped.setdefault(key, []).append(message)
    lines = []
    for (sampler, *_), alike in grouped.items():
        chains = f"{len(alike)}{of_all} chain{'' if len(alike) == 1 and not number else 's'}"
        worst = ", the worst of them" if len(alike) > 1 else ""
        text = max(alike, key=lambda message: message.excess).text
        lines.append(f"{sampler}, {chains}{worst}: {text}")
    return lines


def install() -> None:
    """Let the chains of a run speak with one voice, in this process."""
    one_voice = OneVoice()
    for logger in (CHAIN, RUN):
        logger.addFilter(one_voice)
