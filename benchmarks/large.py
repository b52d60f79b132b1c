"""Data larger than memory: a logistic regression on a memory-mapped file of any size.

The data are made block by block in a temporary folder, which is removed at the end. The posterior
is first found without this package, by Newton's method in streamed passes with NumPy: with so many
rows it is a Gaussian around its mode. Then SGLD samples it with default settings, by one chain in
this process and by two chains in two others, which open the files for themselves.

It prints the seconds of each part, the rows that chains read in a second, the greatest private
memory of this process and of all workers together (``RssAnon`` and ``RssShmem`` of Linux: pages of
files that the system keeps for speed are not counted), and means and standard deviations beside
those of the Gaussian. Run it with ``make large``; ``python benchmarks/large.py --help`` lists what
can be changed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import arviz as az
import numpy as np
import pymc as pm
import xarray as xr

from pymc_sgld import SGLD

BLOCK, PART = 100_000, 10_000  # rows that are written at once, and that Newton's method reads
RUN = {"progressbar": False, "quiet": True, "compute_convergence_checks": False, "random_seed": 1}


class Memory:
    """The greatest private memory of this process and of its descendants, in MB, since a reset."""

    def __init__(self) -> None:
        self.own = self.workers = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def reset(self) -> None:
        self.own = self.workers = 0.0

    def _watch(self) -> None:
        while True:
            sizes = {pid: private(pid) for pid in [os.getpid(), *descendants(os.getpid())]}
            own = sizes.pop(os.getpid())
            self.own, self.workers = max(self.own, own), max(self.workers, sum(sizes.values()))
            time.sleep(0.05)


def private(process: int) -> float:
    """Return the MB of a process that are not pages of files."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    pairs = (line.split(":") for line in lines)
    return sum(int(v.split()[0]) / 1024 for k, v in pairs if k in ("RssAnon", "RssShmem"))


