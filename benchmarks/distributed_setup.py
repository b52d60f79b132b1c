"""What workers save before sampling: a logistic regression on zarr arrays, by some processes.

The data are made once in a temporary folder, which is removed at the end. ``SGLD(executor=client)``
is made on clusters of one and of more processes, each with one thread, and without a cluster; what
they find must be the same to the bit. Seconds are those of the clock, so let nothing else run. Of
each number of workers the fastest of ``--repeats`` counts: the first one compiles.

``passes`` are the seconds in which the client waits for workers, ``the rest`` those in which it
works alone: the search on a sample of the rows, the noise of gradients, and compiling. The seconds
of the processor hardly depend on what else runs, and show what may be gained: the workers' share.

A second table is a model of the time for more rows on more workers,

    seconds = rest + passes * max(parts * overhead, ceil(parts / workers) * rows_of_a_part * row) ,

with what is measured here: how many passes there are, the seconds of a worker for a row, and those
of the scheduler for a part. The rest is that of a sample of 262,144 rows, at most so many times
longer than here as that has more rows. It supposes that workers do not share a disk, or a
network, that is slower than all of them together: the bytes that they read in a second are printed
beside the seconds.

Run it with ``python benchmarks/distributed_setup.py``; ``--help`` lists what can be changed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import zarr
from distributed import Client, LocalCluster
from overhead import environment, progress

from pymc_sgld import SGLD
from pymc_sgld.minibatch.blocks import parts_of
from pymc_sgld.minibatch.density import Table
from pymc_sgld.minibatch.selection.rows import Data
from pymc_sgld.sources.bind import bind
from pymc_sgld.sources.source import ArraySource
from pymc_sgld.tuning.posterior.subsample import MOST, sample_of
from pymc_sgld.workers.executor import DaskWorkers

BYTES = 4  # of a number
ROWS, WORKERS = (10**9, 10**10, 10**11), (8, 32, 128, 512)
PACKAGES = ("pymc_sgld", "pymc", "numpy", "zarr", "distributed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2.0, help="of data (default 2)")
    parser.add_argument("--columns", type=int, default=50, help="predictors (default 50)")
    parser.add_argument("--chunk", type=int, default=5000, help="rows of a chunk (default 5000)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--folder", help="where the temporary folder is made")
    asked = parser.parse_args()
    rows = int(asked.gigabytes * 1e9 / (BYTES * asked.columns + 1))
    print(environment(PACKAGES), flush=True)
    print(f"{rows:,} rows of {asked.columns} columns, {asked.gigabytes:g} GB", flush=True)
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        progress("writing the data")
        write(Path(folder), rows, asked.columns, asked.chunk)
        data = {name: zarr.open_array(f"{folder}/{name}.zarr", mode="r") for name in ("X", "y")}
        measure(data, asked)


def measure(data: dict[str, Any], asked: argparse.Namespace) -> None:
    model, table, found = model_of(data), {}, []
    for count in [0, *asked.workers]:
        with clients(count) as client:
            for repeat in range(asked.repeats):
                progress(f"{count} workers, {repeat + 1} of {asked.repeats}")
                watch = Watch() if client else None
                start, before = time.perf_counter(), processor_seconds(client)
                with watched(watch):
                    step = SGLD(model=model, data=data, executor=client, progressbar=False)
                line = {"seconds": time.perf_counter() - start}
                if watch:
                    line |= {"passes": watch.seconds, "the rest": line["seconds"] - watch.seconds}
                used = np.subtract(processor_seconds(client), before)
                line |= {"processor, here": used[0], "processor, workers": used[1]}
                found.append(of(step))
                table[count] = min(table.get(count, line), line, key=lambda each: each["seconds"])
            if count == asked.workers[0]:
                units, last = of_a_worker(client, data, asked), watch
    same = all(np.array_equal(one, other) for each in found for one, other in zip(each, found[0]))
    frame = pd.DataFrame(table).T.rename(index={0: "none"}).rename_axis("workers")
    one = table[asked.workers[0]]["seconds"]
    frame[f"times as fast as {asked.workers[0]}"] = one / frame["seconds"]
    print(f"\n{frame.to_string(float_format='{:.2f}'.format, na_rep='')}")
    print(f"\nthe same to the bit: {'yes' if same else 'NO'}")
    model_of_time(data, asked, units, last, table[asked.workers[0]]["the rest"])


def model_of_time(
    data: dict[str, Any], asked: argparse.Namespace, units: dict, watch: Watch, rest: float
) -> None:
    rows = data["y"].shape[0]
    passes = watch.rows / rows
    rest *= MOST / min(MOST, max(sample_rows(data), 1))
    print(
        f"\n{passes:.1f} passes; a worker takes {1e6 * units['row']:.3f} µs for a row, of which "
        f"{1e6 * units['read']:.3f} to read it, {units['bytes'] / 1e6:.0f} MB/s;\nthe scheduler "
        f"takes {1e3 * units['task']:.2f} ms for a part; the rest {rest:.0f} s at most\n"
    )
    table = {}
    for count in ROWS:
        parts = parts_of(like(count, asked.columns, asked.chunk))
        longest = max(end - first for first, end in parts)
        table[f"{count:.0e} rows"] = {
            workers: rest
            + passes
            * max(len(parts) * units["task"], -(-len(parts) // workers) * longest * units["row"])
            for workers in WORKERS
        }
    frame = pd.DataFrame(table).T
    frame.columns = [f"{workers} workers" for workers in WORKERS]
    print("seconds before sampling, by this model")
    print(frame.to_string(float_format="{:.0f}".format))


@contextmanager
def clients(count: int) -> Iterator[Client | None]:
    """Give a client of a cluster of processes; None for none."""
    if not count:
        yield None
        return
    kinds = {"threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(n_workers=count, **kinds) as cluster, Client(cluster) as client:
        client.wait_for_workers(count)
        yield client


def processor_seconds(client: Client | None) -> tuple[float, float]:
    """Return the processor's seconds of this process, and those of all workers."""
    workers = client.run(time.process_time) if client else {}
    return time.process_time(), sum(workers.values())


