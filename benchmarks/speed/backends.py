"""The backends of PyTensor: seconds to compile, and microseconds per update of this package.

Each is measured in a process of its own with empty caches, by the clock on the wall.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from speed import same_dynamics
from speed.models import MODELS
from speed.peers.pymc_sgld import make, runs
from speed.processes import result_of, with_caches
from speed.updates import STEP_SIZE

BACKENDS = {"Numba": "NUMBA", "C": "CVM", "JAX": "JAX"}


def seconds(name: str, mode: str, batch_size: int, repeats: int) -> tuple[float, float]:
    """Return seconds until a step is made and has run once, and of one update (a median)."""
    problem = MODELS[name]()
    model, position = problem.model(), same_dynamics.start(problem)
    start = time.perf_counter()
    run = runs(problem, *make(problem, batch_size, model, mode))
    run(position, STEP_SIZE)
    made, found = time.perf_counter() - start, []
    for _ in range(repeats):
        start = time.perf_counter()
        run(position, STEP_SIZE)
        found.append((time.perf_counter() - start) / problem.updates)
    return made, float(np.median(found))


def measure(name: str, batch_size: int, repeats: int) -> pd.DataFrame:
    """Return a table with a line for each backend."""
    lines = {}
    for backend, mode in BACKENDS.items():
        with tempfile.TemporaryDirectory() as caches:
            task = "speed.backends", name, mode, batch_size, repeats
            made, one = result_of(*task, **with_caches(caches))
        lines[backend] = {"s to compile and run once": made, "µs per update": 1e6 * one}
    return pd.DataFrame(lines).T


if __name__ == "__main__":
    with threadpool_limits(1):
        print(json.dumps(seconds(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
