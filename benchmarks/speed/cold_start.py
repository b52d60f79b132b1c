"""Seconds from the call to the first draw, beside PyMC's NUTS: each in a process of its own."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time

import pandas as pd
import pymc as pm

from pymc_sgld import SGLD
from speed.models import logistic
from speed.processes import result_of, with_caches

SETTINGS = {"step_size": 1e-7, "gradient": "minibatch", "preconditioner": "identity"}


class Arrived(Exception):
    """The first draw is there."""


def first_draw(sampler: str, rows: int, batch_size: int) -> float:
    """Return seconds from the call to the first draw, data and model being there."""
    model = logistic(rows).model()

    def callback(trace, draw) -> None:
        raise Arrived

    settings = {"chains": 1, "cores": 1, "progressbar": False, "callback": callback, "quiet": True}
    settings |= {"compute_convergence_checks": False}
    start = time.perf_counter()
    with model, contextlib.suppress(Arrived):
        if sampler == "SGLD, default":
            pm.sample(draws=10, tune=0, step=SGLD(batch_size=batch_size), **settings)
        elif sampler == "SGLD, textbook":
            step = SGLD(batch_size=batch_size, **SETTINGS)
            pm.sample(draws=10, tune=0, step=step, **settings)
        else:
            pm.sample(draws=10, tune=10, nuts_sampler="pymc", **settings)
    return time.perf_counter() - start


def measure(rows: int, batch_size: int) -> pd.DataFrame:
    """Return a table with a line for each sampler, in seconds."""
    found: dict[str, dict[str, float]] = {}
    for sampler in ("SGLD, textbook", "SGLD, default", "PyMC's NUTS"):
        with tempfile.TemporaryDirectory() as caches:
            task = "speed.cold_start", sampler, rows, batch_size
            found[sampler] = {
                state: result_of(*task, **with_caches(caches))
                for state in ("empty caches, s", "warm caches, s")
            }
    return pd.DataFrame(found).T


if __name__ == "__main__":
    print(json.dumps(first_draw(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
