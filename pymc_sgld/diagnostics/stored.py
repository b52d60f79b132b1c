"""What a run of SGLD stored of itself: its settings, and its own readings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from pymc_sgld.diagnostics.matching import SAMPLE_DIMENSIONS
from pymc_sgld.errors import SettingError
from pymc_sgld.stats import MEASURED, OF_SOME, SETTINGS, WORDS

OWN = frozenset(MEASURED | SETTINGS | OF_SOME)
_SERIES = ("step_size", "sampling_threshold", "variance_inflation", "gradient_norm")


@dataclass(frozen=True)
class Stored:
    """The stats of a run. Where several step methods report one, it has a dimension for them.

    Parameters
    ----------
    stats : Dataset
        The group ``sample_stats``; empty if there is none.
    """

    stats: xr.Dataset

    @classmethod
    def of(cls, idata: Any) -> Stored:
        """Return what a result stored."""
        if isinstance(idata, xr.DataTree) and "sample_stats" in idata.children:
            return cls(idata["sample_stats"].to_dataset())
        return cls(xr.Dataset())

    @property
    def is_sgld(self) -> bool:
        """Whether SGLD was among the step methods."""
        return {"sampling_threshold", "rows_seen"} <= set(self.stats)

    @property
    def is_compound(self) -> bool:
        """Whether there were several step methods."""
        several = any(set(self.stats[name].dims) - set(SAMPLE_DIMENSIONS) for name in self.stats)
        return several or bool(set(self.stats) - OWN)

    @property
    def series(self) -> xr.Dataset:
        """Return the readings of every draw; the greatest, where several steps have one."""
        found = {name: self.stats[name] for name in _SERIES if name in self.stats}
        return xr.Dataset({name: over_steps(array).max("steps") for name, array in found.items()})

    def setting(self, name: str) -> Any:
        """Return a setting if all draws have the same one, else None."""
        if name not in self.stats:
            return None
        values = np.unique(self.stats[name].to_numpy())
        if len(values) != 1:
            return None
        return WORDS[name][values[0]] if name in WORDS else values.tolist()[0]

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings that all draws share, by name."""
        found = {name: self.setting(name) for name in (*SETTINGS, "friction")}
        del found["placing"]
        return {name: value for name, value in found.items() if value is not None}

    @property
    def temperature(self) -> float:
        """Return the temperature, 1 if nothing is known."""
        found = self.setting("temperature")
        return 1.0 if found is None else float(found)

    def scalars(self) -> dict[str, float]:
        """Return one number for each thing that the run stored."""
        if not self.is_sgld:
            return {}
        series = self.series
        threshold = series["sampling_threshold"]
        half = threshold.sizes["draw"] // 2
        rows = over_steps(self.stats["rows_seen"]).max("draw").sum("steps")
        total = over_steps(self.stats["total_size"]).max()
        inflation = over_steps(self.stats["variance_inflation"])
        found = {
            "step_size": series["step_size"].isel(draw=-1).mean(),
            "variance_inflation": inflation.mean(),
            "sampling_threshold": threshold.mean(),
            "sampling_threshold_first_half": threshold.isel(draw=slice(None, half)).mean(),
            "sampling_threshold_second_half": threshold.isel(draw=slice(half, None)).mean(),
            "rows_seen": rows.mean(),
            "epochs": rows.mean() / total if total > 0 else float("nan"),
            "gradients_not_finite": (~np.isfinite(series["gradient_norm"])).sum(),
        }
        return {name: float(value) for name, value in found.items()}


def run_settings(idata: xr.DataTree) -> dict[str, Any]:
    """Return the settings that a run stored of itself.

    A step method adds nothing to a result but numbers of every draw. Here they are words again, fit
    for attributes: ``idata.attrs.update(run_settings(idata))`` keeps them in a file for any reader.

    Parameters
    ----------
    idata : DataTree
        A result of :func:`pymc.sample` with SGLD.

    Returns
    -------
    dict
        Numbers and words: ``gradient``, ``preconditioner``, ``batching``, ``integrator``,
        ``batch_size``, ``total_size``, ``temperature`` and ``bias_target`` as they were resolved;
        ``setup_seconds``, which it took to make the step; and ``pymc_sgld``, the version. What
        differs among several step methods of a run is left out.

    Raises
    ------
    SettingError
        If `idata` has no statistics of SGLD.

    Examples
    --------
    >>> import numpy as np
    >>> import pymc as pm
    >>> from pymc_sgld import SGLD
    >>> with pm.Model():
    ...     mean = pm.Normal("mean", 0, 10)
    ...     x = pm.Normal("x", mean, 1, observed=np.random.default_rng(1).normal(size=100))
    ...     step = SGLD(batch_size=10, compile_kwargs={"mode": "FAST_COMPILE"})
    ...     idata = pm.sample(20, tune=20, chains=1, step=step, quiet=True, progressbar=False)
    >>> settings = run_settings(idata)
    >>> settings["gradient"], settings["batch_size"]
    ('control_variate', 10)
    """
    stored = Stored.of(idata)
    if not stored.is_sgld:
        raise SettingError(
            "cannot read the settings of idata: it has no statistics of SGLD. Pass a result of "
            "pm.sample(step=SGLD()) with its group sample_stats."
        )
    return stored.settings


def over_steps(array: xr.DataArray) -> xr.DataArray:
    """Return a stat with one dimension for the step methods, ``steps``."""
    extra = [dimension for dimension in array.dims if dimension not in SAMPLE_DIMENSIONS]
    if not extra:
        return array.expand_dims("steps")
    return array.stack(steps=extra, create_index=False)
