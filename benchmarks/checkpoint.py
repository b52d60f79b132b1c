"""What it costs to keep a run on disk, and what a resume takes.

The same run with a checkpoint and without, in turn: a logistic regression with few coefficients and
one with many, by default settings, long enough for several commits. Seconds are those of the
processor in this process, so that what else the machine does counts little; what a disk takes to
answer is not in them, and is printed beside them, as a share of the time of the wall. The ratio is
the median of the ratios of one turn. Then the run is started again when it is over: the seconds of
its setup and of its replay, beside those of the first time.

Run it with ``python benchmarks/checkpoint.py``; ``--help`` lists what can be changed.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
from threadpoolctl import threadpool_limits

from pymc_sgld import SGLD
from pymc_sgld.checkpoint import files

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


def seconds(run: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return the processor's seconds that a function takes, those of the wall, and its result."""
    began, wall = time.process_time(), time.perf_counter()
    result = run()
    return time.process_time() - began, time.perf_counter() - wall, result


def flushed() -> list[float]:
    """Return a list that takes the seconds of each flush of a disk from now on."""
    found: list[float] = []

    def flush(descriptor: int) -> None:
        began = time.perf_counter()
        os.fsync(descriptor)
        found.append(time.perf_counter() - began)

    files._flush = flush
    return found


def compared(columns: int, draws: int, repeats: int) -> None:
    """Print a line for a model."""
    model, ratios, flushes = logistic_regression(20_000, columns), [], flushed()
    wall_of_all = 0.0

    def sample(step: SGLD) -> Any:
        with model:
            return pm.sample(draws, step=step, **SETTINGS)

    with tempfile.TemporaryDirectory() as folder:
        plain = SGLD(model=model)
        for i in range(repeats):
            path = Path(folder) / str(i)
            setup, _, kept = seconds(lambda path=path: SGLD(model=model, checkpoint=path))
            flushes.clear()
            pair = [(plain, *seconds(lambda: sample(plain))[:2])]
            pair.append((kept, *seconds(lambda kept=kept: sample(kept))[:2]))
            (_, without, _), (_, with_it, wall) = pair
            ratios.append(with_it / without)
            disk = sum(flushes) / wall
            again, _, resumed = seconds(lambda path=path: SGLD(model=model, checkpoint=path))
            replay, _, _ = seconds(lambda resumed=resumed: sample(resumed))
            wall_of_all += wall
            print(
                f"{columns:>5} coefficients: {without:.2f} s without, {with_it:.2f} s with; "
                f"{len(flushes) // 3} commits, {disk:.2%} of the time waiting for the disk; setup "
                f"{setup:.2f} s, again {again:.2f} s; replay {replay:.2f} s",
                flush=True,
            )
    spread = np.ptp(ratios) / 2
    print(f"{columns:>5} coefficients: ratio {np.median(ratios):.4f} (± {spread:.4f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--draws", type=int, nargs=2, default=[20_000, 4000])
    parser.add_argument("--columns", type=int, nargs=2, default=[10, 400])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    logging.getLogger("pymc").setLevel(logging.ERROR)
    with threadpool_limits(1):
        for columns, draws in zip(arguments.columns, arguments.draws, strict=True):
            compared(columns, draws, arguments.repeats)


if __name__ == "__main__":
    main()
