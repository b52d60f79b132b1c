"""The two phases of a run, in numbers: the noise that gradients bring, beside what is injected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pymc_sgld.diagnostics.stored import Stored, over_steps
from pymc_sgld.diagnostics.unequal_steps.weights import sgld_step_size
from pymc_sgld.errors import SettingError

WINDOW = 1.25
"""Readings are averaged over draws whose update is within this factor."""

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Phases:
    r"""Variances in an update along the direction of most gradient noise, in units of ``M``.

    Attributes
    ----------
    updates : ndarray, shape (chain, draw)
        Updates since the start of the chain.
    injected : ndarray, shape (chain, draw)
        Variance of the injected noise, :math:`T \varepsilon`.
    ratio : ndarray, shape (chain, draw)
        Gradient noise over it: :math:`\alpha / T`, averaged around each draw.
    cycle : ndarray, shape (draw,)
        Cycle of a cyclical schedule; the same number everywhere for others.
    absolute : bool
        Whether `injected` is known, or only up to a factor: several step methods report a step
        size, and it is in units of its mean over the chain.
    tempered : bool
        Whether the temperature is not 1.
    """

    updates: Array
    injected: Array
    ratio: Array
    cycle: NDArray[np.integer]
    absolute: bool
    tempered: bool

    @property
    def gradient(self) -> Array:
        r"""Return the variance that the noise of the gradient adds, :math:`\varepsilon \alpha`."""
        return self.injected * self.ratio

    @property
    def is_constant(self) -> bool:
        """Whether the step size of every chain stays what it is."""
        return bool((np.ptp(self.injected, axis=1) <= 1e-9 * self.injected[:, 0]).all())

    @property
    def is_cyclical(self) -> bool:
        """Whether the schedule has cycles."""
        return bool(self.cycle[-1] >= 0)

    @property
    def transitions(self) -> Array:
        """Return the updates from which injected noise stays the greater one, one in a cycle.

        By the mean of the chains. None where that is so from the beginning of the cycle, or not at
        its end, and none for constant steps.
        """
        if self.is_constant:
            return np.zeros(0)
        found = []
        updates, ratio = self.updates.mean(axis=0), self.ratio.mean(axis=0)
        for cycle in np.unique(self.cycle):
            inside = np.flatnonzero(self.cycle == cycle)
            above = np.flatnonzero(ratio[inside] >= 1)
            if len(above) and above[-1] + 1 < len(inside):
                found.append(updates[inside[above[-1] + 1]])
        return np.array(found)

    def describe(self) -> str:
        """Say in a sentence whether and where one phase gives way to the other."""
        alpha = "α/T" if self.tempered else "α"
        takes_over = f"Injected noise takes over ({alpha} = 1)"
        transitions, cycles = self.transitions, len(np.unique(self.cycle))
        if not self.ratio.any():
            return "Every update reads all rows: there is no gradient noise"
        if self.is_cyclical and len(transitions):
            return f"{takes_over} in {len(transitions)} of {cycles} cycles"
        if len(transitions):
            return f"{takes_over} at update {transitions[0]:,.0f}"
        constant = ", as the step size is constant" if self.is_constant else ""
        mean = np.nanmean(self.ratio)
        return f"No transition{constant}: gradient noise is {mean:.2g} times injected noise"


def read_phases(idata: Any) -> Phases:
    """Read the two phases from the stats of a run.

    Where several SGLD steps sampled, those of the one with most gradient noise.

    Raises
    ------
    SettingError
        If `idata` has no stats of SGLD, only one draw, or the temperature 0.
    """
    step_size = sgld_step_size(idata)
    stats = Stored.of(idata).stats
    if "updates" not in stats or step_size.sizes["draw"] < 2:
        raise SettingError(
            f"cannot plot the phases of idata: it has {step_size.sizes['draw']} draws and the "
            f"stats {sorted(map(str, stats))}. Pass the DataTree that pm.sample returns with an "
            "SGLD step, with all of its stats and two draws or more."
        )
    if "temperature" not in stats:
        stats["temperature"] = xr.ones_like(stats["sampling_threshold"])
    if "cycle" not in stats:
        stats["cycle"] = xr.full_like(stats["sampling_threshold"], -1)
    threshold, temperature = (
        over_steps(stats[name]) for name in ("sampling_threshold", "temperature")
    )
    if (temperature == 0).any() or not np.isfinite(threshold).any():
        raise SettingError(
            "cannot plot the phases of idata: at temperature 0 no noise is injected, and no "
            "gradient noise is read. Sample with temperature=1."
        )
    most = int((threshold / temperature).mean(("chain", "draw")).argmax("steps"))

    def of_one(name: str) -> Array:
        return np.asarray(
            over_steps(stats[name]).isel(steps=most).transpose("chain", "draw"), dtype=float
        )

    taken, updates = step_size.to_numpy(), of_one("updates")
    reading = of_one("sampling_threshold") / of_one("temperature")
    strength = np.array([average(*each) for each in zip(updates, reading, taken, strict=True)])
    absolute = stats["step_size"].ndim == 2
    return Phases(
        updates,
        injected=taken * (of_one("temperature") if absolute else 1),
        ratio=strength * taken,
        cycle=of_one("cycle")[0].astype(int),
        absolute=absolute,
        tempered=bool((of_one("temperature") != 1).any()),
    )


def average(updates: Array, readings: Array, step_sizes: Array) -> Array:
    r"""Return the mean of :math:`\alpha / \varepsilon` around each draw of a chain, without NaN.

    That of all draws whose update is within a factor `WINDOW`, weighted by :math:`\varepsilon`.
    """
    first = np.searchsorted(updates, updates / WINDOW)
    last = np.searchsorted(updates, updates * WINDOW, side="right")
    known = np.isfinite(readings)
    sums = (np.cumsum(np.where(known, each, 0)) for each in (readings, step_sizes))
    above, below = (np.concatenate([[0.0], total]) for total in sums)
    with np.errstate(invalid="ignore"):
        return (above[last] - above[first]) / (below[last] - below[first])
