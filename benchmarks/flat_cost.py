"""What SGLD costs as the data grow: rows and seconds for an effective sample size of 1000.

A logistic regression with 20 coefficients and 10^4, 10^5, ... rows, from default settings, beside
one gradient of all rows and, as far as it ends in time, NUTS by nutpie. Everything runs in turn, in
one process, on one core and one thread, and seconds are those of the processor, so that what else
the machine is doing counts little. Rows and seconds of sampling are those of a run with its tuning,
scaled to a least bulk effective sample size of 1000.

It prints a table and draws ``docs/figures/flat_cost.svg``. Run it with ``make flat-cost``;
``python benchmarks/flat_cost.py --help`` lists what can be changed.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import nutpie
import pandas as pd
import pymc as pm
import xarray as xr
from matplotlib.axes import Axes
from threadpoolctl import threadpool_limits

from pymc_sgld import SGLD, compare

COLUMNS, BLOCK, ESS, TUNE = 20, 100_000, 1000, 200
SETTINGS = {"chains": 2, "cores": 1, "progressbar": False, "compute_convergence_checks": False}
FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "flat_cost.svg"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#555555"  # told apart by the colour-blind too


def logistic_regression(rows: int) -> pm.Model:
    rng = np.random.default_rng(0)
    beta = rng.normal(0, 0.3, COLUMNS)
    X, y = np.empty((rows, COLUMNS)), np.empty(rows, dtype="int8")
    for start in range(0, rows, BLOCK):  # of bounded memory
        block = slice(start, min(start + BLOCK, rows))
        X[block] = rng.standard_normal((block.stop - start, COLUMNS))
        y[block] = X[block] @ beta > rng.logistic(size=block.stop - start)
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=COLUMNS)
        pm.Bernoulli("y", logit_p=pm.Data("X", X) @ beta, observed=y)
    return model


def seconds(run: Callable[[], object]) -> tuple[float, object]:
    """Return the processor's seconds that a function takes, and its result."""
    start = time.process_time()
    result = run()
    return time.process_time() - start, result


def time_gradient(model: pm.Model, repeats: int) -> float:
    """Return the median seconds of a gradient of all rows."""
    gradient, point = model.compile_dlogp(), model.initial_point()
    gradient(point)
    return float(np.median([seconds(lambda: gradient(point))[0] for _ in range(repeats)]))


def least_ess(idata: xr.DataTree) -> float:
    """Return the least bulk effective sample size of a coefficient."""
    return float(az.ess(idata.posterior)["beta"].min())


def rows_read(idata: xr.DataTree) -> int:
    """Return the rows that the chains read, tuning and the check with half the step included."""
    return int(idata.sample_stats["rows_seen"].max("draw").sum())


def of_sgld(model: pm.Model, repeats: int) -> tuple[dict[str, float], xr.DataTree]:
    """Return the costs of SGLD, and the draws of the last run."""
    with model:
        first, _ = seconds(SGLD)
        again, step = seconds(SGLD)
        costs = []
        for seed in range(repeats):
            settings = SETTINGS | {"step": step, "tune": TUNE, "random_seed": seed}
            sampling, idata = seconds(partial(pm.sample, **settings))
            scale = ESS / least_ess(idata)
            costs.append([rows_read(idata) * scale, sampling * scale])
    rows, sampling = np.median(costs, axis=0)
    found = {"compile": max(0.0, first - again), "choose": again, "rows": rows, "s": sampling}
    return found, idata


def draws_of_nuts(rows: int) -> int:
    """Return the draws of a chain, and as many before them: fewer where they take minutes."""
    return 1000 if rows <= 100_000 else 200


def of_nuts(model: pm.Model, rows: int) -> tuple[dict[str, float], xr.DataTree]:
    """Return the costs of NUTS by nutpie, and its draws."""
    length = draws_of_nuts(rows)
    compiling, compiled = seconds(lambda: nutpie.compile_pymc_model(model))
    settings = {"chains": 2, "cores": 1, "progress_bar": False, "seed": 1, "save_warmup": True}
    nutpie.sample(compiled, draws=5, tune=5, **settings)  # compile what is left
    sampling, idata = seconds(
        lambda: nutpie.sample(compiled, draws=length, tune=length, **settings)
    )
    stats = idata.warmup_sample_stats, idata.sample_stats
    gradients = sum(int(each["n_steps"].sum()) for each in stats)
    scale = ESS / least_ess(idata)
    found = {"compile": compiling, "rows": gradients * rows * scale, "s": sampling * scale}
    return found, idata


def verdict(idata: xr.DataTree, reference: xr.DataTree) -> str:
    """Return whether two runs agree, as far as they are long enough to tell."""
    said = compare(idata, reference).attrs["verdict"]
    by_chance = "run longer first" in said  # where they do not agree
    return "draws too few to tell" if by_chance else said.split(":")[0]


