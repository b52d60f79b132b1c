"""What SGLD costs: microseconds per update, and seconds to the first draw.

Three tables are printed.

1. Logistic regression with a million rows, 50 columns and batches of 128 rows, beside BlackJAX's
   SGLD in ``lax.scan`` on the same data: with random rows, as its users write it, and with
   contiguous blocks of rows that were shuffled before, as this package reads them. All run in turn
   in one process.
2. The time of an update for 10^4 and 10^6 rows, which should not depend on that number, for three
   models: the logistic regression, varying intercepts of 400 groups, and a network of two layers.
3. Seconds from the call (``SGLD(...)`` and ``pm.sample``) to the first draw, beside PyMC's NUTS,
   each in a process of its own, with empty and with warm compilation caches.

Times vary with what else the machine is doing, so read the ratios. Run it with ``make benchmark``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import pandas as pd
import pymc as pm

from pymc_sgld import SGLD

COLUMNS, BATCH_SIZE, UPDATES = 50, 128, 2000
STEP_SIZE = 1e-7
TEXTBOOK = {"step_size": STEP_SIZE, "gradient": "minibatch", "preconditioner": "identity"}


def simulate(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a design matrix (rows, COLUMNS) and binary outcomes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, COLUMNS))
    y = rng.random(rows) < 1 / (1 + np.exp(-X @ rng.normal(scale=0.2, size=COLUMNS)))
    return X, y.astype("int64")


def logistic_regression(X: np.ndarray, y: np.ndarray) -> pm.Model:
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=X.shape[1])
        pm.Bernoulli("y", logit_p=pm.Data("X", X) @ beta, observed=y)
    return model


def varying_intercepts(X: np.ndarray, y: np.ndarray) -> pm.Model:
    group = np.random.default_rng(1).integers(0, 400, len(y))
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=5)
        intercept = pm.Normal("intercept", 0, pm.HalfNormal("spread"), shape=400)
        mean = intercept[group] + np.ascontiguousarray(X[:, :5]) @ beta
        pm.Normal("outcome", mean, pm.HalfNormal("noise"), observed=X[:, 5] + y)
    return model


def network(X: np.ndarray, y: np.ndarray) -> pm.Model:
    with pm.Model() as model:
        first = pm.Normal("first", 0, 0.2, shape=(X.shape[1], 16))
        second = pm.Normal("second", 0, 0.5, shape=16)
        hidden = pm.math.tanh(pm.Data("X", X) @ first)
        pm.Bernoulli("y", logit_p=hidden @ second, observed=y)
    return model


def our_updates(model: pm.Model, steps_per_draw: int = 100) -> Callable[[], None]:
    """Return a function that runs UPDATES updates, with all that a draw does in Python."""
    step = SGLD(batch_size=BATCH_SIZE, steps_per_draw=steps_per_draw, model=model, **TEXTBOOK)
    state = {"point": model.initial_point()}

    def run() -> None:
        for _ in range(UPDATES // steps_per_draw):
            state["point"], _ = step.step(state["point"])

    return run


def blackjax_updates(X: np.ndarray, y: np.ndarray) -> dict[str, Callable[[], None]]:
    """Return the same for BlackJAX, with random rows and with contiguous blocks."""
    import blackjax
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    rows = len(y)
    data = jnp.asarray(X), jnp.asarray(y)

    def log_prior(beta):
        return -0.5 * jnp.sum(beta**2)

    def log_likelihood(beta, row):
        x, outcome = row
        eta = x @ beta
        return outcome * eta - jnp.logaddexp(0.0, eta)

    gradient = blackjax.sgmcmc.gradients.grad_estimator(log_prior, log_likelihood, rows)
    sgld = blackjax.sgld(gradient)

    def random_rows(key, data):
        picked = jax.random.randint(key, (BATCH_SIZE,), 0, rows)
        return data[0][picked], data[1][picked]

    def block(key, data):
        start = jax.random.randint(key, (), 0, rows // BATCH_SIZE) * BATCH_SIZE
        return tuple(jax.lax.dynamic_slice_in_dim(array, start, BATCH_SIZE) for array in data)

    def make(read: Callable) -> Callable[[], None]:
        @jax.jit
        def scan(key, beta, data):
            def update(beta, key):
                row_key, noise_key = jax.random.split(key)
                # its step size h is half of ours: drift h, noise variance 2 h
                return sgld.step(noise_key, beta, read(row_key, data), STEP_SIZE / 2), None

            return jax.lax.scan(update, beta, jax.random.split(key, UPDATES))[0]

        state = {"beta": jnp.zeros(COLUMNS), "key": jax.random.key(0)}

        def run() -> None:
            state["key"], key = jax.random.split(state["key"])
            state["beta"] = scan(key, state["beta"], data).block_until_ready()

        return run

    return {
        "BlackJAX, lax.scan, random rows": make(random_rows),
        "BlackJAX, lax.scan, contiguous blocks": make(block),
    }


def time_in_turn(runs: dict[str, Callable[[], None]], repeats: int) -> dict[str, np.ndarray]:
    """Return microseconds per update, shape (repeats,), of runs that take turns."""
    for run in runs.values():
        run()  # compile
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - start) / UPDATES * 1e6)
    return {name: np.array(values) for name, values in times.items()}


def table_of_times(times: dict[str, np.ndarray], reference: str) -> str:
    """Return medians, ranges, and the median of the ratios to a reference, run by run."""
    table = pd.DataFrame(
        {
            "microseconds per update": {name: np.median(v) for name, v in times.items()},
            "least": {name: v.min() for name, v in times.items()},
            "most": {name: v.max() for name, v in times.items()},
            "ratio": {name: np.median(v / times[reference]) for name, v in times.items()},
        }
    )
    return table.round(2).to_string()


def first_draw(sampler: str, rows: int) -> float:
    """Return seconds from the call to the first draw, data and model being there."""
    model = logistic_regression(*simulate(rows))

    class Arrived(Exception):
        pass

    def callback(trace, draw) -> None:
        raise Arrived

    settings = {"chains": 1, "cores": 1, "progressbar": False, "callback": callback, "quiet": True}
    settings |= {"compute_convergence_checks": False}
    start = time.perf_counter()
    with model, contextlib.suppress(Arrived):
        if sampler == "SGLD":
            step = SGLD(batch_size=BATCH_SIZE, **TEXTBOOK)
            pm.sample(draws=10, tune=0, step=step, **settings)
        else:
            pm.sample(draws=10, tune=10, nuts_sampler="pymc", **settings)
    return time.perf_counter() - start


def time_first_draws(rows: int) -> str:
    """Return seconds to the first draw, in processes of their own."""
    seconds: dict[str, dict[str, float]] = {"SGLD": {}, "NUTS": {}}
    for sampler in seconds:
        with tempfile.TemporaryDirectory() as caches:
            flags = os.environ.get("PYTENSOR_FLAGS", "")
            environment = os.environ | {
                "PYTENSOR_FLAGS": f"{flags},base_compiledir={caches}".lstrip(","),
                "NUMBA_CACHE_DIR": caches,
            }
            for caches_are in ("empty caches", "warm caches"):
                command = [sys.executable, __file__, "--first-draw", sampler, "--rows", str(rows)]
                output = subprocess.run(
                    command, env=environment, check=True, capture_output=True, text=True
                ).stdout
                seconds[sampler][caches_are] = json.loads(output.splitlines()[-1])
    table = pd.DataFrame(seconds).T
    table.loc["ratio SGLD / NUTS"] = table.loc["SGLD"] / table.loc["NUTS"]
    return table.round(2).to_string()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first-draw", choices=["SGLD", "NUTS"], help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    if arguments.first_draw:
        print(json.dumps(first_draw(arguments.first_draw, arguments.rows)))
        return
    names = ("pymc", "pytensor", "numba", "jax", "blackjax", "numpy")
    print(", ".join(f"{name} {version(name)}" for name in names))
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores\n")
    rows = arguments.rows
    print(f"Logistic regression, {rows} rows, {COLUMNS} columns, batches of {BATCH_SIZE}, float64")
    X, y = simulate(rows)
    ours = f"pymc_sgld, {rows} rows"
    runs = {ours: our_updates(logistic_regression(X, y))} | blackjax_updates(X, y)
    times = time_in_turn(runs, arguments.repeats)
    print(table_of_times(times, ours), flush=True)
    few = min(10_000, rows)
    for build in (logistic_regression, varying_intercepts, network):
        print(f"\nBy the number of rows: {build.__name__.replace('_', ' ')}")
        runs = {
            f"{size} rows": our_updates(build(X[:size].copy(), y[:size].copy()))
            for size in (few, rows)
        }
        times = time_in_turn(runs, arguments.repeats)
        print(table_of_times(times, f"{few} rows"), flush=True)
    print(f"\nSeconds to the first draw, {few} rows")
    print(time_first_draws(few))


if __name__ == "__main__":
    main()
