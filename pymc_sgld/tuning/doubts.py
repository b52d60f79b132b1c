"""Whether the Gaussian approximation of a posterior is good enough for what is chosen by it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from pymc_sgld.errors import warn
from pymc_sgld.messages import Message, Reason
from pymc_sgld.minibatch.position import Coordinates
from pymc_sgld.tuning.posterior.variational import Gaussian
from pymc_sgld.tuning.settings import Asked, Search

UNLIKE = 0.15
"""Fisher divergence from which a posterior is not like its Gaussian approximation.

It is the mean square of the difference of their gradients, in units in which that of the Gaussian
is one. A funnel of nine weak groups has 0.2, a skewed rate 0.1, and most regressions less than 0.01
(benchmarks/known_posteriors).
"""

_COLLAPSED = np.log(1e-3)  # of the logarithm of a scale, from where the search began


def doubts_about(
    gaussian: Gaussian,
    coordinates: Sequence[Coordinates],
    search: Search,
    parents: Collection[str],
    asked: Asked,
) -> list[Message]:
    """Return why no chain is to be trusted, if there is a reason, and warn of it."""
    if search.center is not None:  # the user's own: the draws will tell
        return []
    text = _collapse(gaussian, coordinates, search, parents) or _misfit(gaussian, asked)
    if not text:
        return []
    exact = asked.dynamics.acceptance is not None
    then = "Draws are exact all the same." if exact else "Chains are marked as untrusted."
    warn(f"{asked.sampler}: {text} {then}")
    if exact:
        return []
    return [Message(Reason.GAUSSIAN, gaussian.fisher_divergence, text)]


def _collapse(
    gaussian: Gaussian, coordinates: Sequence[Coordinates], search: Search, parents: Collection[str]
) -> str:
    """Return what to say of a scale of group effects that went to zero."""
    for c in coordinates:
        if c.name in parents and c.value_name.endswith("_log__"):
            entries = slice(c.start, c.start + c.size)
            fallen = gaussian.mean[entries] - search.start[entries]
            if (fallen < _COLLAPSED).any():
                least = np.exp(gaussian.mean[entries].min())
                return (
                    f'the search for the center of the posterior ended where "{c.name}" is '
                    f"{least:.2g}, and all effects of this scale are nearly equal: the posterior "
                    "may have hardly any mass there. Use a non-centered parametrisation, or pass "
                    "center= with a likely value."
                )
    return ""


def _misfit(gaussian: Gaussian, asked: Asked) -> str:
    """Return what to say of a posterior that is unlike the Gaussian."""
    if gaussian.settled and gaussian.fisher_divergence < UNLIKE:
        return ""
    what = (
        f"no Gaussian is like the posterior (the Fisher divergence of the closest one is "
        f"{gaussian.fisher_divergence:.2g}, and up to {UNLIKE} is accepted)"
        if gaussian.settled
        else "the search for the center of the posterior did not settle"
    )
    poor = (
        "the preconditioner may be poor, and the chain slow"
        if asked.dynamics.acceptance is not None
        else "step size and preconditioner may be poor, and predictions of the bias wrong"
    )
    return (
        f"{what}: {poor}. "
        "Reparametrise the model (a non-centered or a centered parametrisation of group effects), "
        "pass a point as center=, or compare with NUTS."
    )
