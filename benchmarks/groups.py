"""What SGLD costs as the number of groups grows, beside NUTS on the same model.

A logistic regression with an effect for each of 10^3, 10^4, ... groups of about ten rows, from
default settings: the effects are integrated out, and the run records the other parameters. NUTS
(nutpie) samples all of them; a run that would take longer than ``--limit`` seconds is left out, as
its first draws say, and so are larger ones. Everything runs in turn, in one process, on one core
and one thread, and seconds are those of the processor. Sampling is that of a run with its tuning,
scaled to a least bulk effective sample size of 1000 of the other parameters.

It prints a table and draws ``docs/figures/groups.svg``. Run it with ``make groups``;
``python benchmarks/groups.py --help`` lists what can be changed. It measures another model instead

- with ``--ratings``: two crossed factors of effects, of which SGLD integrates out one;
- with ``--bambi``: the customers as Bambi writes them from a formula, beside PyMC's NUTS, which
  is what Bambi runs by default.
"""

from __future__ import annotations

import argparse
import logging
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import arviz as az
import bambi as bmb
import matplotlib.pyplot as plt
import numpy as np
import nutpie
import pandas as pd
import pymc as pm
import xarray as xr
from threadpoolctl import threadpool_limits

from pymc_sgld import SGLD, compare

ROWS, ESS, TUNE, DRAWS = 10, 1000, 200, 1000
GLOBALS = ["intercept", "beta", "spread"]
OF_RATINGS = ["intercept", "spread", "noise"]
OF_FORMULA = ["Intercept", "x", "z", "1|customer_sigma"]
SETTINGS = {"chains": 2, "cores": 1, "progressbar": False, "compute_convergence_checks": False}
FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "groups.svg"
BLUE, ORANGE = "#0072b2", "#d55e00"  # told apart by the colour-blind too


