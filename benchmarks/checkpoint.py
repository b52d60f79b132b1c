"""What it costs to keep a run on disk, and what a resume takes.

A logistic regression with few coefficients and one with many, by default settings, long enough for
several commits. Within one run, what the step takes with its checkpoint is divided by what the
draws alone take: seconds of the wall, the waiting for the disk included. (Two runs, one with and
one without, differ by far more on a machine that does something else as well.) Then the run is
started again when it is over: the seconds of its setup and of its replay, beside the first time's.

Run it with ``python benchmarks/checkpoint.py``; ``--help`` lists what can be changed.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
from threadpoolctl import threadpool_limits

from pymc_sgld import SGLD
from pymc_sgld.checkpoint import Checkpoint, chain

SETTINGS = {"chains": 1, "cores": 1, "tune": 0, "random_seed": 1, "progressbar": False}
SETTINGS |= {"compute_convergence_checks": False, "quiet": True}


def logistic_regression(rows: int, columns: int) -> pm.Model:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, columns))
    y = X @ rng.normal(0, 1 / np.sqrt(columns), columns) > rng.logistic(size=rows)
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=columns)
        pm.Bernoulli("y", logit_p=X @ beta, observed=y)
    return model


class Stopwatch:
    """Adds up the seconds that the calls of a method take."""

    def __init__(self, owner: type, name: str) -> None:
        self.seconds = 0.0
        method = getattr(owner, name)

        @wraps(method)
        def timed(*arguments: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(*arguments)
            finally:
                self.seconds += time.perf_counter() - began

        setattr(owner, name, timed)


def seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that a function takes, and its result."""
    began = time.perf_counter()
    result = run()
    return time.perf_counter() - began, result


def compared(columns: int, draws: int, repeats: int, watches: list[Stopwatch]) -> None:
    """Print a line for each run of a model, and one for all."""
    model, ratios = logistic_regression(20_000, columns), []

    def sample(step: SGLD) -> Any:
        with model:
            return pm.sample(draws, step=step, **SETTINGS)

    with tempfile.TemporaryDirectory() as folder:
        for i in range(repeats):
            make = partial(SGLD, model=model, checkpoint=Path(folder) / str(i))
            setup, step = seconds(make)
            for watch in watches:
                watch.seconds = 0.0
            sample(step)
            with_it, disk, alone = (watch.seconds for watch in watches)
            ratios.append(with_it / alone)
            again, step = seconds(make)
            replay, _ = seconds(partial(sample, step))
            print(
                f"{columns:>5} coefficients: draws {alone:.2f} s, with the checkpoint "
                f"{with_it:.2f} s, of which commits {disk:.2f} s; setup {setup:.1f} s, again "
                f"{again:.1f} s; replay {replay:.2f} s",
                flush=True,
            )
    print(
        f"{columns:>5} coefficients: ratio {np.median(ratios):.4f} ({min(ratios):.4f} to "
        f"{max(ratios):.4f})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--draws", type=int, nargs=2, default=[20_000, 2000])
    parser.add_argument("--columns", type=int, nargs=2, default=[10, 400])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    logging.getLogger("pymc").setLevel(logging.ERROR)
    watched = (Checkpoint, "step"), (chain.ChainFiles, "_commit"), (SGLD, "_advance")
    watches = [Stopwatch(*each) for each in watched]
    with threadpool_limits(1):
        for columns, draws in zip(arguments.columns, arguments.draws, strict=True):
            compared(columns, draws, arguments.repeats, watches)


if __name__ == "__main__":
    main()
