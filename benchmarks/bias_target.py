"""Whether `bias_target` is kept: the variance inflation that is asked for, and the one measured.

Three models whose posterior covariance is known, with rare groups of rows, so that the noise of
their gradients limits the step:

linear     a regression with a known noise, two rare binary columns; control variates
logistic   a probability for each of eight groups of rows, two of them rare; control variates
poisson    a rate for each of five groups of rows; gradient="minibatch"

A line is a model, a batch size, a target, and what four chains measure, as relative inflations of
the variance with their standard errors:

mean       the average over all directions
worst      in the direction that two of the chains find worst, measured by the other two, and the
           other way round: the greatest of many noisy figures would be too great
errors     by how many standard errors the worst exceeds the target

Run it with ``make bias-target``; ``python benchmarks/bias_target.py --help`` lists what can be
changed.
"""

from __future__ import annotations

import argparse
import logging
import platform
from collections.abc import Callable
from importlib.metadata import version
from typing import NamedTuple

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt

from pymc_sgld import SGLD

CHAINS, LEAST, MOST = 4, 1000, 8_000  # draws of a chain


class Known(NamedTuple):
    """A model with the vector ``theta``, its posterior mean and covariance, and settings."""

    model: pm.Model
    mean: np.ndarray
    covariance: np.ndarray
    settings: dict[str, str]


def linear() -> Known:
    """Ten coefficients with normal priors; columns that are 1 in a row out of 100 and of 200."""
    rng = np.random.default_rng(1)
    design = rng.standard_normal((5_000, 10))
    design[:, 0] = np.arange(5_000) % 100 == 0
    design[:, 1] = np.arange(5_000) % 200 == 1
    outcome = design @ rng.standard_normal(10) + rng.standard_normal(5_000)
    with pm.Model() as model:
        theta = pm.Normal("theta", 0, 10, shape=10)
        pm.Normal("y", pt.dot(design, theta), 1, observed=outcome)
    covariance = np.linalg.inv(design.T @ design + np.eye(10) / 100)
    return Known(model, covariance @ design.T @ outcome, covariance, {})


def logistic() -> Known:
    """Eight groups of 5,000 rows in all, the smallest of 50 and 100 rows."""
    sizes = np.array([50, 100, 400, 600, 750, 900, 1000, 1200])
    rng = np.random.default_rng(2)
    group = rng.permutation(np.repeat(np.arange(8), sizes))
    y = rng.random(5_000) < np.array([0.3, 0.6, 0.2, 0.5, 0.7, 0.4, 0.5, 0.8])[group]
    with pm.Model() as model:
        theta = pm.Normal("theta", 0, 2, shape=8)
        pm.Bernoulli("y", logit_p=theta[group], observed=y.astype(int))
    positives = np.bincount(group, weights=y)
    mean, variance = by_quadrature(
        lambda theta, k: positives[k] * theta - sizes[k] * np.logaddexp(0, theta) - theta**2 / 8, 8
    )
    return Known(model, mean, np.diag(variance), {})


def poisson() -> Known:
    """Five groups of 1,000 rows in all, the smallest of 40 rows."""
    sizes = np.array([40, 110, 200, 300, 350])
    rng = np.random.default_rng(3)
    group = rng.permutation(np.repeat(np.arange(5), sizes))
    counts = rng.poisson(np.array([5, 2, 3, 8, 4])[group])
    with pm.Model() as model:
        theta = pm.Normal("theta", 0, 2, shape=5)
        pm.Poisson("y", pt.exp(theta[group]), observed=counts)
    totals = np.bincount(group, weights=counts)
    mean, variance = by_quadrature(
        lambda theta, k: totals[k] * theta - sizes[k] * np.exp(theta) - theta**2 / 8, 5
    )
    return Known(model, mean, np.diag(variance), {"gradient": "minibatch"})


def by_quadrature(log_density: Callable, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return means and variances of independent coordinates, by sums over a grid of each."""
    moments = []
    grid = np.linspace(-4, 4, 200_001)
    for k in range(size):
        values = log_density(grid, k)
        weights = np.exp(values - values.max())
        mean = np.average(grid, weights=weights)
        moments.append((mean, np.average((grid - mean) ** 2, weights=weights)))
    return tuple(np.array(moments).T)


def inflation(squares: np.ndarray) -> tuple[float, float]:
    """Return the mean of squares of standardised draws less 1, and its standard error."""
    return float(squares.mean() - 1), float(az.mcse(squares))


def measure(known: Known, draws: np.ndarray) -> dict[str, float]:
    """Return the mean and the worst inflation, with standard errors, in percent."""
    white = np.linalg.inv(np.linalg.cholesky(known.covariance))
    z = (draws - known.mean) @ white.T  # (chain, draw, d), standard normal without a bias
    half = len(z) // 2
    worst = np.empty(z.shape[:2])
    for seen, judged in ((slice(half), slice(half, None)), (slice(half, None), slice(half))):
        second = np.einsum("cdi,cdj->ij", z[seen], z[seen])
        worst[judged] = (z[judged] @ np.linalg.eigh(second)[1][:, -1]) ** 2
    found = {"mean": inflation((z**2).mean(axis=2)), "worst": inflation(worst)}
    return {
        name: 100 * value
        for key, (size, error) in found.items()
        for name, value in ((key, size), (f"± {key}", error))
    }


def run(build: Callable[[], Known], batch_size: int, target: float, batching: str, budget: int):
    """Return one line of the table."""
    known = build()
    with known.model:
        step = SGLD(batch_size=batch_size, bias_target=target, batching=batching, **known.settings)
        draws = int(np.clip(budget // (CHAINS * step.steps_per_draw), LEAST, MOST))
        idata = pm.sample(
            draws,
            step=step,
            chains=CHAINS,
            random_seed=1,
            progressbar=False,
            compute_convergence_checks=False,
        )
    found = measure(known, idata.posterior["theta"].to_numpy())
    return {
        "model": build.__name__,
        "batching": batching,
        "batch": batch_size,
        "step": float(step.schedule(np.zeros(1, dtype=int))[0]),
        "taken": float(idata.sample_stats["step_size"].mean()),
        "target": 100 * target,
        **found,
        "errors": (found["worst"] - 100 * target) / found["± worst"],
    }


MODELS = {build.__name__: build for build in (linear, logistic, poisson)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=[*MODELS], choices=MODELS)
    parser.add_argument("--batch-sizes", nargs="*", type=int, default=[32, 128, 512])
    parser.add_argument("--targets", nargs="*", type=float, default=[0.05, 0.2])
    parser.add_argument("--batching", nargs="*", help="by default reshuffle, and one model of both")
    parser.add_argument("--updates", type=int, default=1_000_000, help="of a line, about")
    arguments = parser.parse_args()
    logging.getLogger("pymc").setLevel(logging.ERROR)
    print(f"pymc {version('pymc')}, numpy {version('numpy')}, Python {platform.python_version()}")
    lines = []
    for name in arguments.models:
        orders = ["reshuffle", "with_replacement"] if name == "linear" else ["reshuffle"]
        for batching in arguments.batching or orders:
            for batch_size in arguments.batch_sizes:
                for target in arguments.targets:
                    line = run(MODELS[name], batch_size, target, batching, arguments.updates)
                    lines.append(line)
                    print(pd.Series(line).to_frame().T.to_string(header=False), flush=True)
    print("\nInflation of the variance in %")
    print(pd.DataFrame(lines).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
