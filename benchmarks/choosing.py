"""What batch size and step size cost: the rules of docs/choosing.md, and what runs measure.

First the rules alone, for a million rows and 20 columns. Then a logistic regression with 20 normal
columns: each line is an estimator, a number of rows and a batch size, with the step size that
``SGLD`` chooses and the rows that it reads for a draw worth an independent one (an effective draw
of a mean, averaged over the coefficients):

rule       4 n / step
measured   rows of two chains after tuning, by their effective sample size
passes     the same over the rows of the data

Run it with ``make choosing``; ``python benchmarks/choosing.py --help`` lists what can be changed.
"""

from __future__ import annotations

import argparse
import logging

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm

from pymc_sgld import SGLD

COLUMNS, TUNE = 20, 200
LARGEST = 0.3  # step size
ESTIMATORS = {
    "minibatch, independent batches": {"gradient": "minibatch", "batching": "with_replacement"},
    "minibatch": {"gradient": "minibatch"},
    "control variate": {"gradient": "control_variate"},
}


def noise(gradient: str, rows: int, batch_size: int, columns: int = COLUMNS) -> float:
    """Return the gradient noise by the rule, in units of the posterior.

    Plain minibatches: the covariance of a row's gradient is its share of the precision. Control
    variates: that of a linear regression with a known variance and independent normal columns,
    averaged over the posterior.
    """
    return rows / batch_size if gradient == "minibatch" else (columns + 1) / batch_size


def step_size(noise: float, bias_target: float = 0.05) -> float:
    """Return the step size by the rule."""
    return min(4 * bias_target / noise, LARGEST)


def rows_of_a_draw(batch_size: int, step_size: float) -> float:
    """Return the rows that an effective draw costs, by the rule."""
    return 4 * batch_size / step_size


def worked_example(rows: int = 1_000_000, batch_size: int = 128) -> None:
    print(f"By the rules, {rows:,} rows, {COLUMNS} columns, batches of {batch_size}:")
    for gradient in ("control_variate", "minibatch"):
        strength = noise(gradient, rows, batch_size)
        step = step_size(strength)
        print(
            f"{gradient}: noise {strength:,.2f}, which allows a step of {0.2 / strength:.2g}; "
            f"step {step:.2g}, {4 / step:,.0f} updates or {rows_of_a_draw(batch_size, step):,.0f} "
            "rows for an effective draw"
        )


def logistic_regression(rows: int) -> pm.Model:
    rng = np.random.default_rng(0)
    beta = rng.normal(0, 0.3, COLUMNS)
    X = rng.standard_normal((rows, COLUMNS))
    y = X @ beta > rng.logistic(size=rows)
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=COLUMNS)
        pm.Bernoulli("y", logit_p=X @ beta, observed=y.astype("int8"))
    return model


def measure(model: pm.Model, batch_size: int, draws: int, settings: dict) -> dict[str, float]:
    """Return the step size, the updates of a draw, and the rows of an effective draw."""
    with model:
        step = SGLD(batch_size=batch_size, **settings)
        idata = pm.sample(
            step=step,
            draws=draws,
            tune=TUNE,
            chains=2,
            cores=1,
            random_seed=1,
            progressbar=False,
            quiet=True,
            compute_convergence_checks=False,
        )
    stats = idata.sample_stats
    chosen = float(step.schedule(np.array([0]))[0])
    read = float((stats["updates"][:, -1] - stats["updates"][:, 0]).sum()) * batch_size
    worth = float(az.ess(idata.posterior, method="mean")["beta"].mean())
    return {
        "step": chosen,
        "taken": float(stats["step_size"].mean()),
        "updates a draw": step.steps_per_draw,
        "rule": rows_of_a_draw(batch_size, chosen),
        "measured": read / worth,
        "in passes": read / worth / step.total_size,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 128, 512])
    parser.add_argument("--batch-size", type=int, default=128, help="for all but the first rows")
    parser.add_argument("--draws", type=int, default=500)
    arguments = parser.parse_args()
    logging.getLogger("pymc").setLevel(logging.ERROR)
    worked_example()
    print(
        "\n| gradient | rows | batch | step | taken | updates a draw | rule | measured | passes |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for rows in arguments.rows:
        model = logistic_regression(rows)
        for name, settings in ESTIMATORS.items():
            first = rows == arguments.rows[0]
            for batch_size in arguments.batch_sizes if first else [arguments.batch_size]:
                found = pd.Series(measure(model, batch_size, arguments.draws, settings))
                cells = [f"{value:.3g}" for value in found[["step", "taken"]]]
                cells += [f"{found['updates a draw']:.0f}"]
                cells += [f"{round(value, -2):,.0f}" for value in found[["rule", "measured"]]]
                passes = found["in passes"]
                cells += [f"{passes:.0f}" if passes > 10 else f"{passes:.2g}"]
                head = f"| {name} | {rows:,} | {batch_size} | "
                print(head + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
