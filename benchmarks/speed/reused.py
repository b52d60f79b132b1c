"""A fit of a logistic regression, fresh or with what an earlier one found: run in a new process."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
from threadpoolctl import threadpool_limits

from pymc_sgld import SGLD

SETTINGS = {"progressbar": False, "quiet": True, "compute_convergence_checks": False}


def data(
    rows: int, columns: int, new: int, moved: float, other: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return covariates and outcomes: some rows, and new ones whose coefficients may have moved.

    Parameters
    ----------
    new : int
        Rows behind the others.
    moved : float
        By how much each coefficient of theirs is another one.
    other : bool
        Whether the rows are others than without it: of the same truth, by another seed.
    """
    beta = np.random.default_rng(0).normal(0, 1 / np.sqrt(columns), columns)
    rng = np.random.default_rng(2 if other else 1)
    X = rng.standard_normal((rows, columns))
    y = X @ beta > rng.logistic(size=rows)
    late = np.random.default_rng(3)
    X_new = late.standard_normal((new, columns))
    y_new = X_new @ (beta + moved) > late.logistic(size=new)
    return np.concatenate([X, X_new]), np.concatenate([y, y_new]).astype("int8")


def mode(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mode of the posterior and its standard deviations: with so many rows, a Gaussian.

    By Newton's method with NumPy, to which this package contributes nothing.
    """
    beta = np.zeros(X.shape[1])
    for _ in range(12):
        p = 1 / (1 + np.exp(-X @ beta))
        precision = (X * (p * (1 - p))[:, None]).T @ X + np.eye(X.shape[1])
        beta = beta + np.linalg.solve(precision, X.T @ (y - p) - beta)
    return beta, np.sqrt(np.diag(np.linalg.inv(precision)))


def seconds() -> tuple[float, float]:
    """Return those of the processor, of workers that ended included, and of the clock."""
    return sum(os.times()[:4]), time.perf_counter()


def on_disk(folder: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    """Return memory maps of arrays that are written to a folder."""
    found = {}
    for name, array in arrays.items():
        path = Path(folder) / f"{name}.npy"
        np.save(path, array)
        found[name] = np.load(path, mmap_mode="r")
    return found


def fit(
    X: np.ndarray, y: np.ndarray, draws: int, keep: str, disk: str, **settings: Any
) -> dict[str, Any]:
    """Return the seconds of a fit, and how far its result is from the posterior."""
    exact, deviations = mode(X, y)
    if disk:
        settings["data"] = on_disk(disk, X=X, y=y)
        X, y = X[:50].copy(), y[:50].copy()
    with pm.Model():
        beta = pm.Normal("beta", 0, 1, shape=X.shape[1])
        pm.Bernoulli("y", logit_p=pm.Data("X", X) @ beta, observed=y)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            began = seconds()
            step = SGLD(progressbar=False, **settings)
            ready = seconds()
        if draws:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                idata = pm.sample(draws, step=step, random_seed=1, cores=2, chains=4, **SETTINGS)
        done = seconds()
    if keep:
        step.save(keep)
    found = {
        "set-up": ready[0] - began[0],
        "whole": done[0] - began[0],
        "set-up, clock": ready[1] - began[1],
        "whole, clock": done[1] - began[1],
        "searched": any("searched as usual" in str(w.message) for w in said),
        "said": [str(w.message) for w in said],
        "step size": float(step.schedule.step_size),
        "batch size": step.batch_size,
    }
    if draws:
        beta = idata.posterior["beta"].values.reshape(-1, len(exact))
        found["mean"] = float(np.abs((beta.mean(axis=0) - exact) / deviations).max())
        found["sd"] = float(np.exp(np.abs(np.log(beta.std(axis=0) / deviations)).max()))
        found["means"] = (beta.mean(axis=0) / deviations).tolist()
    return found


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    logging.getLogger("pymc").setLevel(logging.ERROR)
    names = "rows", "columns", "new", "moved", "other"
    X, y = data(**{name: asked[name] for name in names})
    with threadpool_limits(1):
        given = {"settings": asked["given"]} if asked["given"] else {}
        print(json.dumps(fit(X, y, asked["draws"], asked["keep"], asked["disk"], **given)))
