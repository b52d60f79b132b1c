"""What R-hat and the effective sample size cannot see.

How often is the radon in an American home above the level at which the EPA recommends action? A
logistic regression of 12,289 measurements on the floor and on the uranium of the county, by
textbook SGLD: plain minibatch gradients, no preconditioner, a constant step size. Every chain
mixes, R-hat and effective sample sizes are beyond reproach, and the standard deviations are about
twice what they should be. `diagnose` says so from that run alone; NUTS confirms it. The same model
with the default settings of `SGLD` is trusted.

Data: the radon survey of the EPA, as prepared by posteriordb (BSD-3-Clause, see data/README.md).

Run it with ``python examples/blind_spot.py``.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm

from pymc_sgld import SGLD, SGLDWarning, TrustReport, compare, diagnose

DATA = Path(__file__).parent / "data" / "radon.csv"
ACTION = np.log(4.0)  # log pCi/L
TEXTBOOK = {
    "batch_size": 128,
    "step_size": 5e-5,
    "gradient": "minibatch",
    "preconditioner": "identity",
    "batching": "with_replacement",
    "steps_per_draw": 60,
}


def build() -> pm.Model:
    """Return the logistic regression."""
    table = pd.read_csv(DATA)
    table = table[table["floor_measure"] != 9]  # the code for a missing floor
    uranium = (table["log_uppm"] - table["log_uppm"].mean()) / table["log_uppm"].std()
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, 2)
        above_basement = pm.Normal("above_basement", 0, 2)
        slope = pm.Normal("uranium", 0, 2)
        logit = intercept + slope * uranium.to_numpy()
        logit = logit + above_basement * (table["floor_measure"] > 0).to_numpy(dtype=float)
        high = (table["log_radon"] > ACTION).to_numpy(dtype=int)
        pm.Bernoulli("high", logit_p=logit, observed=high)
    return model


def judge(idata, model: pm.Model) -> TrustReport:
    """Return the report on a run; it speaks for itself, so its warning is not needed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SGLDWarning)
        return diagnose(idata, model)


def main(
    textbook: dict | None = None,
    compile_kwargs: dict | None = None,
    *,
    nuts: bool = True,
    **settings,
) -> tuple[TrustReport, TrustReport]:
    """Run the example and print what it finds; ``settings`` go to ``pm.sample``."""
    settings = {
        "chains": 4,
        "cores": 1,
        "random_seed": 2011,
        "progressbar": False,
        "quiet": True,
    } | settings
    model = build()
    with model:
        step = SGLD(**TEXTBOOK | (textbook or {}), compile_kwargs=compile_kwargs)
        plain = pm.sample(step=step, **{"tune": 200} | settings)
        tuned = pm.sample(step=SGLD(compile_kwargs=compile_kwargs), **settings)
    print("Textbook SGLD, by R-hat and effective sample size:\n")
    print(az.summary(plain, kind="diagnostics").to_string())
    report, default = judge(plain, model), judge(tuned, model)
    print(f"\nTextbook SGLD, by `diagnose`:\n\n{report}")
    if nuts:
        confirm(plain, model, settings)
    print(f"\nSGLD with its defaults, by `diagnose`:\n\n{default}")
    return report, default


def confirm(plain, model: pm.Model, settings: dict) -> None:
    """Print how far the run is from one of NUTS."""
    with model, warnings.catch_warnings():
        warnings.simplefilter("ignore", SGLDWarning)
        comparison = compare(plain, pm.sample(nuts_sampler="pymc", **settings))
    print("\nTextbook SGLD, beside NUTS:\n")
    print(comparison[["mean_shift", "sd_ratio"]].round(2).to_string())


if __name__ == "__main__":
    main()
