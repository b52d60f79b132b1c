"""Samplers that run the same updates of the same models: one file a library.

Each has ``samplers(problem, batch_size)``, which gives one or more samplers by name. A sampler runs
textbook SGLD, θ ← θ + (ε/2) ĝ(θ) + sqrt(ε) z, with plain minibatch gradients and one step size;
where a library has another convention the step size is converted.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

from speed.models import Problem


class Sampler(NamedTuple):
    """What is timed.

    Attributes
    ----------
    run : callable
        Runs ``problem.updates`` updates from a position, shape (d,), with a step size ε, and
        returns the last position. Its random numbers are others at every call.
    gradient : callable
        Returns the gradient of the log posterior for all rows at a position, shape (d,), by the
        code that the updates run.
    """

    run: Callable[[np.ndarray, float], np.ndarray]
    gradient: Callable[[np.ndarray], np.ndarray]


NEEDS = {  # the packages of each file of this folder
    "pymc_sgld": ("pymc_sgld",),
    "blackjax": ("blackjax", "jax"),
    "torch": ("torch", "posteriors"),
    "numba": ("numba",),
}


def missing(peer: str) -> list[str]:
    """Return the packages of a peer that are not installed."""
    return [package for package in NEEDS[peer] if find_spec(package) is None]


def samplers(peer: str, problem: Problem, batch_size: int) -> dict[str, Sampler]:
    """Return the samplers of a peer, by the name that tables give them."""
    return import_module(f"speed.peers.{peer}").samplers(problem, batch_size)
