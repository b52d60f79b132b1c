"""Peak memory of each sampler: a process that simulates the data, compiles, and runs updates."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pandas as pd

from speed import same_dynamics
from speed.models import logistic
from speed.peers import samplers
from speed.processes import result_of

MEGA = 1e6


def peak() -> float:
    """Return the most megabytes that this process has held in memory so far.

    Linux hands the ``ru_maxrss`` of a process on to the programs that it starts; ``VmHWM`` is that
    of this program alone.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024 / MEGA
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEGA


def of_this_process(peer: str, rows: int, batch_size: int) -> dict[str, dict[str, float]]:
    """Return megabytes, of the first sampler of a peer."""
    import_module(f"speed.peers.{peer}")
    libraries = peak()
    problem = replace(
        logistic(rows), updates=100
    )  # of one draw: for several there are two samplers
    simulated = peak()
    name, sampler = next(iter(samplers(peer, problem, batch_size).items()))
    sampler.run(same_dynamics.start(problem), 1e-9)
    data = sum(array.nbytes for array in problem.data) / MEGA
    figures = {
        "libraries": libraries,
        "and data": simulated,
        "peak": peak(),
        "beyond libraries, in sizes of the data": (peak() - libraries) / data,
    }
    return {name: figures}


def measure(peers: Sequence[str], rows: int, batch_size: int) -> pd.DataFrame:
    """Return a table with a line for each peer, in MB."""
    found: dict[str, dict[str, float]] = {}
    for peer in ("pymc_sgld", *peers):
        found |= result_of("speed.memory", peer, rows, batch_size)
    return pd.DataFrame(found).T


if __name__ == "__main__":
    print(json.dumps(of_this_process(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
