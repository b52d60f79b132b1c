"""What a certificate costs and finds: the posteriors with a known answer, and data that grow.

One line a posterior: coordinates and rows, the shape k of the tail of the weights (a certificate
takes at most 0.7), points, how many of equal weight would be worth as much, the greatest error of a
mean or an sd by points and by rows (in posterior sds), passes over the data and seconds; the worst
difference of a mean from the reference, in its sds, and the least and the greatest ratio of sds.
The references have errors of their own, of one or two hundredths where they are long runs. Without
a certificate the reason stands in the place of the last two.

The run that is certified is no matter here: a few steps of Metropolis, which have gone nowhere.

Run it with ``make certificate``; ``--large`` certifies logistic regressions of 10^4 to 10^7 rows.
``--defects RUNS`` certifies so many runs of a linear regression with a known posterior: exact ones,
and ones of which the first coefficient is wrong by a known amount. It prints how often a run was
found to differ, the mean of the figure that is told, its error, and how often the truth was within
two errors, of all coefficients.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from collections.abc import Iterator

import known_posteriors as posteriors
import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr

from pymc_sgld import SettingError, certify

LARGE, COVARIATES = (10**4, 10**5, 10**6, 10**7), 20


def certified(model: pm.Model, **settings) -> tuple[dict[str, object], pd.DataFrame]:
    """Return a line of the table, and the exact moments."""
    with model, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        some = {"draws": 10, "tune": 0, "chains": 2, "cores": 1, "progressbar": False}
        step = pm.Metropolis(compile_kwargs={"mode": "FAST_COMPILE"})
        idata = pm.sample(step=step, random_seed=1, compute_convergence_checks=False, **some)
        start = time.perf_counter()
        try:
            found = certify(idata, **settings)
        except SettingError as error:
            return {"refused": str(error)[:90]}, pd.DataFrame()
        seconds = time.perf_counter() - start
    line = {
        "k": found.run["k"],
        "points": int(found.run["points"]),
        "effective": int(found.run["effective"]),
        "by points": found.run["by_points"],
        "by rows": found.run["by_rows"],
        "passes": round(found.run["passes"]),
        "s": seconds,
    }
    if not found.certified:
        return line | {"refused": found.judged.headline[:90]}, pd.DataFrame()
    return line, found.table


def of_known(names: list[str], **settings) -> Iterator[dict[str, object]]:
    """Give a line for each posterior with a known answer."""
    for build in posteriors.ALL:
        if names and build.__name__ not in names:
            continue
        known = build()
        line, table = certified(known.model, **settings)
        if len(table):
            own = np.array([np.prod(known.model[n].shape.eval(), dtype=int) for n in known.names])
            first = dict(zip(known.names, np.cumsum(own) - own, strict=True))
            shifts, ratios = [], []
            for name in known.names:
                rows = table[[label.partition("[")[0] == name for label in table.index]]
                for row, place in zip(rows.itertuples(), range(first[name], 10**9), strict=False):
                    shifts.append(abs(row.mean - known.mean[place]) / known.sd[place])
                    ratios.append(row.sd / known.sd[place])
            if shifts:
                line["mean"] = max(shifts)
                line["sd"] = f"{min(ratios):.3f} - {max(ratios):.3f}"
        yield {"posterior": build.__name__} | line


def logistic(rows: int) -> pm.Model:
    """Return a logistic regression."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, COVARIATES))
    chance = 1 / (1 + np.exp(1 - x @ (0.3 * rng.normal(size=COVARIATES))))
    with pm.Model() as model:
        logit = pm.Normal("a", 0, 2) + pm.Data("x", x) @ pm.Normal("b", 0, 1, shape=COVARIATES)
        pm.Bernoulli("y", logit_p=logit, observed=(rng.random(rows) < chance).astype(float))
    return model


def defects(runs: int, **settings) -> Iterator[dict[str, object]]:
    """Give a line for exact draws, and for each defect."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(500, 5))
    y = x @ rng.normal(size=5) + rng.normal(size=500)
    with pm.Model() as model:
        pm.Normal("y", pm.Data("x", x) @ pm.Normal("b", 0, 10, shape=5), 1, observed=y)
    covariance = np.linalg.inv(x.T @ x + np.eye(5) / 100)
    mean, factor = covariance @ x.T @ y, np.linalg.cholesky(covariance)
    sd = np.sqrt(np.diag(covariance))
    for name, shift, width in (
        ("exact", 0.0, 1.0),
        ("sd + 5 %", 0.0, 1.05),
        ("mean + 0.05 sd", 0.05, 1.0),
        ("sd + 25 %", 0.0, 1.25),
    ):
        told, alarms, within = [], 0, []
        for _ in range(runs):
            draws = rng.normal(size=(4, 5000, 5)) @ factor.T
            draws[..., 0] = shift * sd[0] + width * draws[..., 0]
            idata = xr.DataTree.from_dict(
                {"posterior": xr.Dataset({"b": (("chain", "draw", "i"), mean + draws)})}
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = certify(idata, model, **settings)
            alarms += not found.agrees
            table, first = found.table, np.arange(5) == 0
            right = np.where(first, shift, 0), np.where(first, width, 1)
            for figure, truth in zip(("mean_shift", "sd_ratio"), right, strict=True):
                within.append(np.abs(table[figure] - truth) < 2 * table[f"{figure}_error"])
            told.append(
                table.iloc[0][["mean_shift", "mean_shift_error", "sd_ratio", "sd_ratio_error"]]
            )
        yield {
            "run": name,
            "differ": f"{alarms} of {runs}",
            **pd.DataFrame(told).mean().to_dict(),
            "within 2 errors": float(np.mean(within)),
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="of posteriors; all by default")
    parser.add_argument("--tolerance", type=float, default=0.02)
    parser.add_argument("--large", nargs="*", type=int, metavar="ROWS")
    parser.add_argument("--defects", type=int, metavar="RUNS")
    arguments = parser.parse_args()
    logging.getLogger("pymc").setLevel(logging.ERROR)
    settings = {"tolerance": arguments.tolerance, "progressbar": False}
    if arguments.defects:
        lines = defects(arguments.defects, **settings)
    elif arguments.large is None:
        lines = of_known(arguments.names, **settings)
    else:
        lines = (
            {"rows": rows} | certified(logistic(rows), **settings)[0]
            for rows in arguments.large or LARGE
        )
    found = []
    for line in lines:
        print(line, flush=True)
        found.append(line)
    table = pd.DataFrame(found)
    print(table.set_index(table.columns[0]).round(4).fillna("").to_string())


if __name__ == "__main__":
    main()
