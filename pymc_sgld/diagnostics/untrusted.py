"""What the chains of a run said of themselves."""

import warnings
from typing import Any

import numpy as np
import xarray as xr

from pymc_sgld.chain.messages import Reason
from pymc_sgld.diagnostics.stored import Stored, over_steps
from pymc_sgld.errors import SGLDWarning

_SMALLER = "a smaller step_size"
_OTHERWISE = "another parametrisation, and compare with NUTS"
FOUND = {
    Reason.NOISE: (
        "gradient noise makes a standard deviation too large",
        f'{_SMALLER}, or a larger batch_size, or gradient="taylor"',
    ),
    Reason.COUPLED: ("steps of half the size left the support", f"{_SMALLER}, or reparametrise"),
    Reason.MEAN: ("half the step size changes a mean", f"{_SMALLER}, or reparametrise"),
    Reason.SD: ("half the step size changes a standard deviation", f"{_SMALLER}, or reparametrise"),
    Reason.GAUSSIAN: ("no Gaussian was found that is like the posterior", _OTHERWISE),
    Reason.WIDTH: (
        "draws are far wider than the Gaussian that was expected",
        _OTHERWISE,
    ),
    Reason.UNSTABLE: ("the density or a gradient overflowed while sampling", _OTHERWISE),
    Reason.STUCK: ("hardly any proposal was accepted", f"{_SMALLER}, or more tuning draws"),
    Reason.SHORT: ("a chain is too short to tell", "more draws, or reparametrise"),
}
"""What is off, and what to change."""


def untrusted_chains(data: Any) -> tuple[int, int]:
    """Return how many chains of a result are ``untrusted`` at their end, and how many there are."""
    stats = Stored.of(data).stats
    if "untrusted" not in stats:
        return 0, 0
    untrusted = _at_the_end(stats["untrusted"])
    return int((untrusted > 0).any(axis=0).sum()), untrusted.shape[1]


def said_of(data: Any) -> tuple[str, str]:
    """Return what chains of a result measured, and the remedies; empty if nothing is stored."""
    stats = Stored.of(data).stats
    if "reasons" not in stats:
        return "", ""
    reasons = _at_the_end(stats["reasons"])
    counts = {reason: int(((reasons & reason) > 0).any(axis=0).sum()) for reason in FOUND}
    found = [reason for reason, chains in counts.items() if chains]
    texts = [f"{FOUND[reason][0]} ({counts[reason]} of {reasons.shape[1]})" for reason in found]
    return "; ".join(texts), "; ".join(dict.fromkeys(FOUND[reason][1] for reason in found))


def _at_the_end(stat: xr.DataArray) -> np.ndarray:
    """Return the last of each step method and chain: those before are verdicts so far."""
    return over_steps(stat).isel(draw=-1).transpose("steps", "chain").to_numpy()


def warn_if_untrusted(data: Any, role: str) -> None:
    """Warn of chains that were found to be biased, or too short to tell, while they ran."""
    some, chains = untrusted_chains(data)
    if some:
        said, remedy = said_of(data)
        warnings.warn(
            f"{some} of {chains} chains of {role} were found untrusted while they ran "
            f"(sample_stats.untrusted){f': {said}' if said else ''}. Do not rely on its means "
            f"and standard deviations; sample with {remedy or _SMALLER}.",
            SGLDWarning,
            stacklevel=3,
        )