def measure(rows: int, repeats: int, with_nuts: bool) -> pd.Series:
    """Return one line of the results."""
    model = logistic_regression(rows)
    line = {"gradient s": time_gradient(model, 7)}
    sgld, idata = of_sgld(model, repeats)
    line |= {f"SGLD {key}": value for key, value in sgld.items()}
    if with_nuts:
        nuts, reference = of_nuts(model, rows)
        line |= {f"NUTS {key}": value for key, value in nuts.items()}
        line["verdict"] = verdict(idata, reference)
    return pd.Series(line, name=rows)


def table(found: pd.DataFrame) -> str:
    """Return what is printed: costs in passes over the data and in gradients of all rows."""
    rows, gradient = found.index.to_numpy(), found["gradient s"]
    columns = {
        "s of one gradient": gradient,
        "s to compile": found["SGLD compile"],
        "s to choose": found["SGLD choose"],
        "the same in gradients": found["SGLD choose"] / gradient,
        "million rows": found["SGLD rows"] / 1e6,
        "passes": found["SGLD rows"] / rows,
        "s": found["SGLD s"],
        "in gradients": found["SGLD s"] / gradient,
        "NUTS million rows": found["NUTS rows"] / 1e6,
        "NUTS s": found["NUTS s"],
        "ESS/s, SGLD / NUTS": found["NUTS s"] / found["SGLD s"],
        "the same with choosing": found["NUTS s"] / (found["SGLD s"] + found["SGLD choose"]),
    }
    printed = pd.DataFrame(columns).map(lambda value: "" if np.isnan(value) else f"{value:.3g}")
    printed["compare"] = found["verdict"].fillna("")
    return printed.T.to_string(header=[f"{size:,} rows" for size in rows])


def draw(axes: Axes, sizes: np.ndarray, lines: list[tuple], ylabel: str) -> None:
    """Draw costs against the number of rows, each line labelled at its right end."""
    for values, colour, style, text in lines:
        known = np.isfinite(values)
        axes.plot(sizes[known], np.asarray(values)[known], style, color=colour, markersize=5)
        if text and known.any():
            axes.annotate(
                text,
                (sizes[known][-1], np.asarray(values)[known][-1]),
                xytext=(8, 0),
                textcoords="offset points",
                color=colour,
                va="center",
                fontsize=9,
            )
    axes.set(xscale="log", yscale="log", xlabel="rows of the data", ylabel=ylabel)
    axes.set_xticks(sizes)
    axes.minorticks_off()
    axes.margins(x=0.06)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.92")


def picture(found: pd.DataFrame) -> plt.Figure:
    """Return the figure: rows and seconds against the number of rows."""
    sizes, gradient = found.index.to_numpy(), found["gradient s"]
    # as many gradients as on the largest data that NUTS was run on
    nuts_rows = (found["NUTS rows"] / sizes).ffill() * sizes
    nuts_seconds = (found["NUTS s"] / gradient).ffill() * gradient
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4), layout="constrained")
    lines = [
        (nuts_rows, ORANGE, ":", "NUTS"),
        (found["NUTS rows"], ORANGE, "o-", ""),
        (found["SGLD rows"], BLUE, "o-", "SGLD"),
        (sizes, GREY, "--", "one gradient\nof all rows"),
    ]
    draw(left, sizes, lines, f"rows read for an ESS of {ESS:,}")
    lines = [
        (nuts_seconds, ORANGE, ":", "NUTS"),
        (found["NUTS s"], ORANGE, "o-", ""),
        (found["SGLD s"], BLUE, "o-", "SGLD"),
        (found["SGLD s"] + found["SGLD choose"], BLUE, "s-.", "SGLD and\nits choices"),
        (gradient, GREY, "--", "one gradient\nof all rows"),
    ]
    draw(right, sizes, lines, f"seconds for an ESS of {ESS:,}")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=float, default=1e6, help="rows of the largest data set")
    parser.add_argument("--nuts-most", type=float, default=1e6, help="the same for NUTS")
    parser.add_argument("--repeats", type=int, default=5, help="runs of SGLD, for medians")
    parser.add_argument("--figure", type=Path, default=FIGURE)
    arguments = parser.parse_args()
    logging.getLogger("pymc").setLevel(logging.ERROR)
    names = ("pymc", "pytensor", "numba", "nutpie", "numpy")
    print(", ".join(f"{name} {version(name)}" for name in names))
    print(f"Python {platform.python_version()}, one of {os.cpu_count()} cores", flush=True)
    found = []
    with threadpool_limits(1):
        for power in range(4, int(np.log10(arguments.most)) + 1):
            rows = 10**power
            found.append(measure(rows, arguments.repeats, rows <= arguments.nuts_most))
            print(f"\n{found[-1].to_string(name=True)}", flush=True)
    results = pd.DataFrame(found)
    results = results.reindex(columns=results.columns.union(["NUTS rows", "NUTS s", "verdict"]))
    print(f"\nFor an effective sample size of {ESS}\n{table(results)}")
    plt.rcParams["svg.hashsalt"] = "flat_cost"
    metadata = {"Date": None} if arguments.figure.suffix == ".svg" else None
    picture(results).savefig(arguments.figure, metadata=metadata, dpi=110)
    print(f"wrote {arguments.figure.name}")


if __name__ == "__main__":
    main()
