r"""Gradient noise that is far from negligible: two ways to take it out.

The mean of 1,000 standardised data, by plain minibatch gradients of 50 rows with replacement, with
the step size 0.1 in units of the posterior. A batch is a twentieth of the data, so the noise of
gradients has about the variance :math:`\nu = N / n = 20` in these units: far from negligible. To
first order it adds :math:`\varepsilon \nu / 4` to the variance of SGLD, and
:math:`\varepsilon \nu / (2 \gamma)` to that of SGHMC with the friction :math:`\gamma`. The friction
of SGNHT grows until it takes out what the noise puts in: to :math:`\gamma + \varepsilon \nu / 2`.
With ``subtract_noise=True`` the noise is measured, and SGLD and SGHMC inject as much less.

Run it with ``python examples/thermostat.py``.
"""

from __future__ import annotations

from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm

from pymc_sgld import SGHMC, SGLD, SGNHT

ROWS, BATCH, STEP_SIZE = 1000, 50, 0.1
DATA = np.random.default_rng(1).normal(size=ROWS)
DATA = (DATA - DATA.mean()) / DATA.std()
SD = (ROWS + 1 / 25) ** -0.5  # of the posterior
KNOWN = {"subtract_noise": True}
SAMPLERS: dict[str, tuple[type[SGLD], dict[str, Any]]] = {
    "SGLD": (SGLD, {}),
    "SGHMC": (SGHMC, {}),
    "SGNHT": (SGNHT, {}),
    "SGLD, known noise": (SGLD, KNOWN),
    "SGHMC, known noise": (SGHMC, KNOWN),
}
EXPECTED = {
    "SGLD": np.sqrt(1 + STEP_SIZE * ROWS / BATCH / 4),
    "SGHMC": np.sqrt(1 + STEP_SIZE * ROWS / BATCH / 2),
}  # and one for those that take the noise out


def sample(
    sampler: type[SGLD],
    own: dict[str, Any],
    draws: int,
    tune: int,
    compile_kwargs: dict | None,
    **settings: Any,
) -> pd.Series:
    """Return the summary of a run."""
    with pm.Model():
        mean = pm.Normal("mean", 0, 5)
        pm.Normal("x", mean, 1, observed=DATA)
        step = sampler(
            batch_size=BATCH,
            step_size=STEP_SIZE,
            gradient="minibatch",
            batching="with_replacement",
            steps_per_draw=30,
            compile_kwargs=compile_kwargs,
            **own,
        )
        idata = pm.sample(draws=draws, tune=tune, step=step, random_seed=1, **settings)
    return az.summary(idata, round_to="none").loc["mean"]


def main(
    draws: int = 5000, tune: int = 200, compile_kwargs: dict | None = None, **settings: Any
) -> pd.DataFrame:
    """Sample, and print the standard deviation over that of the posterior."""
    found = {
        name: sample(sampler, own, draws, tune, compile_kwargs, **settings)
        for name, (sampler, own) in SAMPLERS.items()
    }
    table = pd.DataFrame(
        {
            name: {
                "sd ratio": summary["sd"] / SD,
                "error": summary["mcse_sd"] / SD,
                "first order": EXPECTED.get(name, 1.0),
                "ESS": summary["ess_bulk"],
            }
            for name, summary in found.items()
        }
    ).T
    print(table.round(3).to_string())
    return table


if __name__ == "__main__":
    main(chains=4, progressbar=False)
