"""What it takes to use a result at size: loo, predictions and log-likelihoods of 10,000,000 rows.

The data are a logistic regression on a memory map, made in a temporary folder, and the draws those
of the Gaussian around its mode, by Newton's method. Each line is a process of its own: seconds of
the call, how much its peak memory (``VmHWM`` of Linux) rose above that before the call, and how
often the rows were read.

Then, on 32,561 rows and 123 columns of ``a9a``, estimates by a sample of rows are set beside
leave-one-out cross-validation of all rows, from the whole log-likelihood and by ArviZ: over 2,000
samples, the errors and what is stated of them.

At last a run of a model that holds all rows is set beside one with ``data=``, of arrays in memory
as well: seconds of the draws and of the rest of ``pm.sample``, and bytes of the result.

Run it with ``python benchmarks/results.py``; ``--help`` lists what can be changed.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pymc as pm
import xarray as xr
from known_posteriors import PUBLISHED
from large import by_newton, model_of, write
from speed.memory import peak

from pymc_sgld import SGLD, log_likelihood, loo, predict
from pymc_sgld.results.difference import Sums, difference_estimator
from pymc_sgld.sources.files import Mapped

RUN = {"progressbar": False, "quiet": True, "compute_convergence_checks": False, "random_seed": 1}
TEMPLATE = 50  # rows


class Counted(Mapped):
    """Rows of a memory map, and how many of them were read."""

    def __init__(self, path: Path) -> None:
        array = np.load(path, mmap_mode="r")
        super().__init__(array, array)
        self.counts: list[int] = []  # which a copy for data of another name shares

    def read(self, start: int, stop: int) -> np.ndarray:
        self.counts.append(stop - start)
        return super().read(start, stop)


def stored(folder: Path) -> dict[str, Counted]:
    return {name: Counted(folder / f"{name}.npy") for name in ("X", "y")}


def memory() -> float:
    """Return the megabytes of this process now, and forget the most that it had."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def draws_of(folder: Path, draws: int) -> xr.DataTree:
    """Return draws of the posterior, in four chains."""
    found = np.load(folder / "posterior.npz")
    z = np.random.default_rng(1).standard_normal((4, -(-draws // 4), len(found["mode"])))
    factor = np.linalg.cholesky(found["covariance"])
    return az.from_dict({"posterior": {"beta": found["mode"] + z @ factor.T}})


def template_of(data: Mapping[str, Any]) -> pm.Model:
    return model_of(*[data[name][:TEMPLATE].copy() for name in ("X", "y")])


Call = tuple[Callable[[], Any], Mapping[str, Counted]]


def loo_from_disk(folder: Path, **how: Any) -> Call:
    data = stored(folder)
    return partial(loo, draws_of(folder, 1000), template_of(data), data=data, **how), data


def loo_in_memory(folder: Path) -> Call:
    X, y = (np.load(folder / f"{name}.npy") for name in ("X", "y"))
    return partial(loo, draws_of(folder, 1000), model_of(X, y)), {}


def log_likelihood_to_disk(folder: Path) -> Call:
    data, how = stored(folder), {"draws": 20, "path": folder / "log_likelihood"}
    at = draws_of(folder, 1000)
    return partial(log_likelihood, at, template_of(data), data=data, **how), data


def predict_to_disk(folder: Path) -> Call:
    data, how = stored(folder), {"draws": 50, "path": folder / "predictions"}
    new = {"X": data["X"]}
    return partial(predict, draws_of(folder, 1000), template_of(data), data=new, **how), new


PARTS = {
    "loo, rows on disk": loo_from_disk,
    "loo(pointwise=True), rows on disk": partial(loo_from_disk, pointwise=True),
    "loo, all rows in the model": loo_in_memory,
    "predict, 50 draws, to zarr": predict_to_disk,
    "log_likelihood, 20 draws, to zarr": log_likelihood_to_disk,
}


def measured(part: str, folder: Path) -> dict[str, float]:
    """Return what a part takes, in this process."""
    call, counted = PARTS[part](folder)
    for each in counted.values():
        each.counts.clear()
    before, start = memory(), time.perf_counter()
    found = call()
    figures = {"seconds": time.perf_counter() - start, "MB": peak() - before}
    if counted:
        figures["passes"] = max(sum(each.counts) / len(each) for each in counted.values())
    if part.startswith("loo"):
        figures |= {name: float(found[name]) for name in ("elpd", "se", "subsampling_se")}
        figures["rows"] = found.subsample_size
    return figures


def table(rows: int, columns: int) -> None:
    """Print what each part takes, in a process of its own."""
    print(f"{rows:,} rows of {columns} columns, {rows * (4 * columns + 1) / 1e9:.2f} GB")
    print(f"{'':<38}{'s':>8}{'MB':>8}{'passes':>8}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, rows, columns, in_order=False)
        X, y = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("X", "y"))
        mode, covariance, _ = by_newton(X, y)
        np.savez(folder / "posterior.npz", mode=mode, covariance=covariance)
        for part in PARTS:
            command = [sys.executable, __file__, "--part", part, "--folder", name]
            run = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(run.stdout.splitlines()[-1])
            passes = f"{found['passes']:.2f}" if "passes" in found else ""
            print(f"{part:<38}{found['seconds']:8.1f}{found['MB']:8.0f}{passes:>8}", flush=True)
            if "elpd" in found:
                share = found["subsampling_se"] / found["se"]
                print(
                    f"    elpd {found['elpd']:.0f}, standard error {found['se']:.0f}, of which the "
                    f"choice of {found['rows']} rows {found['subsampling_se']:.2g} ({share:.2%})"
                )


def beside_all_rows(repeats: int) -> None:
    """Print the error of estimates by a sample beside what is stated, on a9a."""
    [make] = [each for each in PUBLISHED if each.__name__ == "a9a"]
    model = make().model
    with model:
        idata = pm.sample(250, chains=4, cores=2, step=SGLD(), **RUN)
    whole = log_likelihood(idata, model)
    tree = {"posterior": idata.posterior.to_dataset(), "log_likelihood": whole}
    start = time.perf_counter()
    exact = az.loo(xr.DataTree.from_dict(tree), pointwise=True)
    print(f"a9a, all rows by ArviZ: {exact.elpd:.2f} (SE {exact.se:.2f}), ", end="")
    print(f"{time.perf_counter() - start:.0f} s and {whole.nbytes / 1e6:.0f} MB")
    start = time.perf_counter()
    found = loo(idata, model, pointwise=True)
    print(
        f"    loo: {found.elpd:.2f} (SE {found.se:.2f}), error {found.elpd - exact.elpd:+.2f}, "
        f"stated {found.subsampling_se:.2f}, by {found.subsample_size} rows, "
        f"{time.perf_counter() - start:.0f} s"
    )
    each, near = exact.elpd_i.to_numpy(), found.elpd_loo_approx.to_numpy()
    everywhere, rng = Sums(), np.random.default_rng(1)
    everywhere.add(near)
    for size in (1000, 4000):
        estimates = []
        for _ in range(repeats):
            picked = rng.choice(len(each), size, replace=False)
            estimates.append(difference_estimator(each[picked], near[picked], everywhere))
        errors = np.array([estimate.total - exact.elpd for estimate in estimates])
        stated = np.array([estimate.subsampling_se for estimate in estimates])
        print(
            f"    {repeats} samples of {size} rows: errors have a mean of {errors.mean():+.2f} and "
            f"a standard deviation of {errors.std():.2f}; stated, on average, {stated.mean():.2f} "
            f"({stated.mean() / exact.se:.1%} of the SE); "
            f"{np.mean(abs(errors) < 2 * stated):.1%} are within twice of what is stated"
        )


def copies(rows: int, columns: int) -> None:
    """Print what data in the model cost the result, beside data=."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, rows, columns, in_order=False)
        X, y = (np.load(folder / f"{name}.npy") for name in ("X", "y"))
    for label, model, data in (
        ("all rows in the model", model_of(X, y), None),
        ("data=, arrays in memory", template_of({"X": X, "y": y}), {"X": X, "y": y}),
    ):
        with model:
            start = time.perf_counter()
            step = SGLD(data=data)
            setup = time.perf_counter() - start
            start = time.perf_counter()
            idata = pm.sample(500, chains=1, step=step, **RUN | {"tune": 100})
            seconds = time.perf_counter() - start
        sampling = idata.posterior.attrs["sampling_time"]
        print(
            f"{label}: SGLD() {setup:.1f} s, draws {sampling:.2f} s, and pm.sample "
            f"{seconds - sampling:.2f} s beside them; the result has {idata.nbytes / 1e6:.1f} MB",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--columns", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=2000, help="samples of a9a")
    parser.add_argument("--part", help="measure one part only; needs --folder")
    parser.add_argument("--folder", type=Path, help="with the data and the posterior")
    options = parser.parse_args()
    logging.getLogger("pymc").setLevel(logging.ERROR)
    if options.part:
        print(json.dumps(measured(options.part, options.folder)))
        return
    table(options.rows, options.columns)
    beside_all_rows(options.repeats)
    copies(options.rows, options.columns)


if __name__ == "__main__":
    main()