class Watch:
    """Counts the seconds in which workers are waited for, and the rows that they read."""

    def __init__(self) -> None:
        self.seconds, self.rows = 0.0, 0

    def of(self, run: Any) -> Any:
        def watched(workers: Any, job: Any, method: str, i: int, parts: Any, arguments: Any) -> Any:
            results = run(workers, job, method, i, parts, arguments)
            self.rows += parts[-1][1]
            while True:
                start = time.perf_counter()
                try:
                    result = next(results)
                except StopIteration:
                    return
                finally:
                    self.seconds += time.perf_counter() - start
                yield result

        return watched


@contextmanager
def watched(watch: Watch | None) -> Iterator[None]:
    run = DaskWorkers.run
    if watch:
        DaskWorkers.run = watch.of(run)
    try:
        yield
    finally:
        DaskWorkers.run = run


def of(step: SGLD) -> list[np.ndarray]:
    """Return what a step has found."""
    gaussian = step._found.gaussian
    return [gaussian.mean, gaussian.shape.precision, np.array(step.schedule.step_size)]


class Job:
    """What a worker is timed with: reading rows, their gradients too, or nothing."""

    def __init__(self, full: Any) -> None:
        self.full, self.density = full, full.density

    def portable(self) -> Job:
        return Job(self.full.portable())

    def seconds(self, i: int, parts: Any, position: np.ndarray) -> Iterator[tuple[float, float]]:
        from pymc_sgld.minibatch.blocks import read_blocks

        for part in parts:
            next(self.full.sums_of_parts(i, [part], "_of_block_at", [position], []))  # compiles
            start = time.perf_counter()
            for _ in read_blocks(self.density.tables[i - 1], [part]):
                pass
            middle = time.perf_counter()
            next(self.full.sums_of_parts(i, [part], "_of_block_at", [position], []))
            yield middle - start, time.perf_counter() - middle

    def nothing(self, i: int, parts: Any) -> Iterator[np.ndarray]:
        yield from (np.zeros((2, 51)) for _ in parts)


def of_a_worker(
    client: Client, data: dict[str, Any], asked: argparse.Namespace
) -> dict[str, float]:
    """Return seconds to read a row, for a row altogether, and for a part of no rows."""
    progress("a worker")
    job, workers = Job(full_data(data)), DaskWorkers(client)
    parts = parts_of(job.density.tables[0])
    some = parts[: min(len(parts), 8)]
    found = workers.run(job, "seconds", 1, some, (np.zeros(asked.columns),))
    read, whole = np.sum([*found], axis=0) / some[-1][1]
    list(workers.run(job, "nothing", 1, some, ()))
    start, many = time.perf_counter(), [(k, k + 1) for k in range(4096)]
    list(workers.run(job, "nothing", 1, many, ()))
    task = (time.perf_counter() - start) / len(many)
    size = BYTES * asked.columns + 1
    return {"read": read, "row": whole, "task": task, "bytes": size / read}


def full_data(data: dict[str, Any]) -> Any:
    from pymc_sgld.backends.backend import Backend
    from pymc_sgld.minibatch.blocks import BLOCK
    from pymc_sgld.minibatch.full_data import FullData
    from pymc_sgld.minibatch.model import Minibatcher

    model = model_of(data)
    rows = Minibatcher(model, model.value_vars, model.initial_point(), sources=bind(data))
    return FullData(rows.blocks(BLOCK), Backend({}))


def sample_rows(data: dict[str, Any]) -> int:
    """Return the rows of the sample that the search begins with."""
    full = full_data(data)
    for source in full.density.tables[0].sources:  # as the first pass keeps them
        source.sample = np.empty((MOST, *source.shape[1:]), source.dtype)
    sample = sample_of(full, data["X"].shape[1])
    return 0 if sample is None else sample.rows


def like(rows: int, columns: int, chunk: int) -> Table:
    """Return a table of so many rows that are not there."""
    X = ArraySource(np.broadcast_to(np.float32(0), (rows, columns)))
    X.chunk = chunk
    return Table({}, rows, 4096, [Data(None, X, (), by_row=True)])


def write(folder: Path, rows: int, columns: int, chunk: int) -> None:
    """Write the predictors and outcomes of a logistic regression."""
    rng = np.random.default_rng(0)
    beta = rng.normal(0, 0.3, columns)
    kinds = {"X": ((rows, columns), "float32"), "y": ((rows,), "int8")}
    arrays = {
        name: zarr.create_array(
            f"{folder}/{name}.zarr",
            shape=shape,
            chunks=(chunk, *shape[1:]),
            dtype=dtype,
            config={"write_empty_chunks": True},
        )
        for name, (shape, dtype) in kinds.items()
    }
    for start in range(0, rows, 20 * chunk):
        block = rng.standard_normal((min(20 * chunk, rows - start), columns), dtype="float32")
        arrays["X"][start : start + len(block)] = block
        arrays["y"][start : start + len(block)] = block @ beta > rng.logistic(size=len(block))


def model_of(data: dict[str, Any]) -> pm.Model:
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=data["X"].shape[1])
        pm.Bernoulli("y", logit_p=pm.Data("X", data["X"][:50]) @ beta, observed=data["y"][:50])
    return model


if __name__ == "__main__":
    main()
