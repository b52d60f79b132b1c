"""What SGLD costs beside other libraries: the benchmark of speed.

updates     microseconds per update beside BlackJAX (random rows, and contiguous blocks), PyTorch
            (``posteriors``) and a loop written by hand in Numba, which is the floor: three models,
            three batch sizes. All run the same dynamics, which is checked before, on the same
            data in the same precision, in turn and on one thread
rows        the same of this package for 10^4 and 10^6 rows, which should not depend on them
profile     where the microseconds of an update go
memory      peak memory of each sampler, in a process of its own
backends    the same of this package with Numba, C and JAX, and what they take to compile
cold-start  seconds to the first draw beside PyMC's NUTS, with empty and with warm caches
ess         effective sample size per second beside nutpie and PyMC's NUTS, 10^4 to 10^6 rows

Seconds are those of the processor, but for cold starts, so that other programs disturb them little.
They still differ from run to run: read the ratios, which are medians of ratios of one turn.

Run it with ``make benchmark``, or a part of it with ``python benchmarks/overhead.py``; ``--help``
lists what can be changed. A peer that is not installed is left out.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
from speed.models import MODELS, Problem
from speed.peers import NEEDS, missing
from speed.timing import printed
from threadpoolctl import threadpool_limits

PACKAGES = "pymc pytensor numba jax blackjax torch posteriors nutpie numpy".split()
SIZES = 10_000, 100_000, 1_000_000
PEERS = [peer for peer in NEEDS if peer != "pymc_sgld"]


def processor() -> str:
    """Return the model of the processor."""
    described = Path("/proc/cpuinfo")
    names = described.read_text().splitlines() if described.exists() else []
    found = next((line.split(":")[1].strip() for line in names if "model name" in line), "")
    return found or platform.processor() or platform.machine()


def environment(packages: Iterable[str] = PACKAGES) -> str:
    """Return the machine and the versions."""
    versions = []
    for name in packages:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"{name} not installed")
    machine = f"{processor()}, {os.cpu_count()} cores, one thread"
    return f"{machine}; Python {platform.python_version()}, {', '.join(versions)}"


def build(name: str, rows: int | None) -> Problem:
    """Simulate the data of a model; the network has a number of rows of its own."""
    return MODELS[name](rows) if rows and name != "network" else MODELS[name]()


def progress(message: str) -> None:
    """Say what is being measured, beside the tables."""
    print(f"measuring: {message} ...", file=sys.stderr, flush=True)


def updates(arguments: argparse.Namespace, peers: list[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give a table for each model and batch size."""
    from speed.updates import measure, side_by_side

    for name in arguments.models:
        problem, found = build(name, arguments.rows), {}
        for size in arguments.batch_sizes:
            progress(f"{name}, batches of {size}")
            table = measure(problem, size, peers, arguments.repeats)
            found[f"batches of {size}"] = table
            if not arguments.markdown:
                yield f"{problem.title}, batches of {size}", table
        yield f"{problem.title}: µs per update (times that of pymc_sgld)", side_by_side(found)


def rows(arguments: argparse.Namespace, peers: list[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give a table for each model of which there can be many rows."""
    from speed.updates import by_rows

    for name in arguments.models:
        if name != "network":
            progress(name)
            most = build(name, arguments.rows)
            few = build(name, min(10_000, most.rows))
            yield f"{name}, by the number of rows", by_rows([few, most], 128, arguments.repeats)


def profile(arguments: argparse.Namespace, peers: list[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give the parts of an update."""
    from speed.parts import measure

    problem = build("logistic", arguments.rows)
    yield (
        f"Where an update's time goes: {problem.title}, batches of 128",
        measure(problem, 128, arguments.repeats),
    )


def memory(arguments: argparse.Namespace, peers: list[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give the peak memory of processes."""
    from speed.memory import measure

    size = arguments.rows or 1_000_000
    yield f"Peak memory in MB, logistic, {size:,} rows", measure(peers, size, 128)


def backends(arguments: argparse.Namespace, peers: list[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give a table for each model."""
    from speed.backends import measure

    for name in arguments.models:
        progress(name)
        yield f"{name}, batches of 128", measure(name, 128, arguments.repeats)


def cold_start(
    arguments: argparse.Namespace, peers: list[str]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give a table for each model."""
    from speed.cold_start import measure

    size = min(10_000, arguments.rows or 10_000)
    for name in arguments.models:
        progress(name)
        yield f"Seconds to the first draw, {name}, {size:,} rows", measure(name, size, 128)


def ess(arguments: argparse.Namespace, peers: list[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give effective sample sizes per second, where nutpie is installed."""
    if find_spec("nutpie") is None:
        print("\nnutpie: not installed, so there are no effective sample sizes", flush=True)
        return
    from speed.ess import measure

    columns, most = {}, arguments.rows or max(SIZES)
    for size in [n for n in SIZES if n <= most] or [most]:
        progress(f"{size:,} rows")
        with threadpool_limits(1):  # of the libraries that were loaded by now
            columns[f"{size:,} rows"] = measure(size)
    yield "Effective sample size per second", pd.DataFrame(columns)


PARTS = {
    "updates": updates,
    "rows": rows,
    "profile": profile,
    "memory": memory,
    "backends": backends,
    "cold-start": cold_start,
    "ess": ess,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="*", default=[*PARTS], choices=PARTS)
    parser.add_argument("--models", nargs="*", default=[*MODELS], choices=MODELS)
    parser.add_argument("--batch-sizes", nargs="*", type=int, default=[32, 128, 1024])
    parser.add_argument("--peers", nargs="*", default=PEERS, choices=PEERS)
    parser.add_argument("--repeats", type=int, default=9, help="turns, for medians")
    parser.add_argument("--rows", type=int, help="at most, of all but the network; 10^6 by default")
    parser.add_argument("--markdown", action="store_true", help="tables for the documentation")
    arguments = parser.parse_args()
    logging.getLogger("pymc").setLevel(logging.ERROR)
    print(environment(), flush=True)
    peers = []
    for peer in arguments.peers:
        if absent := missing(peer):
            print(f"{peer}: not installed ({', '.join(absent)})", flush=True)
        else:
            peers.append(peer)
    with threadpool_limits(1):
        for part in arguments.parts:
            progress(part)
            for title, table in PARTS[part](arguments, peers):
                print(f"\n{title}\n\n{printed(table, arguments.markdown)}", flush=True)


if __name__ == "__main__":
    main()
