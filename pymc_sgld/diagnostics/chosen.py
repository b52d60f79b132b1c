"""Draws that something is computed from, and what makes them other than those of the model."""

from __future__ import annotations

from collections.abc import Iterator

import xarray as xr
from pymc.model import Model

from pymc_sgld.diagnostics.matching import SAMPLE_DIMENSIONS, evenly_spaced
from pymc_sgld.diagnostics.weights import has_varying_steps
from pymc_sgld.errors import SettingError


def some_of(posterior: xr.Dataset, count: int, purpose: str) -> xr.Dataset:
    """Return draws of all chains, in all at least so many if there are."""
    missing = [name for name in SAMPLE_DIMENSIONS if name not in posterior.dims]
    if missing:
        raise SettingError(
            f"cannot {purpose}: the posterior of idata has no dimension {' and '.join(missing)}."
        )
    chains, draws = (posterior.sizes[name] for name in SAMPLE_DIMENSIONS)
    if chains * draws < 2:
        raise SettingError(f"cannot {purpose}: idata has {chains * draws} draws.")
    return posterior.isel(draw=evenly_spaced(draws, max(2, -(-count // chains))))


def doubts(idata: xr.DataTree | xr.Dataset, posterior: xr.Dataset, model: Model) -> Iterator[str]:
    """Give what makes draws other than those of the model."""
    if has_varying_steps(idata):
        yield (
            "The step sizes of idata vary, so that its draws count unequally: pass what "
            "thin_by_step_size returns instead."
        )
    of_bambi = posterior.attrs.get("modeling_interface") == "bambi"
    if of_bambi and "Intercept" in [rv.name for rv in model.free_RVs]:
        yield (
            "idata is of Bambi's fit, which gives the intercept for predictors as they are in the "
            "data, and the model has them centered: what is computed of both is off, unless the "
            "model was built with center_predictors=False. Else sample it with pm.sample, and pass "
            "that result."
        )
