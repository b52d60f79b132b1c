"""What the chains of a run said of themselves."""

import warnings
from typing import Any

import xarray as xr

from pymc_sgld.errors import SGLDWarning


def untrusted_chains(data: Any) -> tuple[int, int]:
    """Return how many chains of a result are ``untrusted`` at their end, and how many there are."""
    if not isinstance(data, xr.DataTree) or "sample_stats" not in data.children:
        return 0, 0
    stats = data["sample_stats"]
    if "untrusted" not in stats:
        return 0, 0
    untrusted = stats["untrusted"].isel(draw=-1)  # those before are verdicts so far
    by_chain = untrusted.max([name for name in untrusted.dims if name != "chain"])
    return int((by_chain > 0).sum()), by_chain.size


def warn_if_untrusted(data: Any, role: str) -> None:
    """Warn where chains of a run measured a bias beyond what is tolerated."""
    some, chains = untrusted_chains(data)
    if some:
        warnings.warn(
            f"{some} of {chains} chains of {role} measured a bias beyond the tolerance while they "
            "ran (sample_stats.untrusted; the log of pm.sample named the parameter and what to "
            "change, unless they were interrupted): do not rely on its means and standard "
            "deviations.",
            SGLDWarning,
            stacklevel=3,
        )