def purchases(groups: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the customer of each row, two covariates, and whether the customer bought."""
    rng = np.random.default_rng(groups)
    rows = ROWS * groups
    customer, x = rng.integers(groups, size=rows), rng.standard_normal((rows, 2))
    effects = rng.normal(0, 0.8, groups)
    bought = x @ [0.7, -0.4] - 0.5 + effects[customer] > rng.logistic(size=rows)
    return customer, x, bought.astype("int8")


def customers(groups: int) -> pm.Model:
    """Return a model of whether customers buy: an effect of each, and two covariates."""
    customer, x, bought = purchases(groups)
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, 1.5)
        beta = pm.Normal("beta", 0, 1, shape=2)
        spread = pm.HalfNormal("spread", 1)
        offset = pm.Normal("offset", shape=groups)
        logit = intercept + x @ beta + spread * offset[customer]
        pm.Bernoulli("bought", logit_p=logit, observed=bought)
    return model


def formula(groups: int) -> pm.Model:
    """Return the same model with the priors that Bambi gives it."""
    customer, x, bought = purchases(groups)
    columns = {"bought": bought, "x": x[:, 0], "z": x[:, 1], "customer": customer.astype(str)}
    model = bmb.Model("bought ~ x + z + (1|customer)", pd.DataFrame(columns), family="bernoulli")
    model.build()
    return model.backend.model


def ratings() -> pm.Model:
    """Return a model of 73,421 ratings of 1,128 lecturers by 2,972 students.

    The shape is that of lme4's ``InstEval``; the numbers are simulated, on a continuous scale.
    """
    rng = np.random.default_rng(48)
    student, lecturer = (rng.integers(count, size=73_421) for count in (2_972, 1_128))
    effects = rng.normal(0, 0.33, 2_972)[student] + rng.normal(0, 0.52, 1_128)[lecturer]
    scores = 3.2 + effects + rng.normal(0, 1.18, 73_421)
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 3, 2)
        spread = pm.HalfNormal("spread", 1, shape=2)
        of_student = pm.Normal("student", 0, spread[0], shape=2_972)
        of_lecturer = pm.Normal("lecturer", 0, spread[1], shape=1_128)
        noise = pm.HalfNormal("noise", 2)
        mean = intercept + of_student[student] + of_lecturer[lecturer]
        pm.Normal("score", mean, noise, observed=scores)
    return model


def least_ess(idata: xr.DataTree, names: list[str]) -> float:
    """Return the least bulk effective sample size of a parameter that is no effect of a group."""
    found = az.ess(idata.posterior.to_dataset()[names])
    return float(min(found[name].min() for name in names))


def of_sgld(
    model: pm.Model, names: list[str], repeats: int
) -> tuple[dict[str, float], xr.DataTree]:
    """Return the seconds of SGLD, and its draws."""
    times = []
    with model:
        for _ in range(2):  # the first compiles
            start = time.process_time()
            step = SGLD(progressbar=False)
            times.append(time.process_time() - start)
        found = []
        for seed in range(repeats):
            start = time.process_time()
            idata = pm.sample(
                DRAWS, tune=TUNE, step=step, var_names=names, random_seed=seed, **SETTINGS
            )
            found.append((time.process_time() - start) * ESS / least_ess(idata, names))
    first, again = times
    compiling = max(0.0, first - again)
    costs = {"compile": compiling, "choose": again, "sample": float(np.median(found))}
    return costs, idata


def by_nutpie(model: pm.Model) -> Callable[[int, int], xr.DataTree]:
    """Return a function of draws and tuning that samples by nutpie's NUTS."""
    compiled = nutpie.compile_pymc_model(model)
    settings = {"chains": 2, "cores": 1, "progress_bar": False, "seed": 1}
    return lambda draws, tune: nutpie.sample(compiled, draws=draws, tune=tune, **settings)


def by_pymc(model: pm.Model) -> Callable[[int, int], xr.DataTree]:
    """Return a function of draws and tuning that samples by PyMC's NUTS."""

    def sample(draws: int, tune: int) -> xr.DataTree:
        with model:
            return pm.sample(draws, tune=tune, nuts_sampler="pymc", random_seed=1, **SETTINGS)

    return sample


def of_nuts(
    model: pm.Model,
    names: list[str],
    limit: float,
    sampler: Callable[[pm.Model], Callable[[int, int], xr.DataTree]],
) -> tuple[dict[str, float], xr.DataTree | None]:
    """Return the seconds of NUTS, and its draws: none if a run would take too long."""
    start = time.process_time()
    sample = sampler(model)
    sample(2, 2)  # compile what is left
    costs = {"compile": time.process_time() - start}
    start = time.process_time()
    sample(20, 80)
    expected = (time.process_time() - start) * 2 * DRAWS / 100
    if expected > limit:
        return costs | {"sample": np.nan, "expected": expected}, None
    start = time.process_time()
    idata = sample(DRAWS, DRAWS)
    took = time.process_time() - start
    return costs | {"sample": took * ESS / least_ess(idata, names)}, idata


def measure(
    model: pm.Model,
    names: list[str],
    repeats: int,
    limit: float,
    sampler: Callable[[pm.Model], Callable[[int, int], xr.DataTree]] = by_nutpie,
) -> dict[str, object]:
    """Return one line of the results; NUTS is left out where the limit is 0."""
    sgld, idata = of_sgld(model, names, repeats)
    line: dict[str, object] = {f"SGLD {key}": value for key, value in sgld.items()}
    nuts, reference = of_nuts(model, names, limit, sampler) if limit else ({}, None)
    line |= {f"NUTS {key}": value for key, value in nuts.items()}
    line["verdict"] = "NUTS left out"
    if reference is not None:
        few = reference.posterior.to_dataset()[names]
        said = compare(idata, xr.DataTree.from_dict({"posterior": few})).attrs["verdict"]
        line["verdict"] = said.split(":")[0]
    return line


def draw(found: pd.DataFrame) -> None:
    """Draw seconds against groups."""
    figure, axes = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
    total = found["SGLD choose"] + found["SGLD sample"]
    axes.loglog(found.index, found["NUTS sample"], "o-", color=ORANGE, label="NUTS (nutpie)")
    if "NUTS expected" in found:
        expected = {"label": "NUTS, a run as its first draws say", "markerfacecolor": "none"}
        axes.loglog(found.index, found["NUTS expected"], "o", color=ORANGE, **expected)
    axes.loglog(found.index, total, "s-", color=BLUE, label="SGLD with choosing")
    axes.loglog(found.index, found["SGLD sample"], "s--", color=BLUE, label="SGLD")
    axes.set_xlabel("groups, of about ten rows each")
    axes.set_ylabel("seconds for an ESS of 1000")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--least", type=float, default=1e3, help="groups to begin with")
    parser.add_argument("--most", type=float, default=1e5, help="groups to end with")
    parser.add_argument("--repeats", type=int, default=3, help="runs of SGLD: the median counts")
    parser.add_argument("--limit", type=float, default=1200, help="seconds that NUTS may take")
    parser.add_argument("--ratings", action="store_true", help="measure crossed effects")
    parser.add_argument("--bambi", action="store_true", help="measure Bambi's model and NUTS")
    arguments = parser.parse_args()
    logging.getLogger("pymc").setLevel(logging.ERROR)
    versions = ", ".join(f"{each} {version(each)}" for each in ("pymc", "pytensor", "nutpie"))
    print(f"{platform.machine()}, {versions}; seconds of the processor, one thread\n", flush=True)
    lines, groups, repeats, limit = [], int(arguments.least), arguments.repeats, arguments.limit
    with threadpool_limits(1):
        if arguments.ratings:
            print(pd.Series(measure(ratings(), OF_RATINGS, repeats, limit)).to_string())
            return
        if arguments.bambi:
            found = measure(formula(groups), OF_FORMULA, repeats, limit, by_pymc)
            print(pd.Series(found).to_string())
            return
        while groups <= arguments.most:
            line = measure(customers(groups), GLOBALS, repeats, limit)
            if "NUTS expected" in line:
                limit = 0  # larger ones take longer
            lines.append(pd.Series(line, name=groups))
            print(lines[-1].to_string(), "\n", flush=True)
            groups *= 10
    found = pd.DataFrame(lines)
    if "NUTS sample" not in found:  # it was left out everywhere
        return
    found["NUTS / SGLD"] = found["NUTS sample"] / found["SGLD sample"]
    found["with choosing"] = found["NUTS sample"] / (found["SGLD sample"] + found["SGLD choose"])
    print(found.round(2).to_string())
    draw(found)


if __name__ == "__main__":
    main()
