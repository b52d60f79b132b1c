"""A run in a process of its own: its errors, its seconds, and what its certificate says.

``python -m inference.measured POSTERIOR METHOD SEED LIMIT`` prints them in JSON. Without a
posterior it is run on a small model, to fill caches with what does not depend on the model. A
method that takes more seconds of the processor than the limit is stopped.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
import time
import warnings

import known_posteriors as posteriors
import numpy as np
import pymc as pm
import xarray as xr

from inference.methods import METHODS, Problem
from pymc_sgld import SettingError, certify

MEMORY = 12 * 2**30  # of a run, in bytes


def processor_seconds() -> float:
    """Return those of this process and of its children."""
    return sum(os.times()[:4])


def errors(idata: xr.DataTree, known: posteriors.Posterior) -> dict[str, object]:
    """Return how far draws are from a reference, at worst."""
    draws = posteriors.stack(idata.posterior, known.names)
    shift = np.abs(draws.mean(axis=(0, 1)) - known.mean) / known.sd
    ratio = draws.std(axis=(0, 1)) / known.sd
    worst = np.abs(np.log(ratio)).argmax()
    return {
        "draws": draws.shape[0] * draws.shape[1],
        "mean shift": float(shift.max()),
        "sd ratio": float(ratio[worst]),
        "worst mean": known.labels[shift.argmax()],
        "worst sd": known.labels[worst],
    }


def certificate(idata: xr.DataTree, model: pm.Model) -> str:
    """Return the verdict of a certificate in a few words."""
    try:
        found = certify(idata, model, progressbar=False)
    except SettingError as error:
        return "none: " + str(error).removeprefix("cannot certify: ").partition(". ")[0]
    return found.judged.headline


def measure(name: str, method: str, seed: int, limit: float) -> dict[str, object]:
    """Run a method on a posterior."""
    build = getattr(posteriors, name)
    known, problem = build(), Problem.of(build)
    line = {"posterior": name, "method": method, "rows": problem.rows}
    if method != "nutpie":  # which returns what it has
        print(
            json.dumps(line | {"certificate": f"none: stopped after {limit:g} s of the processor"}),
            flush=True,
        )
        signal.setitimer(signal.ITIMER_PROF, limit)
    start = time.perf_counter(), processor_seconds()
    idata = METHODS[method](problem, seed, limit)
    seconds = time.perf_counter() - start[0], processor_seconds() - start[1]
    signal.setitimer(signal.ITIMER_PROF, 0)
    line |= {"s": seconds[0], "processor s": seconds[1]}
    return line | errors(idata, known) | {"certificate": certificate(idata, problem.model)}


def main() -> None:
    name, method, seed, limit = sys.argv[1:]
    logging.getLogger("pymc").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    print(json.dumps(measure(name, method, int(seed), float(limit))))


if __name__ == "__main__":
    main()
