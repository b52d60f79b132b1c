"""Mean, width and mixing of every scalar parameter of a run, as in ArviZ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from arviz_base import rcParams
from arviz_stats.base.array import array_stats
from numpy.typing import NDArray

from pymc_sgld.arguments import names
from pymc_sgld.diagnostics.comparison.marginal import (
    floating_point_resolution,
    is_constant,
    is_finite,
)
from pymc_sgld.diagnostics.matching import SAMPLE_DIMENSIONS, labels_of, require_numbers, shorten
from pymc_sgld.errors import SettingError

MIXING = ("mean", "sd", "r_hat", "ess_bulk", "ess_tail")


def mixing_table(posterior: xr.Dataset, var_names: str | Sequence[str] | None) -> pd.DataFrame:
    """Return the mixing of all scalar parameters, one row each."""
    rows: dict[str, list[float]] = {}
    known = [str(name) for name in posterior.data_vars]
    for name in known if var_names is None else names("var_names", var_names):
        if name not in known:
            raise SettingError(
                f"cannot diagnose {name!r}: it is no variable of the posterior, which has "
                f"{shorten(known)}. Name some of them in var_names, or leave it out."
            )
        array = posterior[name]
        require_numbers(name, array, "idata")
        draws = array.transpose(..., *SAMPLE_DIMENSIONS).to_numpy()
        entries = draws.reshape(-1, *draws.shape[-2:])
        for label, entry in zip(labels_of(posterior, name), entries, strict=True):
            rows[label] = mixing(entry)
    if not rows:
        raise SettingError(
            f"cannot diagnose var_names={var_names!r}: no entries. The posterior has "
            f"{shorten(known) or 'no variables'}."
        )
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(MIXING), dtype=float)


def mixing(draws: NDArray) -> list[float]:
    """Return the figures of `MIXING` for one parameter, NaN where they are not defined."""
    resolution = floating_point_resolution(draws)
    values = draws.astype(float)
    nothing = float("nan")
    if not is_finite(values):
        return [nothing] * len(MIXING)
    if is_constant(values, resolution) or values.shape[1] < 4:
        sd = values.std(ddof=1) if values.size > 1 else nothing
        return [float(values.mean()), float(sd), nothing, nothing, nothing]
    with np.errstate(all="ignore"):
        return [
            float(values.mean()),
            float(values.std(ddof=1)),
            float(array_stats.rhat(values)) if len(values) > 1 else nothing,
            float(array_stats.ess(values, method="bulk")),
            float(array_stats.ess(values, method="tail", prob=rcParams["stats.ci_prob"])),
        ]
