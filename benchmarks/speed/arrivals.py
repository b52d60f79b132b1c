"""Seconds from a model to its first draw and to the first that is kept: run in a new process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time

import nutpie
import pymc as pm

from pymc_sgld import SGLD
from speed.cold_start import Arrived
from speed.first_draw_models import MODELS
from speed.first_draw_tables import FIRST, KEPT

TUNE = 1_000  # draws of NUTS that are not kept
PATIENCE = 4  # seconds of the wall clock for one of the processor, before a process counts as stuck
SETTINGS = {"chains": 1, "cores": 1, "random_seed": 1, "progressbar": False, "quiet": True}


def seconds() -> tuple[float, float]:
    """Return those of the processor, compilers that were called included, and of the wall clock."""
    return sum(os.times()[:4]), time.perf_counter()


class Arrivals:
    """When draws arrived: it is printed at once, and so known where a timer ends the process."""

    def __init__(self) -> None:
        self.start = seconds()
        self.found: dict[str, list[float]] = {}
        self.say()

    def say(self) -> None:
        print(json.dumps(self.found), flush=True)

    def note(self, kept: bool) -> None:
        """Note that a draw is there, and whether it is one of those that are kept."""
        missing = [name for name in (FIRST, KEPT)[: 1 + kept] if name not in self.found]
        if missing:
            passed = [now - then for now, then in zip(seconds(), self.start, strict=True)]
            self.found |= dict.fromkeys(missing, passed)
            self.say()


def by_pymc(arrivals: Arrivals, **settings) -> None:
    """Sample the model of the context, and end it with an error at the first kept draw."""

    def callback(trace, draw) -> None:
        arrivals.note(kept=not draw.tuning)
        if not draw.tuning:
            raise Arrived

    with contextlib.suppress(Arrived):
        pm.sample(callback=callback, **SETTINGS, **settings)


def sgld(arrivals: Arrivals) -> None:
    by_pymc(arrivals, step=SGLD())


def nuts(arrivals: Arrivals) -> None:
    by_pymc(arrivals, tune=TUNE, nuts_sampler="pymc")


def by_nutpie(arrivals: Arrivals) -> None:
    """Sample the model of the context, and look every 10 milliseconds for how many draws exist."""

    def progress(chains) -> None:
        (chain,) = chains
        if chain.finished_draws:
            arrivals.note(kept=chain.finished_draws > TUNE)

    compiled = nutpie.compile_pymc_model(pm.modelcontext(None))
    settings = {"chains": 1, "cores": 1, "seed": 1, "progress_bar": False, "save_warmup": False}
    nutpie.sample(
        compiled, draws=1, tune=TUNE, progress_callback=progress, progress_rate=10, **settings
    )


RUNS = {"sgld": sgld, "nuts": nuts, "nutpie": by_nutpie}


if __name__ == "__main__":
    name, sampler, limit = sys.argv[1:]
    with MODELS[name]():
        arrivals = Arrivals()
        # both end compiled code, too: the first is a result, the second a failure
        signal.setitimer(signal.ITIMER_PROF, float(limit))
        signal.setitimer(signal.ITIMER_REAL, PATIENCE * float(limit))
        RUNS[sampler](arrivals)
    if KEPT not in arrivals.found:
        raise RuntimeError(f"{sampler} on {name} ended without a draw: it would read as too slow")
