"""Radon in American homes: SGLD on minibatches beside NUTS on all the data.

An ordinary hierarchical model with a varying intercept for each of 385 counties, 12,289
measurements, written without a thought of minibatches, is sampled by SGLD and by NUTS. Then a table
says how far the two posteriors are apart, and a picture shows it.

Data: the radon survey of the EPA, as prepared by posteriordb (BSD-3-Clause, see data/README.md).

Run it with ``make example`` or ``python examples/radon.py``.
"""

from __future__ import annotations

import time
from pathlib import Path

import arviz as az
import pandas as pd
import pymc as pm

from pymc_sgld import SGLD, compare, plot_comparison

FOLDER = Path(__file__).parent
BATCH_SIZE = 512
MAIN = ["mean", "spread", "floor_effect", "noise"]


def say(message: str) -> None:
    """Print what happens next, with the time."""
    print(f"[{time.strftime('%H:%M:%S')}] {message}", flush=True)


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
    coords = {"county": table["county"].cat.categories.to_numpy()}
    with pm.Model(coords=coords) as model:
        county = pm.Data("county_index", table["county"].cat.codes.to_numpy())
        above_basement = pm.Data("above_basement", table["above_basement"].to_numpy())
        mean = pm.Normal("mean", 0, 5)
        spread = pm.HalfNormal("spread", 1)
        intercept = pm.Normal("intercept", mean, spread, dims="county")
        floor_effect = pm.Normal("floor_effect", 0, 5)
        noise = pm.HalfNormal("noise", 2)
        expected = intercept[county] + floor_effect * above_basement
        pm.Normal("log_radon", expected, noise, observed=table["log_radon"].to_numpy())
    return model


def sample(model: pm.Model, **settings) -> tuple:
    """Return the runs of SGLD and of NUTS."""
    say("Finding the center of the posterior, and compiling (a minute on a new machine).")
    with model:
        step = SGLD(batch_size=BATCH_SIZE)
        print(step)
        say("Sampling with SGLD.")
        sgld = pm.sample(step=step, **{"tune": 200} | settings)
        say("Compiling NUTS and sampling with it.")
        nuts = pm.sample(nuts_sampler="pymc", **settings)
    return sgld, nuts


def report(sgld, nuts) -> pd.DataFrame:
    """Print the diagnostics of both runs and their comparison; return the comparison."""
    for name, run in [("SGLD", sgld), ("NUTS", nuts)]:
        print(f"\n{name}, {run.posterior.attrs['sampling_time']:.1f} seconds of sampling")
        print(az.summary(run, var_names=MAIN).to_string())
    epochs = sgld.sample_stats["rows_seen"].max() / sgld.sample_stats["total_size"].max()
    print(f"\nSGLD read the data {float(epochs):.0f} times a chain.")
    comparison = compare(sgld, nuts)
    worst = comparison["mean_shift"].abs().sort_values(ascending=False).index
    shown = [*MAIN, *[label for label in worst if label not in MAIN][:4]]
    print("\nSGLD against NUTS: the main parameters, and the counties that differ most")
    print(comparison.loc[shown].round(3).to_string())
    print("\nVerdict:", comparison.attrs["verdict"])
    return comparison


def main(output: Path = FOLDER / "output" / "radon.png", **settings) -> pd.DataFrame:
    """Run the example and write the picture; ``settings`` go to ``pm.sample``."""
    settings = {"draws": 1000, "chains": 4, "cores": 2, "random_seed": 2011} | settings
    table = load()
    say(f"{len(table)} measurements in {table['county'].nunique()} counties.")
    sgld, nuts = sample(build(table), **settings)
    comparison = report(sgld, nuts)
    output.parent.mkdir(exist_ok=True)
    plot_comparison(sgld, nuts, var_names=MAIN).savefig(output)
    say(f"The two posteriors and traces on top of each other: {output}")
    return comparison


if __name__ == "__main__":
    main()
