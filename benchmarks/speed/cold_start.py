"""Seconds from the call to the first draw, beside PyMC's NUTS: each in a process of its own."""

from __future__ import annotations

import contextlib
import json
import sys
import time

import pandas as pd
import pymc as pm
import pytensor

from pymc_sgld import SGLD
from speed.models import MODELS, Problem
from speed.processes import empty_then_warm

SETTINGS = {"step_size": 1e-7, "gradient": "minibatch", "preconditioner": "identity"}
SAMPLERS = "SGLD, textbook", "SGLD, default", "PyMC's NUTS"


class Arrived(Exception):
    """The first draw is there."""


def first_draw(problem: Problem, sampler: str, batch_size: int) -> float:
    """Return seconds from the call to the first draw, data and model being there."""
    with pytensor.config.change_flags(floatX=problem.dtype):
        model = problem.model()
        start = time.perf_counter()
        with model, contextlib.suppress(Arrived):
            sample(sampler, batch_size)
        return time.perf_counter() - start


def sample(sampler: str, batch_size: int) -> None:
    """Sample the model of the context, and end it with an error at the first draw."""

    def callback(trace, draw) -> None:
        raise Arrived

    settings = {"chains": 1, "cores": 1, "progressbar": False, "callback": callback, "quiet": True}
    settings |= {"draws": 10, "compute_convergence_checks": False}
    if sampler == "PyMC's NUTS":
        pm.sample(tune=10, nuts_sampler="pymc", **settings)
    else:
        chosen = SETTINGS if sampler == "SGLD, textbook" else {}
        pm.sample(tune=0, step=SGLD(batch_size=batch_size, **chosen), **settings)


def measure(name: str, rows: int, batch_size: int) -> pd.DataFrame:
    """Return a table with a line for each sampler, in seconds."""
    found: dict[str, dict[str, float]] = {}
    for sampler in SAMPLERS:
        if name == "network" and sampler == "SGLD, default":  # too many coordinates
            continue
        seconds = empty_then_warm("speed.cold_start", name, sampler, rows, batch_size)
        found[sampler] = dict(zip(("empty caches, s", "warm caches, s"), seconds, strict=True))
    return pd.DataFrame(found).T


if __name__ == "__main__":
    problem = MODELS[sys.argv[1]](int(sys.argv[3]))
    print(json.dumps(first_draw(problem, sys.argv[2], int(sys.argv[4]))))
