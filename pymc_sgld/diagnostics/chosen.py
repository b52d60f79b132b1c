"""Draws that something is computed from, and what makes them other than those of the model."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import xarray as xr
from pymc.model import Model

from pymc_sgld.diagnostics.matching import (
    SAMPLE_DIMENSIONS,
    evenly_spaced,
    find_posterior,
    shorten,
)
from pymc_sgld.diagnostics.stored import StoredStats
from pymc_sgld.diagnostics.weights import has_varying_steps
from pymc_sgld.errors import SettingError, warn


def draws_for(
    idata: xr.DataTree | xr.Dataset,
    model: Model,
    count: int,
    purpose: str,
    needed: Collection[str] = (),
) -> tuple[xr.Dataset, StoredStats]:
    """Return some draws of a result, evenly spaced in every chain, and what its run stored.

    Where they are of no use, it says why.

    ``needed``: names of the free variables that there have to be draws of.
    """
    posterior, stored = find_posterior(idata, "idata"), StoredStats.of(idata)
    if stored.temperature != 1:
        raise SettingError(
            f"cannot {purpose}: the temperature of the run was {stored.temperature:g}, so that its "
            "draws are not from the posterior, temperature 1."
        )
    missing = [name for name in needed if name not in posterior]
    if missing:
        raise SettingError(_without(missing, posterior, purpose))
    for doubt in _doubts(idata, posterior, model):
        warn(doubt)
    return _ordered(_some_of(posterior, count, purpose), model, needed), stored


def _some_of(posterior: xr.Dataset, count: int, purpose: str) -> xr.Dataset:
    """Return draws of all chains, in all at least so many if there are."""
    missing = [name for name in SAMPLE_DIMENSIONS if name not in posterior.dims]
    if missing:
        raise SettingError(
            f"cannot {purpose}: the posterior of idata has no dimension {' and '.join(missing)}: "
            f'it must have chain and draw (add one with .expand_dims("{missing[0]}")).'
        )
    chains, draws = (posterior.sizes[name] for name in SAMPLE_DIMENSIONS)
    if chains * draws < 2:
        raise SettingError(f"cannot {purpose}: idata has one draw, and at least 2 are needed.")
    return posterior.isel(draw=evenly_spaced(draws, max(2, -(-count // chains))))


def _doubts(idata: xr.DataTree | xr.Dataset, posterior: xr.Dataset, model: Model) -> Iterator[str]:
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


def _ordered(posterior: xr.Dataset, model: Model, names: Collection[str]) -> xr.Dataset:
    """Return draws whose dimensions and labels are in the order that they have in the model."""
    named = {name: dims for name, dims in model.named_vars_to_dims.items() if name in names}
    for dim in {dim for dims in named.values() for dim in dims}:
        labels, index = model.coords.get(dim), posterior.indexes.get(dim)
        if labels is None or index is None or not index.is_unique or len(index) != len(labels):
            continue
        order = index.get_indexer(list(labels))
        if (order >= 0).all() and (np.diff(order) != 1).any():
            posterior = posterior.isel({dim: order})
    for name, dims in named.items():
        if set(posterior[name].dims) == {*SAMPLE_DIMENSIONS, *dims}:
            posterior[name] = posterior[name].transpose(*SAMPLE_DIMENSIONS, *dims)
    return posterior


def _without(missing: Sequence[str], posterior: xr.Dataset, purpose: str) -> str:
    return (
        f"cannot {purpose}: {shorten(missing)} {'is' if len(missing) == 1 else 'are'} not in the "
        f"posterior of idata, which has {shorten(list(posterior.data_vars))}. Pass the model that "
        "was sampled. Effects of groups that a run did not record are drawn by draws = "
        "group_effects(idata, model, return_draws=True): pass "
        'idata.posterior.to_dataset().merge(draws, join="inner") as idata.'
    )
