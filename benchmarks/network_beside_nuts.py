"""Predictions for the network of the accuracy table, by SGHMC, SGLD and NUTS.

The network has eight hidden units, which can be exchanged, so that its weights cannot be compared.
What can be is the log predictive density of outcomes: of the 2,000 rows that the samplers were
given, and of as many that none has seen. One line a sampler:

lpd, held out        mean log predictive density of a row of either kind
of one chain         the same of the rows given, as the mean over single chains
untrusted            chains that say so of themselves
s                    seconds of the processor, of all processes

SGHMC has eight chains of the recipe for networks, SGLD four by default settings, and nutpie's NUTS
four of 4,000 draws. Run it with ``python benchmarks/network_beside_nuts.py``.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable

import numpy as np
import nutpie
import pandas as pd
import pymc as pm
import xarray as xr
from known_posteriors.other import network, outcome_of_network
from speed.timing import printed

from pymc_sgld import SGLD, NetworkSGHMC, diagnose_predictions

SETTINGS = {"progressbar": False, "quiet": True, "compute_convergence_checks": False}


def by_sghmc(model: pm.Model) -> xr.DataTree:
    """Sample by the recipe for networks."""
    with model:
        step = NetworkSGHMC(progressbar=False)
        return pm.sample(150, tune=150, chains=8, step=step, random_seed=1, **SETTINGS)


def by_sgld(model: pm.Model) -> xr.DataTree:
    """Sample by SGLD, with default settings."""
    with model:
        return pm.sample(
            1000, tune=200, chains=4, step=SGLD(progressbar=False), random_seed=1, **SETTINGS
        )


def by_nuts(model: pm.Model) -> xr.DataTree:
    """Sample by nutpie, for long."""
    compiled = nutpie.compile_pymc_model(model)
    return nutpie.sample(
        compiled, draws=4000, tune=1000, chains=4, cores=2, seed=1, progress_bar=False
    )


SAMPLERS: dict[str, Callable[[pm.Model], xr.DataTree]] = {
    "NetworkSGHMC": by_sghmc,
    "SGLD": by_sgld,
    "NUTS": by_nuts,
}


def seconds() -> float:
    """Return the seconds of the processor of this process and of those that have ended."""
    times = os.times()
    return sum(times[:4])


def measure(sample: Callable[[pm.Model], xr.DataTree]) -> dict[str, float]:
    """Return the line of a sampler."""
    rng = np.random.default_rng(7)
    inputs = rng.uniform(-2, 2, (2_000, 3))
    held_out = {"inputs": inputs, "y": outcome_of_network(rng, inputs)}
    model, _ = network.__wrapped__()
    began = seconds()
    idata = sample(model)
    took = seconds() - began
    given = diagnose_predictions(idata, model, rows=2_000, progressbar=False).run
    new = diagnose_predictions(idata, model, data=held_out, rows=2_000, progressbar=False).run
    stats = idata.sample_stats
    untrusted = stats["untrusted"][:, -1].sum() if "untrusted" in stats else np.nan
    return {
        "lpd": given["lpd"],
        "of one chain": given["one_chain"],
        "held out": new["lpd"],
        "untrusted": float(untrusted),
        "s": took,
    }


def main() -> None:
    """Print the table."""
    logging.getLogger("pymc").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")  # a line says what is to be said
    lines = {}
    for name, sample in SAMPLERS.items():
        lines[name] = measure(sample)
        print(name, lines[name], flush=True)
    print(printed(pd.DataFrame.from_dict(lines, orient="index"), markdown=True))


if __name__ == "__main__":
    main()
