r"""Decreasing steps: what their draws count, and what thinning does and does not mend.

The mean of a Gaussian, sampled by the textbook SGLD with the steps
:math:`\varepsilon_t = a (b + t)^{-\gamma}`. Everything is known: the posterior, and the variance
:math:`v_t` of every update,

.. math::

    v_{t+1} = (1 - \varepsilon_t A / 2)^2 v_t + \varepsilon_t + \varepsilon_t^2 V / 4,

with the posterior's precision :math:`A` and the variance :math:`V` of the gradient of a batch. The
script prints the standard deviation of the draws over that of the posterior, counted alike and
thinned by step size, each beside what the recursion expects. Draws that are kept in proportion to
their step sizes have the variance of the time average.

Run it with ``python examples/decreasing_steps.py``.
"""

from __future__ import annotations

from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm

from pymc_sgld import SGLD, schedules, thin_by_step_size

ROWS, BATCH = 1000, 100
UPDATES_OF_DRAW = 10
SCHEDULE = schedules.polynomial(a=0.0116, b=86.0, gamma=0.55)  # from 1e-3 to 5e-5 in 20,000
DATA = np.random.default_rng(1).normal(size=ROWS)
PRECISION = ROWS + 1 / 25
GRADIENT_VARIANCE = ROWS**2 / BATCH * DATA.var()


def expected_variances(draws: int) -> np.ndarray:
    """Return the variance of each recorded draw over that of the posterior, shape (draws,)."""
    variance, recorded = 1 / PRECISION, []
    step_sizes = SCHEDULE(np.arange(draws * UPDATES_OF_DRAW))
    for update, step_size in enumerate(step_sizes, start=1):
        variance *= (1 - step_size * PRECISION / 2) ** 2
        variance += step_size + step_size**2 * GRADIENT_VARIANCE / 4
        if update % UPDATES_OF_DRAW == 0:
            recorded.append(variance)
    return PRECISION * np.array(recorded)


def main(draws: int = 2000, tune: int = 200, chains: int = 4, **settings: Any) -> pd.DataFrame:
    """Sample, and print the standard deviation in two ways."""
    with pm.Model():
        mean = pm.Normal("mean", 0, 5)
        pm.Normal("x", mean, 1, observed=DATA)
        step = SGLD(
            batch_size=BATCH,
            step_size=SCHEDULE,
            steps_per_draw=UPDATES_OF_DRAW,
            gradient="minibatch",
            preconditioner="identity",
            batching="with_replacement",
        )
        idata = pm.sample(
            draws=draws, tune=tune, chains=chains, step=step, random_seed=1, **settings
        )
    runs = {"all alike": idata, "thinned": thin_by_step_size(idata, rng=2)}
    found = [az.summary(run, round_to="none").loc["mean"] for run in runs.values()]
    variances = expected_variances(tune + draws)[tune:]
    weights = idata.sample_stats["step_size"].values[0]
    unit = PRECISION**-0.5
    table = pd.DataFrame(
        {
            "sd ratio": [one["sd"] / unit for one in found],
            "error": [one["mcse_sd"] / unit for one in found],
            "expected": np.sqrt([variances.mean(), np.average(variances, weights=weights)]),
            "error of the mean": [one["mcse_mean"] / unit for one in found],
            "ESS": [one["ess_bulk"] for one in found],
        },
        index=list(runs),
    )
    print(table.round(3).to_string())
    return table


if __name__ == "__main__":
    main(progressbar=False)
