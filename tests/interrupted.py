"""A program that samples until it is interrupted, and says what it has then, some times.

Run as ``python -m tests.interrupted FOLDER here fork``, with ``forkserver`` or ``spawn``.
"""

import json
import multiprocessing
import sys
import threading

import numpy as np
import pymc as pm

from pymc_sgld import SGLD, sources
from pymc_sgld.sources.background import THREAD
from tests.graphs import QUICK

DRAWS = {"draws": 20_000, "tune": 0, "progressbar": False, "quiet": True}
DRAWS |= {"compute_convergence_checks": False}


def main(folder, *start_methods):
    rows = np.random.default_rng(1).normal(size=300_000)
    spooled = sources.batches(np.array_split(rows, 7), rows.shape, folder=folder)
    with pm.Model():
        pm.Normal("y", pm.Normal("mean"), 1, observed=rows[:10])
        settings = {"batch_size": 16, "step_size": 1e-6, "steps_per_draw": 50}
        step = SGLD(data={"y": spooled}, **settings | QUICK)
        for method in start_methods:
            workers = {"cores": 2, "chains": 2, "mp_ctx": method}
            workers = {"cores": 1, "chains": 1} if method == "here" else workers
            idata = pm.sample(step=step, callback=say_that_it_samples, **DRAWS | workers)
            print(json.dumps(found(idata)), flush=True)


def say_that_it_samples(trace, draw):
    if (draw.chain, draw.draw_idx) == (0, 25):
        print("sampling", flush=True)


def found(idata):
    reading = [thread for thread in threading.enumerate() if thread.name == THREAD]
    return {
        "draws": idata.posterior.sizes["draw"],
        "finite": bool(np.isfinite(idata.posterior["mean"]).all()),
        "processes": [each.name for each in multiprocessing.active_children() if is_stuck(each)],
        "threads": [each.name for each in reading if is_stuck(each)],
    }


def is_stuck(each):
    """Return whether a thread or a process does not end in time: PyMC waits for two seconds."""
    each.join(10)
    return each.is_alive()


if __name__ == "__main__":
    main(*sys.argv[1:])
