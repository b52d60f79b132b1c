"""Effective sample size per second beside NUTS, for the logistic regression of ``flat_cost.py``.

It is the least bulk effective sample size of a coefficient, by the same function for all samplers,
over the processor's seconds of two chains on one core, tuning included, compilation left out. SGLD
has its default settings, with and without the seconds that it takes to choose them.
"""

from __future__ import annotations

from functools import partial

import pymc as pm
import xarray as xr
from flat_cost import (
    ESS,
    SETTINGS,
    draws_of_nuts,
    least_ess,
    logistic_regression,
    of_nuts,
    of_sgld,
    seconds,
    verdict,
)


def of_pymc_nuts(model: pm.Model, draws: int, tune: int) -> tuple[float, xr.DataTree]:
    """Return the seconds of PyMC's own NUTS, and its draws."""
    with model:
        start, step = pm.init_nuts(chains=2, random_seed=1, progressbar=False, tune=tune)
        settings = SETTINGS | {"step": step, "initvals": start, "random_seed": 1}
        pm.sample(5, tune=5, nuts_sampler="pymc", **settings)  # compile what is left
        return seconds(partial(pm.sample, draws, tune=tune, nuts_sampler="pymc", **settings))


def measure(rows: int, repeats: int = 3) -> dict[str, object]:
    """Return a column of the table."""
    model, draws = logistic_regression(rows), draws_of_nuts(rows)
    sgld, idata = of_sgld(model, repeats)
    nutpie, reference = of_nuts(model, rows)
    nuts_seconds, by_pymc = of_pymc_nuts(model, draws, draws)
    alone, whole = ESS / sgld["s"], ESS / (sgld["s"] + sgld["choose"])
    of_nutpie, of_pymc = ESS / nutpie["s"], least_ess(by_pymc) / nuts_seconds
    return {
        "SGLD": alone,
        f"SGLD, an ESS of {ESS} with choosing": whole,
        "nutpie": of_nutpie,
        "PyMC's NUTS": of_pymc,
        "SGLD / nutpie": alone / of_nutpie,
        "SGLD with choosing / nutpie": whole / of_nutpie,
        "SGLD / PyMC's NUTS": alone / of_pymc,
        "SGLD with choosing / PyMC's NUTS": whole / of_pymc,
        "draws of a chain of NUTS, after as many": draws,
        "ESS of SGLD": least_ess(idata),
        "ESS of nutpie": least_ess(reference),
        "ESS of PyMC's NUTS": least_ess(by_pymc),
        "compare, SGLD and nutpie": verdict(idata, reference),
        "compare, SGLD and PyMC's NUTS": verdict(idata, by_pymc),
    }
