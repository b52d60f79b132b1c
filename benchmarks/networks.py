"""Bayesian neural networks: predictions on two real data sets, beside published figures.

The protocol is that of Sommer and others (2025): a fifth of the rows, picked once, is for testing;
predictors and outcome are standardised by the others. The network has four hidden layers of 16
units, and gives mean and standard deviation of the outcome; ten members. RMSE, and the mean
negative log predictive density (NLL) of a Gaussian with the predictive mean and standard deviation,
are those of the test rows in these units. One line a seed, printed as soon as it is there, then the
mean of all:

RMSE, NLL            as above
in 50 %, in 90 %     share of the test rows in the equal-tailed interval of that probability
R-hat                of the predictive mean of a test row: the median over rows
untrusted            chains
s                    seconds of the wall clock, from the model to the draws, on ``--cores`` cores

Run it with ``make networks``, or ``python benchmarks/networks.py airfoil --seeds 1``. With
``--validate 1``, a fifth of the training rows takes the place of the test rows, picked by that
seed: settings are chosen by that.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

# a chain runs on one core, in single precision: chains are processes, which see the environment
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["PYTENSOR_FLAGS"] = f"{os.environ.get('PYTENSOR_FLAGS', '')},floatX=float32".strip(",")

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytensor.tensor as pt

from pymc_sgld import NetworkSGHMC, predict

DATA = Path(__file__).parent / "data"
HIDDEN, LAYERS = 16, 4
LEAST = 0.01  # of a standard deviation
MEMBERS, TUNE, DRAWS = 10, 1100, 900
KEPT = 2000  # draws, of all members together, that predict
RUNS = {"airfoil": 100, "bike": 100}  # updates of a draw
BIKE = ["season", "yr", "mnth", "hr", "holiday", "weekday", "workingday", "weathersit"]
BIKE += ["temp", "atemp", "hum", "windspeed"]
PUBLISHED = {  # by Sommer and others, five seeds, ten cores
    "airfoil": {
        "deep ensemble": (0.3647, 0.176, 19),
        "XGBoost": (0.2025, np.nan, 1),
        "TabPFN v2": (0.1359, -0.934, np.nan),
        "bde": (0.1216, -0.913, 240),
    },
    "bike": {
        "deep ensemble": (0.2879, -0.455, 39),
        "XGBoost": (0.2143, np.nan, 2),
        "TabPFN v2": (0.2104, -0.686, np.nan),
        "bde": (0.2261, -0.732, 2553),
    },
}


def read(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return predictors, shape (N, k), and the outcome, shape (N,)."""
    if name == "airfoil":
        table = pd.read_csv(DATA / "airfoil.csv")
        return table.iloc[:, :-1].to_numpy(float), table.iloc[:, -1].to_numpy(float)
    table = pd.read_csv(DATA / "bike_sharing_hour.csv.gz")
    return table[BIKE].to_numpy(float), table["cnt"].to_numpy(float)


