"""What a draw of a decreasing step size counts: its weight, read from a result."""

from typing import Any

import numpy as np
import xarray as xr

from pymc_sgld.diagnostics.stored import over_steps
from pymc_sgld.errors import SettingError

THINNED = "thinned_by_step_size"
"""Attribute of the group ``sample_stats`` whose draws were kept in proportion to their weights."""


def step_size_weights(idata: Any) -> xr.DataArray:
    r"""Return the weights of the draws of a run: their step sizes over the chain's sum.

    The estimate of :math:`E f` from a chain with decreasing steps is the time average
    :math:`\sum_t \varepsilon_t f(\theta_t) / \sum_t \varepsilon_t`.

    Draws of the part of a cycle that explores count nothing.

    Not negative, with a sum of 1 in every chain: chains count alike.

    References
    ----------
    Welling and Teh (2011), Bayesian learning via stochastic gradient Langevin dynamics, eq. 11.
    """
    step_size = _step_size(idata)
    if "explores" in idata["sample_stats"]:  # without noise: not draws of the posterior
        explores = over_steps(idata["sample_stats"]["explores"]).max("steps")
        step_size = step_size.where(explores == 0, 0.0)
    if idata["sample_stats"].attrs.get(THINNED):
        raise SettingError(
            "cannot weight idata by its step sizes: thin_by_step_size kept its draws in "
            "proportion to them, so that all count alike. Use the functions of ArviZ as they are."
        )
    total = step_size.sum("draw")
    if not (total > 0).all():
        raise SettingError(
            "cannot weight idata by its step sizes: in a chain all draws explore, and none of them "
            "counts. Sample whole cycles."
        )
    return step_size / total


def _step_size(idata: Any) -> xr.DataArray:
    """Return the step sizes of a run with SGLD, with the dimensions (chain, draw)."""
    stats = idata.children.get("sample_stats") if isinstance(idata, xr.DataTree) else None
    if stats is None or not {"step_size", "sampling_threshold"} <= set(stats.data_vars):
        found = f"it is a {type(idata).__name__}"
        if isinstance(idata, xr.DataTree):
            of_another = "its sample_stats are not of an SGLD step"
            found = "it has no group sample_stats" if stats is None else of_another
        raise SettingError(
            f"cannot read the step sizes of idata: {found}. Pass what pm.sample(step=SGLD()) "
            "returned."
        )
    step_size = stats["step_size"].transpose("chain", "draw", ...)
    return step_size if step_size.ndim == 2 else _schedule_of_several(step_size)


def _schedule_of_several(step_size: xr.DataArray) -> xr.DataArray:
    """Return the step sizes that vary, where several step methods report one each.

    A step size that is constant in each chain, such as that of PyMC's NUTS, weights no draw.
    """
    columns = np.moveaxis(step_size.values.reshape(*step_size.shape[:2], -1), -1, 0)
    relative = columns / columns.mean(axis=2, keepdims=True)
    varying = [column for column in relative if np.ptp(column, axis=1).max() > 1e-9]
    chosen = varying[0] if varying else np.ones_like(relative[0])
    if not all(np.allclose(column, chosen, rtol=1e-9) for column in varying):
        raise SettingError(
            f"cannot weight the draws of idata: {len(varying)} of its step methods decreased "
            "their step sizes by different schedules. Sample all variables by one SGLD, or give "
            "its instances the same schedule."
        )
    axes = {name: step_size.coords[name] for name in ("chain", "draw") if name in step_size.coords}
    return xr.DataArray(chosen, dims=("chain", "draw"), coords=axes, name="step_size")


def has_varying_steps(idata: Any) -> bool:
    """Tell whether the draws of a run have unequal weights that nothing has allowed for yet.

    A network's steps become smaller where draws exploded, and its draws count alike.
    """
    try:
        if "kinetic_temperature" in idata["sample_stats"]:
            return False
        weights = step_size_weights(idata)
    except (SettingError, KeyError, TypeError):
        return False
    return bool((weights.max("draw") > weights.min("draw") * (1 + 1e-9)).any())
