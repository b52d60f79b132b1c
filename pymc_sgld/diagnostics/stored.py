"""What a run of SGLD stored of itself: its settings, its readings, and what its chains found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from pymc_sgld.diagnostics.matching import SAMPLE_DIMENSIONS
from pymc_sgld.errors import SettingError
from pymc_sgld.messages import Reason, less_noise
from pymc_sgld.minibatch.placing import UNKNOWN
from pymc_sgld.stats import SETTINGS, WORDS
from pymc_sgld.tolerance import Doubt

SMALLER = "a smaller step_size"
_OTHERWISE = "another parametrisation, and compare with NUTS"
FOUND = {
    Reason.NOISE: ("gradient noise makes a standard deviation too large", SMALLER),
    Reason.COUPLED: ("steps of half the size left the support", f"{SMALLER}, or reparametrise"),
    Reason.MEAN: ("half the step size changes a mean", f"{SMALLER}, or reparametrise"),
    Reason.SD: ("half the step size changes a standard deviation", f"{SMALLER}, or reparametrise"),
    Reason.GAUSSIAN: ("no Gaussian was found that is like the posterior", _OTHERWISE),
    Reason.WIDTH: (
        "draws are far wider than the Gaussian that was expected",
        _OTHERWISE,
    ),
    Reason.UNSTABLE: ("the density or a gradient overflowed while sampling", _OTHERWISE),
    Reason.HEAT: (
        "momenta do not have the temperature of the posterior",
        "tune longer; where they are too hot, a larger batch_size or a larger friction",
    ),
    Reason.STUCK: ("hardly any proposal was accepted", f"{SMALLER}, or more tuning draws"),
    Reason.SHORT: ("too few draws to judge a chain", "run longer, or reparametrise"),
}
"""What a chain was off by, and what to change."""


@dataclass(frozen=True)
class StoredStats:
    """The stats of a run. Where several step methods report one, it has a dimension for them."""

    stats: xr.Dataset  # the group ``sample_stats``; empty if there is none

    @classmethod
    def of(cls, idata: Any) -> StoredStats:
        """Return what a result stored."""
        if isinstance(idata, xr.DataTree) and "sample_stats" in idata.children:
            return cls(idata["sample_stats"].to_dataset())
        return cls(xr.Dataset())

    @property
    def is_sgld(self) -> bool:
        """Whether SGLD was among the step methods."""
        return {"sampling_threshold", "rows_seen"} <= set(self.stats)

    def greatest(self, name: str) -> xr.DataArray:
        """Return a stat of dimensions chain and draw; the greatest, where several steps have it."""
        return over_steps(self.stats[name]).max("steps")

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
        return {name: value for name, value in found.items() if not pd.isna(value)}

    @property
    def temperature(self) -> float:
        """Return the temperature, 1 if nothing is known."""
        found = self.setting("temperature")
        return 1.0 if found is None else float(found)

    @property
    def placing(self) -> int:
        """Return where the run placed the terms of the model, as one number."""
        return self.setting("placing") or 0

    @property
    def rows(self) -> int | None:
        """Return how many rows the run read, if the placing tells which these are."""
        return None if self.placing == UNKNOWN else self.setting("total_size")

    @property
    def reads_all_rows(self) -> bool:
        """Whether every update read all rows."""
        return self.setting("batch_size") == self.setting("total_size")

    def scalars(self) -> dict[str, float]:
        """Return the numbers of the run, named as in a report."""
        if not self.is_sgld:
            return {}
        rows = over_steps(self.stats["rows_seen"]).max("draw").sum("steps")
        total = over_steps(self.stats["total_size"]).max()
        found = {
            "step_size": self.greatest("step_size").isel(draw=-1).mean(),
            "sampling_threshold": self.greatest("sampling_threshold").mean(),
            "rows_seen": rows.mean(),
            "epochs": rows.mean() / total if total > 0 else float("nan"),
            "gradients_not_finite": (~np.isfinite(self.greatest("gradient_norm"))).sum(),
            "untrusted_chains": untrusted_chains(self)[0],
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
        ``integrated_out``, how many variables with effects of groups were;
        ``fisher_divergence``, how far the posterior is from the closest Gaussian, where that was
        looked for; ``setup_seconds``, which it took to make the step; and ``pymc_sgld``,
        the version. What differs among several step methods of a run is left out.

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
    stored = StoredStats.of(idata)
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


def untrusted_chains(stored: StoredStats) -> tuple[int, int]:
    """Return how many chains of a run are ``untrusted`` at their end, and how many there are."""
    if "untrusted" not in stored.stats:
        return 0, 0
    untrusted = _at_the_end(stored.stats["untrusted"])
    return int((untrusted > 0).any(axis=0).sum()), untrusted.shape[1]


def doubts_of_chains(stored: StoredStats, role: str) -> list[Doubt]:
    """Return what chains found of themselves while they ran, with the remedies."""
    some, chains = untrusted_chains(stored)
    if not some:
        return []
    found = []
    if "reasons" in stored.stats:
        reasons = _at_the_end(stored.stats["reasons"])
        for reason, (text, remedy) in FOUND.items():
            count = int(((reasons & reason) > 0).any(axis=0).sum())
            size = 1.0 if reason == Reason.SHORT else np.inf
            if reason == Reason.NOISE and not stored.reads_all_rows:
                remedy = ", or ".join([remedy, *less_noise(stored.setting("gradient"))])
            if count:
                found.append(Doubt(role, f"{text} ({count} of {chains})", remedy, size))
    text = f"{some} of {chains} chains were found untrusted while they ran"
    if found:
        return [Doubt(role, text, "", max(doubt.size for doubt in found)), *found]
    return [Doubt(role, text, SMALLER, np.inf)]


def _at_the_end(stat: xr.DataArray) -> NDArray:
    """Return the last of each step method and chain: those before are verdicts so far."""
    return over_steps(stat).isel(draw=-1).transpose("steps", "chain").to_numpy()
