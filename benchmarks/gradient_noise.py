"""The noise of each estimator of the gradient along a run: ``python benchmarks/gradient_noise.py``.

A logistic regression, batches of 128 of 20,000 rows, one step size and one preconditioner for all.
The noise is the mean of the stat ``sampling_threshold``: of gradient noise over injected noise, in
the worst direction. Each estimator is run with the center that is found, and with one that is off
by five posterior standard deviations in every coefficient.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pymc as pm

from pymc_sgld import SGLD

ROWS, BATCH, STEP_SIZE = 20_000, 128, 0.02
OFF = 5.0  # posterior standard deviations
ESTIMATORS = ("minibatch", "control_variate", "svrg", "saga", "taylor")


def model_of(rng: np.random.Generator) -> pm.Model:
    """Return the model."""
    design = rng.normal(size=(ROWS, 5)) * [1, 2, 0.5, 1, 1]
    chance = 1 / (1 + np.exp(-design @ rng.normal(size=5) / 2))
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=5)
        pm.Bernoulli("y", logit_p=design @ beta, observed=rng.binomial(1, chance))
    return model


def noise(model: pm.Model, **settings: object) -> tuple[float, float]:
    """Return the mean noise of a run, and the rows that it read."""
    with model:
        step = SGLD(batch_size=BATCH, step_size=STEP_SIZE, steps_per_draw=20, **settings)
        idata = pm.sample(
            500, tune=100, chains=2, cores=1, step=step, random_seed=1, quiet=True,
            compute_convergence_checks=False,
        )  # fmt: skip
    stats = idata.sample_stats
    return float(stats["sampling_threshold"].mean()), float(stats["rows_seen"].max())


def main() -> pd.DataFrame:
    """Print the noise of each estimator, over that of plain batches, with both centers."""
    model = model_of(np.random.default_rng(1))
    with model:
        found = SGLD(batch_size=BATCH, progressbar=False)._transition.gaussian
    away = {"beta": found.mean + OFF * np.sqrt(found.shape.variances)}
    matrix = np.linalg.inv(found.shape.precision)
    rows = {}
    for name in ESTIMATORS:
        settings = {"gradient": name, "preconditioner": matrix, "progressbar": False}
        centers = [{}, {}] if name == "minibatch" else [{}, {"center": away}]
        runs = [noise(model, **settings, **center) for center in centers]
        rows[name] = [runs[0][0], runs[1][0], runs[0][1] / 1e6]
    columns = ["noise", "center 5 sd off", "million rows read"]
    table = pd.DataFrame(rows, index=columns).T
    table.insert(1, "of plain", table["noise"] / table.loc["minibatch", "noise"])
    print(table.to_string(float_format="{:.3g}".format))
    return table


if __name__ == "__main__":
    main()