def parted(
    x: np.ndarray, y: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return a training and a test part, standardised by the former.

    The rows are those of scikit-learn's ``train_test_split(test_size=0.2, random_state=seed)``.
    """
    order = np.random.RandomState(seed).permutation(len(y))  # as there
    tests = -(-len(y) // 5)
    test, train = order[:tests], order[tests:]
    units = x[train].mean(axis=0), x[train].std(axis=0)
    center, size = y[train].mean(), y[train].std()
    parts = [((x[rows] - units[0]) / units[1], (y[rows] - center) / size) for rows in (train, test)]
    return *parts[0], *parts[1]


def network(x: np.ndarray, y: np.ndarray) -> pm.Model:
    """Return a network with a mean and a standard deviation of its own for each row."""
    precision = pytensor.config.floatX
    widths = [x.shape[1], *[HIDDEN] * LAYERS, 2]
    with pm.Model() as model:
        units = pm.Data("x", x.astype(precision))
        for layer, (before, after) in enumerate(pairwise(widths)):
            weights = pm.Normal(f"weights_{layer}", shape=(before, after))
            units = units @ weights + pm.Normal(f"bias_{layer}", shape=after)
            if layer < LAYERS:
                units = pt.tanh(units)
        mean = pm.Deterministic("mean", units[:, 0])
        sd = pm.Deterministic("sd", pt.softplus(units[:, 1]) + LEAST)
        pm.Normal("y", mean, sd, observed=y.astype(precision))
    return model


def run(
    name: str,
    parts: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    seed: int,
    settings: argparse.Namespace,
) -> dict[str, float]:
    """Return the figures of one seed."""
    x, y, new, outcome = parts
    model = network(x, y)
    began = time.perf_counter()
    with model:
        step = NetworkSGHMC(
            steps_per_draw=RUNS[name], batch_size=settings.batch, compile_kwargs={"mode": "JAX"}
        )
        idata = pm.sample(
            settings.draws,
            tune=settings.tune,
            chains=settings.members,
            cores=settings.cores,
            mp_ctx="forkserver",  # JAX does not survive a fork
            step=step,
            var_names=[rv.name for rv in model.free_RVs],  # not a mean of every row
            random_seed=seed,
            progressbar=False,
            compute_convergence_checks=False,
        )
    seconds = time.perf_counter() - began
    found = predict(
        idata,
        model,
        data={"x": new.astype(pytensor.config.floatX)},
        var_names=["mean", "sd"],
        draws=KEPT,
        return_draws=True,
        progressbar=False,
    )
    means, sds = (np.asarray(found[part], float) for part in ("mean", "sd"))
    mean, variance = means.mean((0, 1)), (sds**2).mean((0, 1)) + means.var((0, 1))
    density = -0.5 * np.log(2 * np.pi * variance) - (outcome - mean) ** 2 / (2 * variance)
    noise = np.random.default_rng(seed).standard_normal(means.shape)
    ends = np.quantile(means + sds * noise, [0.05, 0.25, 0.75, 0.95], axis=(0, 1))
    inside = [(low < outcome) & (outcome < high) for low, high in (ends[1:3], ends[::3])]
    mixed = az.rhat(found[["mean"]])["mean"] if settings.members > 1 else np.nan
    return {
        "RMSE": float(np.sqrt(np.mean((outcome - mean) ** 2))),
        "NLL": -float(density.mean()),
        "in 50 %": 100 * float(inside[0].mean()),
        "in 90 %": 100 * float(inside[1].mean()),
        "R-hat": float(np.median(mixed)),
        "untrusted": int(idata.sample_stats["untrusted"][:, -1].sum()),
        "s": seconds,
    }


FORMS: dict[str, Callable[[float], str]] = {
    "RMSE": "{:.4f}".format,
    "NLL": "{:.3f}".format,
    "in 50 %": "{:.1f}".format,
    "in 90 %": "{:.1f}".format,
    "R-hat": "{:.2f}".format,
    "untrusted": "{:.0f}".format,
    "s": "{:.0f}".format,
}


def line(name: str, of: str, figures: dict[str, float]) -> str:
    """Return a line of the table."""
    cells = [FORMS[key](figures.get(key, np.nan)).replace("nan", "–") for key in FORMS]
    return f"| {' | '.join([name, of, *cells])} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="airfoil or bike; both by default")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--members", type=int, default=MEMBERS)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--batch", type=int, help="rows of an update")
    parser.add_argument("--tune", type=int, default=TUNE)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--validate", type=int, help="seed of a split of the training rows")
    settings = parser.parse_args()
    print(f"| data | | {' | '.join(FORMS)} |\n|{'---|' * (2 + len(FORMS))}", flush=True)
    for name in settings.names or RUNS:
        for whose, known in PUBLISHED[name].items():
            print(line(name, whose, dict(zip(("RMSE", "NLL", "s"), known, strict=True))))
        parts = parted(*read(name), seed=0)
        if settings.validate is not None:
            parts = parted(*parts[:2], seed=settings.validate)
        found = []
        for seed in range(settings.seeds):
            found.append(run(name, parts, seed, settings))
            print(line(name, f"seed {seed}", found[-1]), flush=True)
        print(line(name, "NetworkSGHMC", pd.DataFrame(found).mean().to_dict()), flush=True)


if __name__ == "__main__":
    main()
