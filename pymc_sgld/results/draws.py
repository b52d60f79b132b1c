"""The draws of a result that something is computed from."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import xarray as xr
from pymc.model import Model

from pymc_sgld.diagnostics.chosen import doubts, some_of
from pymc_sgld.diagnostics.matching import SAMPLE_DIMENSIONS, find_posterior, shorten
from pymc_sgld.diagnostics.stored import Stored
from pymc_sgld.errors import SettingError, warn


def posterior_of(
    idata: Any, model: Model, count: int, needed: Collection[str], purpose: str
) -> xr.Dataset:
    """Return some draws of a result, evenly spaced in every chain, or say why they are of no use.

    ``needed``: names of the free variables that there have to be draws of.
    """
    posterior, stored = find_posterior(idata, "idata"), Stored.of(idata)
    if stored.temperature != 1:
        raise SettingError(
            f"cannot {purpose}: the temperature of the run was {stored.temperature:g}, so that its "
            "draws are not from the posterior, temperature 1."
        )
    missing = [name for name in needed if name not in posterior]
    if missing:
        raise SettingError(_without(missing, posterior, purpose))
    for doubt in doubts(idata, posterior, model):
        warn(doubt)
    return _ordered(some_of(posterior, count, purpose), model, needed)


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


def observed_of(model: Model, var_name: str | None, purpose: str) -> str:
    """Return the name of an observed variable: the only one, or the one that is asked for."""
    known = [rv.name for rv in model.observed_RVs]
    if var_name is None and len(known) == 1:
        return known[0]
    if var_name is None or var_name not in known:
        what = "it has several" if var_name is None else f"var_name={var_name!r} is none of them"
        what = what if known else "it has none"
        raise SettingError(
            f"cannot {purpose}: the observed variables of the model are {known}, and {what}. "
            "Pass var_name= with one of these."
        )
    return var_name


def _without(missing: Sequence[str], posterior: xr.Dataset, purpose: str) -> str:
    return (
        f"cannot {purpose}: {shorten(missing)} {'is' if len(missing) == 1 else 'are'} not in the "
        f"posterior of idata, which has {shorten(list(posterior.data_vars))}. Pass the model that "
        "was sampled. Effects of groups that a run did not record are drawn by draws = "
        "group_effects(idata, model, return_draws=True): pass "
        'idata.posterior.to_dataset().merge(draws, join="inner") as idata.'
    )
