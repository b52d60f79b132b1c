"""What a certificate costs and finds: the posteriors with a known answer, and data that grow.

One line a posterior, printed as soon as it is there: how many parameters are in the certificate,
the shape k of the tail of the weights (a certificate takes at most 0.7), points, how many of equal
weight would be worth as much, the greatest error of a mean or an sd by points and by rows (in
posterior sds), passes over the data and seconds of the processor; the greatest difference of a mean
from the reference, in its sds, the least and the greatest ratio of sds, and a verdict.

right    every mean within 0.02 sd of the reference, every sd within 2 %, up to 3 standard errors of
         both: references are long runs, and have errors of one or two hundredths
WRONG    they are not
refused  there is no certificate, and why

The run that is certified is no matter here: a few draws around the initial point.

Run it with ``make certificate``; ``--large`` certifies logistic regressions of 10^4 to 10^7 rows.
``--defects RUNS`` certifies so many exact runs of a linear regression with an effective sample size
of 1,000, and a fifth as many of others, exact and with defects: see ``certificate_of_runs``. It
prints how often a run was found to differ; of the first coefficient the true mean shift and sd
ratio, with the means of those that are told and of their errors; and how often the truth was within
two errors, of all coefficients. ``--defects 500 "plain minibatches"`` certifies only these.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from collections.abc import Iterator

import certificate_of_runs
import known_posteriors as posteriors
import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr
from known_posteriors.posterior import DATA, Posterior, read
from scipy.stats import kurtosis
from speed.timing import shown

from pymc_sgld import SettingError, certify

LARGE, COVARIATES = (10**4, 10**5, 10**6, 10**7), 20
TOLERATED, ERRORS = 0.02, 3
DRAWS = 10  # of the run
OF_PUBLISHED = 10_000  # draws of a reference that does not say
COSTS = ["parameters", "k", "points", "effective", "by points", "by rows", "passes", "s"]


def nearly_no_run(model: pm.Model) -> xr.DataTree:
    """Return some draws around the initial point."""
    rng, variables = np.random.default_rng(1), model.unobserved_value_vars
    values = model.compile_fn(
        variables, inputs=model.value_vars, on_unused_input="ignore", mode="FAST_COMPILE"
    )
    draws = []
    for _ in range(DRAWS):
        point = model.initial_point().items()
        draws.append(values({n: v + 0.01 * rng.normal(size=np.shape(v)) for n, v in point}))
    posterior = {
        variable.name: (
            ("chain", "draw", *(f"{variable.name}_{i}" for i in range(each[0].ndim))),
            [each],
        )
        for variable, *each in zip(variables, *draws, strict=True)
    }
    return xr.DataTree.from_dict({"posterior": xr.Dataset(posterior)})


def certified(model: pm.Model, **settings) -> tuple[dict[str, object], pd.DataFrame]:
    """Return a line of the table, and the exact moments: none without a certificate."""
    with model, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        idata = nearly_no_run(model)
        start = time.process_time()
        try:
            found = certify(idata, **settings)
        except SettingError as error:
            reason = str(error).removeprefix("cannot certify: ").partition(". ")[0]
            return {"verdict": f"refused: {reason}"}, pd.DataFrame()
        seconds = time.process_time() - start
    free, run = {rv.name for rv in model.free_RVs}, found.run
    parameters = sum(label.partition("[")[0] in free for label in found.table.index)
    counts = [int(run[name]) for name in ("points", "effective")]
    errors = [float(f"{run[name]:.2g}") for name in ("by_points", "by_rows")]
    figures = [
        parameters,
        round(run["k"], 2) + 0.0,
        *counts,
        *errors,
        round(run["passes"]),
        round(seconds),
    ]
    line = dict(zip(COSTS, figures, strict=True))
    if found.draws is None:
        reason = found.judged.headline.removeprefix("No certificate: ").removesuffix(".")
        return line | {"verdict": f"refused: {reason}"}, pd.DataFrame()
    draws = [each.to_numpy() for each in found.draws.posterior.data_vars.values()]
    entries = np.concatenate([each.reshape(each.shape[0] * each.shape[1], -1) for each in draws], 1)
    return line, found.table.assign(kurtosis=kurtosis(entries, fisher=False))


def reference_of(name: str, known: Posterior) -> pd.DataFrame:
    """Return means and sds of a reference, and how many independent draws it is worth for both."""
    file = read(name) if (DATA / f"{name}.json").exists() else {}
    draws = squares = OF_PUBLISHED if file and name != "welling_teh" else np.inf
    draws, squares = file.get("ess", draws), file.get("ess_of_squares", squares)
    if "mcse" in file:
        draws = (known.sd / file["mcse"]) ** 2
    labels = [label if "[" in label else f"{label}[0]" for label in known.labels]
    columns = {"mean": known.mean, "sd": known.sd, "draws": draws, "squares": squares}
    return pd.DataFrame(columns, index=labels)


def compared(table: pd.DataFrame, reference: pd.DataFrame) -> dict[str, object]:
    """Return how far exact moments are from those of a reference, of what both have."""
    names = pd.Series(table.index).str.partition("[")[0]
    places = names.groupby(names).cumcount()  # in an array
    table = table.set_axis([f"{n}[{p}]" for n, p in zip(names, places, strict=True)])
    both = reference.index.intersection(table.index)
    exact, right = table.loc[both], reference.loc[both]
    shift, ratio = (exact["mean"] - right["mean"]).abs() / right["sd"], exact["sd"] / right["sd"]
    errors = {  # of the reference, in sds
        "mean": 1 / np.sqrt(right["draws"]),
        "sd": np.sqrt((exact["kurtosis"] - 1) / 4 / right["squares"]),
    }
    allowed = {
        moment: TOLERATED + ERRORS * np.hypot(exact[f"{moment}_error"] / right["sd"], error)
        for moment, error in errors.items()
    }
    is_right = (shift <= allowed["mean"]).all() and ((ratio - 1).abs() <= allowed["sd"]).all()
    return {
        "mean": f"{shift.max():.3f}",
        "sd": f"{ratio.min():.3f} – {ratio.max():.3f}",
        "verdict": "right" if is_right else "WRONG",
    }


def of_known(names: list[str], **settings) -> Iterator[dict[str, object]]:
    """Give a line for each posterior with a known answer."""
    for build in posteriors.ALL:
        if not names or build.__name__ in names:
            known = build()
            line, table = certified(known.model, **settings)
            if len(table):
                line |= compared(table, reference_of(build.__name__, known))
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


def of_large(sizes: list[int], **settings) -> Iterator[dict[str, object]]:
    """Give a line for each number of rows."""
    for rows in sizes:
        yield {"rows": rows} | certified(logistic(rows), **settings)[0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="of posteriors, or kinds of runs; all by default")
    parser.add_argument("--tolerance", type=float, default=0.02)
    parser.add_argument("--large", nargs="*", type=int, metavar="ROWS")
    parser.add_argument("--defects", type=int, metavar="RUNS")
    arguments = parser.parse_args()
    logging.getLogger("pymc").setLevel(logging.ERROR)
    settings = {"tolerance": arguments.tolerance, "progressbar": False}
    if arguments.defects:
        unknown = sorted({*arguments.names} - {*certificate_of_runs.KINDS})
        if unknown:
            parser.error(f"no runs {unknown}: choose from {list(certificate_of_runs.KINDS)}")
        lines = certificate_of_runs.lines(arguments.defects, arguments.names, **settings)
        columns = certificate_of_runs.COLUMNS
    elif arguments.large is None:
        lines = of_known(arguments.names, **settings)
        columns = ["posterior", *COSTS, "mean", "sd", "verdict"]
    else:
        lines = of_large(arguments.large or LARGE, **settings)
        columns = ["rows", *COSTS]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    for line in lines:
        print(f"| {' | '.join(shown(line.get(name, '')) for name in columns)} |", flush=True)


if __name__ == "__main__":
    main()
