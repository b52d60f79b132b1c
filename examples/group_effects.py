"""Radon by county: effects of groups that are integrated out, and what is known of each.

An ordinary hierarchical model, non-centered, of 12,289 measurements in 385 counties. ``SGLD()``
integrates the 385 effects out and samples the other four parameters, draws the effects given these,
and is compared with NUTS on all 389. A second run does not record the effects at all, as one of a
hundred thousand counties would not: ``group_effects`` gives them afterwards, for the picture.

Data: the radon survey of the EPA, as prepared by posteriordb (BSD-3-Clause, see data/README.md).

Run it with ``python examples/group_effects.py``; it writes ``examples/output/group_effects.png``,
or the file that is named after the command.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr

from pymc_sgld import SGLD, compare, group_effects, minibatch

FOLDER = Path(__file__).parent
MAIN = ["mean", "spread", "floor_effect", "noise"]
BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#777777"
STYLE = {"axes.spines.right": False, "axes.spines.top": False}


def load() -> pd.DataFrame:
    """Return the measurements: log radon, whether above the basement, and the county."""
    table = pd.read_csv(FOLDER / "data" / "radon.csv")
    table = table[table["floor_measure"] != 9]  # the code for a missing floor
    return pd.DataFrame(
        {
            "log_radon": table["log_radon"],
            "above_basement": (table["floor_measure"] > 0).astype(float),
            "county": pd.Categorical(table["county_idx"]),
        }
    )


def build(table: pd.DataFrame) -> pm.Model:
    """Return the model, as anyone would write it for NUTS."""
    with pm.Model(coords={"county": table["county"].cat.categories.to_numpy()}) as model:
        county = pm.Data("county_index", table["county"].cat.codes.to_numpy())
        above_basement = pm.Data("above_basement", table["above_basement"].to_numpy())
        mean = pm.Normal("mean", 0, 5)
        spread = pm.HalfNormal("spread", 1)
        offset = pm.Normal("offset", 0, 1, dims="county")
        intercept = pm.Deterministic("intercept", mean + spread * offset, dims="county")
        floor_effect = pm.Normal("floor_effect", 0, 5)
        noise = pm.HalfNormal("noise", 2)
        expected = intercept[county] + floor_effect * above_basement
        pm.Normal("log_radon", expected, noise, observed=table["log_radon"].to_numpy())
    return model


def plot(path: Path, effects: xr.Dataset, nuts: xr.DataTree, rows: np.ndarray) -> None:
    """Draw the interval of each county, in the order of their means, beside the means of NUTS."""
    mean, _, lower, upper = effects["intercept"].values
    order = np.argsort(mean)
    reference = nuts.posterior["intercept"].mean(["chain", "draw"]).values
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(9, 4), layout="constrained")
        place = np.arange(len(mean))
        few = rows[order] < 10
        for chosen, colour, name in ((few, GREY, "fewer than 10"), (~few, BLUE, "10 or more")):
            label = f"{100 * effects.attrs['prob']:.0f} % interval, {name} measurements"
            ends = lower[order][chosen], upper[order][chosen]
            axis.vlines(place[chosen], *ends, color=colour, lw=0.8, label=label)
        axis.plot(place, mean[order], ".", color="black", ms=3, label="mean, by group_effects")
        axis.plot(place, reference[order], "_", color=VERMILLION, ms=4, label="mean, by NUTS")
        axis.set(xlabel="counties in order", ylabel="log radon in the basement", xlim=(-3, 388))
        axis.legend(loc="upper left", frameon=False)
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path, dpi=110)
        plt.close(figure)


def main(path: Path | None = None, **settings: Any) -> pd.DataFrame:
    """Sample by SGLD and by NUTS, print how far apart they are, and draw the counties."""
    settings = {"draws": 1000, "chains": 4, "cores": 2, "random_seed": 2011} | settings
    table = load()
    with build(table) as model:
        print(minibatch.report(), "\n")
        step = SGLD()
        print(step, "\n")
        of_sgld = {"step": step, "tune": 200} | settings
        sgld = pm.sample(**of_sgld)
        nuts = pm.sample(nuts_sampler="pymc", **settings)
        without = pm.sample(var_names=MAIN, **of_sgld)
    comparison = compare(sgld, nuts, var_names=[*MAIN, "intercept"])
    columns = ["mean_shift", "sd_ratio", "ess_bulk", "reference_ess_bulk", "agrees"]
    print(comparison.loc[MAIN, columns].round(3).to_string())
    print(f"\nWith the intercepts of all counties: {comparison.attrs['verdict']}")
    effects = group_effects(without, model, draws=1000, random_seed=1)
    print(f"\nA run without the counties has {', '.join(without.posterior)}; group_effects adds")
    print(effects["intercept"].sel(county=[1, 2, 3]).to_pandas().T.round(2).to_string())
    path = FOLDER / "output" / "group_effects.png" if path is None else path
    plot(path, effects, nuts, table["county"].value_counts(sort=False).to_numpy())
    print(f"\nThe counties: {path}")
    return comparison


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else None)