def descendants(process: int) -> list[int]:
    """Return the processes that a process has started, and those that they have."""
    found = []
    for tasks in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = [int(child) for child in tasks.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


@contextmanager
def timed(label: str, memory: Memory) -> Iterator[None]:
    """Print how long a part takes, and what memory."""
    memory.reset()
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    time.sleep(0.1)
    of_workers = f" + {memory.workers:.0f} in workers" if memory.workers > 1 else ""
    print(f"{label:<46}{seconds:9.1f} s{memory.own:8.0f} MB{of_workers}", flush=True)


def write(folder: Path, rows: int, columns: int, in_order: bool) -> None:
    """Write the predictors and outcomes of a logistic regression.

    In order: those of outcome 0 from the first row on, those of outcome 1 from the last row back.
    """
    rng = np.random.default_rng(0)
    beta = rng.normal(0, 0.3, columns)
    X = np.lib.format.open_memmap(folder / "X.npy", "w+", "float32", (rows, columns))
    y = np.lib.format.open_memmap(folder / "y.npy", "w+", "int8", (rows,))
    first, last = 0, rows
    for start in range(0, rows, BLOCK):
        block = rng.standard_normal((min(BLOCK, rows - start), columns), dtype="float32")
        outcomes = block @ beta > rng.logistic(size=len(block))
        if in_order:
            zeros, ones = first + np.sum(~outcomes), last - np.sum(outcomes)
            X[first:zeros], X[ones:last], y[ones:last] = block[~outcomes], block[outcomes], 1
            first, last = zeros, ones
        else:
            X[start : start + BLOCK], y[start : start + BLOCK] = block, outcomes
    X.flush(), y.flush()


def by_newton(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return mode and covariance of the posterior with a standard normal prior, and the passes.

    The modes of the first rows are where passes over all of them begin. Products of single
    precision, which block sums of double precision hold, are far more exact than is compared.
    """
    beta, passes = np.zeros(X.shape[1]), 0
    for rows in (min(BLOCK, len(X)), min(10 * BLOCK, len(X)), len(X)):
        for _ in range(20):
            gradient, precision = -beta, np.eye(len(beta))
            for start in range(0, rows, PART):
                part = slice(start, min(start + PART, rows))
                block = np.asarray(X[part])
                p = 1 / (1 + np.exp(-block @ beta.astype("float32")))
                gradient = gradient + (y[part] - p) @ block
                weights = np.sqrt(p * (1 - p))
                weighted = block * weights[:, None]
                precision += weighted.T @ weighted
            passes += rows == len(X)
            move = np.linalg.solve(precision, gradient)
            beta = beta + move
            if move @ precision @ move < 0.01:  # the next would be far below this, a tenth of an sd
                break
    return beta, np.linalg.inv(precision), passes


def model_of(X: np.ndarray, y: np.ndarray) -> pm.Model:
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=X.shape[1])
        pm.Bernoulli("y", logit_p=pm.Data("X", X) @ beta, observed=y)
    return model


def beside(idata: xr.DataTree, mode: np.ndarray, covariance: np.ndarray) -> str:
    """Return how far means and standard deviations are from those of the Gaussian."""
    sd = np.sqrt(np.diag(covariance))
    posterior = idata.posterior
    shift = (posterior["beta"].mean(("chain", "draw")).to_numpy() - mode) / sd
    ratio = posterior["beta"].std(("chain", "draw")).to_numpy() / sd
    error = az.mcse(posterior)["beta"].to_numpy() / sd
    error_of_ratio = az.mcse(posterior, method="sd")["beta"].to_numpy() / sd
    shift_size, error_size = (np.sqrt(np.mean(each**2)) for each in (shift, error))
    return (
        f"   shifts of the mean, in sd:  {shift.min():+.3f} to {shift.max():+.3f}, root mean "
        f"square {shift_size:.3f} (Monte-Carlo error {error_size:.3f})\n"
        f"   ratios of the sd:           {ratio.min():.3f} to {ratio.max():.3f}, mean "
        f"{ratio.mean():.3f} (Monte-Carlo error of one {error_of_ratio.mean():.3f})"
    )


def rate(idata: xr.DataTree, seconds: float) -> str:
    rows = float(idata.sample_stats["rows_seen"].max("draw").sum())
    return f"   {rows:.3g} rows counted, {rows / seconds:.3g} a second"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=8.0, help="of data (default 8)")
    parser.add_argument("--columns", type=int, default=50, help="predictors (default 50)")
    parser.add_argument("--draws", type=int, default=1000, help="of a chain (default 1000)")
    parser.add_argument("--in-order", action="store_true", help="sort the rows by their outcome")
    parser.add_argument("--folder", help="where the temporary folder is made")
    options = parser.parse_args()
    rows = int(options.gigabytes * 1e9 / (4 * options.columns + 1))
    memory = Memory()
    print(f"{rows:,} rows of {options.columns} columns, {options.gigabytes:g} GB")
    print(f"{'':<46}{'time':>11}{'private memory, at most':>26}")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        with timed("writing the data", memory):
            write(folder, rows, options.columns, options.in_order)
        data = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("X", "y")}
        with timed("Newton's method", memory):
            mode, covariance, passes = by_newton(data["X"], data["y"])
        print(f"   {passes} passes over the data")
        with model_of(data["X"][:50].copy(), data["y"][:50].copy()):
            with timed("SGLD: center, covariance, step size", memory):
                step = SGLD(data=data)
            for chains in (1, 2):
                where = "in this process" if chains == 1 else "in two processes"
                run = RUN | {"draws": options.draws, "chains": chains, "cores": chains}
                start = time.perf_counter()
                with timed(f"SGLD: {chains} chain{'s' * (chains > 1)} {where}", memory):
                    idata = pm.sample(step=step, mp_ctx="forkserver", **run)
                print(rate(idata, time.perf_counter() - start))
                print(beside(idata, mode, covariance), flush=True)


if __name__ == "__main__":
    main()
