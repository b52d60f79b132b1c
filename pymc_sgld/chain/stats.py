"""The stats of a draw that tell where its chain is, and those that judge the chain."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymc.stats.convergence import SamplerWarning, WarningType

from pymc_sgld.chain.draw import Transition
from pymc_sgld.chain.state import Chain, Draw
from pymc_sgld.messages import LastWords
from pymc_sgld.schedules import cycle_of


def judged(transition: Transition, chain: Chain) -> dict[str, Any]:
    """Return the stats that judge a chain."""
    messages, warning = transition.verdict.of(chain), None
    if messages:
        names = ", ".join(c.name for c in transition.coordinates)
        words = LastWords.of(messages, names, transition.sampler)
        warning = SamplerWarning(WarningType.BAD_PARAMS, words, "warn")
    verdict = {"untrusted": int(chain.untrusted), "reasons": int(chain.reasons)}
    return chain.findings._asdict() | verdict | {"warning": warning}


def measured(transition: Transition, chain: Chain, draw: Draw) -> dict[str, Any]:
    """Return what differs from draw to draw, but for the rows that were read."""
    schedule, last = transition.schedule, chain.updates - 1
    cycle, cycle_position = cycle_of(schedule, last)
    without_noise = transition.without_noise(chain, last, 1)
    own = {
        "step_size": chain.last_step_size,
        "gradient_norm": float(np.linalg.norm(draw.gradient)),
        "sampling_threshold": draw.reading.threshold,
        "updates": chain.updates,
        "cycle": cycle,
        "cycle_position": cycle_position,
        "explores": int(without_noise is not None and without_noise[0]),
        "steps_per_draw": transition.updates_of_draw(chain),
    }
    return draw.stats | judged(transition, chain) | own
