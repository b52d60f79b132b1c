"""Simulation-based calibration: parameters from the prior, data from them, and SGLD on the data.

Over many data sets, the rank of the true parameter among draws of its posterior is uniform, if the
draws are of the posterior (Talts and others 2018). Here are five models, each fitted by default
settings to ``--fits`` data sets of one shape. In a process the compiled functions of the first fit
serve all others. A fit has one chain; 99 of its draws, far enough apart to be independent, are
ranked. Ranks are also of the log-likelihood, which sees what single parameters do not (Modrák and
others 2023).

One line a model:

fits, failed         data sets, and those where SGLD refused, or ended with an error
untrusted            fits that said themselves that they were biased, or too short to tell
worst                the quantity whose ranks are farthest from uniform
off by, band         the largest distance of the distribution of its ranks from uniform, and the
                     half-width of the band there
in the band          quantities within their simultaneous bands (Säilynoja and others 2022), of all
s                    processor seconds of a fit, median; of the first one in brackets

The bands are wide enough that all quantities of all models are within theirs in 95 of 100 tables,
where all draws are of their posteriors. Untrusted fits count like all others.

Run it with ``make calibration``. ``--figure`` draws the distributions, too.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytensor.tensor as pt
from arviz_stats.ecdf_utils import ecdf_pit
from speed.timing import printed

from pymc_sgld import SGLD

FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "calibration.svg"
RANKED, APART = 99, 5  # draws of a fit, and draws of the chain from one to the next
ROWS, ENTRIES = 1_000, 4
LIKELIHOOD = "log-likelihood"
TEXTBOOK = {"gradient": "minibatch", "preconditioner": "laplace", "step_size": 1.0}
LEVEL = 0.95  # that no band of a table is left, where all is right
SIMULATIONS = 20_000  # for the width of a band


def outcome(size: int, dtype: type = float) -> pt.TensorVariable:
    """Return data that are to be replaced."""
    return pm.Data("outcome", np.zeros(size, dtype))


def logistic(x: np.ndarray) -> None:
    """Logistic regression: 1,000 rows."""
    slopes = pm.Normal("slopes", shape=4)
    pm.Bernoulli("y", logit_p=x @ slopes, observed=outcome(len(x), int))


def negative_binomial(x: np.ndarray) -> None:
    """Counts that are overdispersed, with an unknown dispersion: 1,000 rows."""
    slopes = pm.Normal("slopes", [1, 0, 0, 0], 0.5, shape=4)
    alpha = pm.Gamma("alpha", 3, 1)
    pm.NegativeBinomial("y", mu=pt.exp(x @ slopes), alpha=alpha, observed=outcome(len(x), int))


def student_t(x: np.ndarray) -> None:
    """Regression with outliers, and an unknown number of degrees of freedom: 1,000 rows."""
    slopes = pm.Normal("slopes", shape=4)
    sigma = pm.HalfNormal("sigma", 1)
    nu = pm.Gamma("nu", 2, 0.1)
    pm.StudentT("y", nu=nu, mu=x @ slopes, sigma=sigma, observed=outcome(len(x)))


def zero_inflated(x: np.ndarray) -> None:
    """Counts with more zeros than they would have: 1,000 rows."""
    slopes = pm.Normal("slopes", [1, 0, 0, 0], 0.5, shape=4)
    psi = pm.Beta("psi", 2, 2)
    pm.ZeroInflatedPoisson("y", psi=psi, mu=pt.exp(x @ slopes), observed=outcome(len(x), int))


def groups(x: np.ndarray) -> None:
    """Varying intercepts of 50 groups, which SGLD integrates out: 1,000 rows."""
    mean = pm.Normal("mean")
    tau = pm.HalfNormal("tau", 1)
    effect = pm.Normal("effect", mean, tau, shape=50)
    sigma = pm.HalfNormal("sigma", 1)
    slopes = pm.Normal("slopes", shape=4)
    group = np.arange(len(x)) % 50
    pm.Normal("y", effect[group] + x @ slopes, sigma, observed=outcome(len(x)))


MODELS: dict[str, Callable[[np.ndarray], None]] = {
    "logistic": logistic,
    "negative_binomial": negative_binomial,
    "student_t": student_t,
    "zero_inflated": zero_inflated,
    "groups": groups,
}


@dataclass
class Fits:
    """What fits of a model have shown, a list entry for each that did not fail."""

    places: list[dict[str, float]] = field(default_factory=list)  # of the truth, in (0, 1)
    untrusted: list[bool] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # of all
    errors: list[str] = field(default_factory=list)

    def __add__(self, other: Fits) -> Fits:
        """Return the fits of both."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Fits(*(mine + theirs for mine, theirs in pairs))


def model_of(name: str) -> pm.Model:
    """Return a model whose outcome is the data "outcome"."""
    x = np.random.default_rng(1).normal(size=(ROWS, 4))
    x[:, 0] = 1
    with pm.Model() as model:
        MODELS[name](x)
    return model


def fit(name: str, share: slice, settings: argparse.Namespace) -> Fits:
    """Fit a model to data sets of its prior: those of this share."""
    logging.getLogger("pymc").setLevel(logging.ERROR)
    logging.getLogger("pymc_sgld").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")  # what is wrong is counted
    model, found = model_of(name), Fits()
    names = [variable.name for variable in model.free_RVs]
    likelihood = pytensor.function(
        model.free_RVs, pm.logp(model["y"], model["outcome"]).sum(), on_unused_input="ignore"
    )
    with model:
        simulated = pm.sample_prior_predictive(settings.fits, random_seed=settings.seed)
        for number in range(settings.fits)[share]:
            truth = {n: simulated["prior"][n].to_numpy()[0, number] for n in names}
            pm.set_data({"outcome": simulated["prior_predictive"]["y"].to_numpy()[0, number]})
            rng = np.random.default_rng([settings.seed, number])
            began = time.process_time()
            try:
                idata = pm.sample(
                    RANKED * APART,
                    chains=1,
                    step=SGLD(progressbar=False, **TEXTBOOK if settings.textbook else {}),
                    random_seed=rng,
                    progressbar=False,
                    quiet=True,
                    compute_convergence_checks=False,
                )
            except Exception as error:  # an error is a result, and others follow
                found.errors.append(f"{number}: {type(error).__name__}: {error}".splitlines()[0])
                continue
            finally:
                found.seconds.append(time.process_time() - began)
            draws = {n: idata.posterior[n].to_numpy()[0, ::APART] for n in names}
            draws[LIKELIHOOD] = np.array(
                [likelihood(*v) for v in zip(*draws.values(), strict=True)]
            )
            truth[LIKELIHOOD] = likelihood(*truth.values())
            found.places.append(places(draws, truth, rng))
            found.untrusted.append(bool(idata.sample_stats["untrusted"][0, -1]))
    return found


def places(
    draws: dict[str, np.ndarray], truth: dict[str, np.ndarray], rng: np.random.Generator
) -> dict[str, float]:
    """Return where the truth is among independent draws, uniform in (0, 1) if it is one of them.

    ``draws`` have shapes (RANKED, ...), ``truth`` the same without the first; of an array the first
    entries count, at most ``ENTRIES``.
    """
    found = {}
    for name, values in draws.items():
        columns, true = values.reshape(len(values), -1), np.ravel(truth[name])
        for k in range(min(true.size, ENTRIES)):
            entry = name if true.size == 1 else f"{name}[{k}]"
            rank = np.count_nonzero(columns[:, k] < true[k])
            found[entry] = (rank + rng.uniform()) / (len(values) + 1)
    return found


@dataclass
class Distribution:
    """The distribution of the places of one quantity, beside the uniform one."""

    at: np.ndarray
    off: np.ndarray  # the share of places up to there, less what it should be
    lower: np.ndarray
    upper: np.ndarray

    @property
    def is_inside(self) -> bool:
        """Whether all of it is within the band."""
        return bool(np.all((self.lower <= self.off) & (self.off <= self.upper)))

    @property
    def farthest(self) -> tuple[float, float]:
        """The largest distance from uniform, and the half-width of the band there."""
        k = np.argmax(np.abs(self.off))
        return abs(self.off[k]), self.upper[k] if self.off[k] > 0 else -self.lower[k]


def distribution(values: np.ndarray, level: float) -> Distribution:
    """Return the distribution of places, shape (fits,), with its simultaneous band."""
    at, share, lower, upper = ecdf_pit(values, level, SIMULATIONS)
    return Distribution(at, share - at, lower - at, upper - at)


def line(found: Fits, distributions: dict[str, Distribution]) -> dict[str, object]:
    """Return the line of a model."""
    far = {name: d.farthest for name, d in distributions.items()}
    worst = max(far, key=lambda name: far[name][0] / far[name][1])
    first, *others = found.seconds
    return {
        "fits": len(found.seconds),
        "failed": len(found.errors),
        "untrusted": sum(found.untrusted),
        "worst": worst,
        "off by": float(far[worst][0]),
        "band": float(far[worst][1]),
        "in the band": f"{sum(d.is_inside for d in distributions.values())} of {len(far)}",
        "s": f"{np.median(others or [first]):.2f} ({first:.1f})",
    }


def draw(models: dict[str, dict[str, Distribution]]) -> None:
    """Draw the distributions of all quantities of each model."""
    figure, axes = plt.subplots(
        1, len(models), figsize=(2.6 * len(models), 2.8), sharey=True, squeeze=False
    )
    for axis, (name, quantities) in zip(axes[0], models.items(), strict=True):
        for quantity, found in quantities.items():
            axis.step(found.at, found.off, lw=0.8, label=quantity)
        axis.fill_between(found.at, found.lower, found.upper, color="0.85", zorder=0)
        axis.set(title=name.replace("_", " "), xlabel="place of the truth among draws")
    axes[0, 0].set_ylabel("distribution less uniform")
    figure.tight_layout()
    figure.savefig(FIGURE)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help=f"of {', '.join(MODELS)}; all by default")
    parser.add_argument("--fits", type=int, default=1_000)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--textbook",
        action="store_true",
        help="plain minibatch gradients and a large step: ranks leave their bands",
    )
    parser.add_argument("--figure", action="store_true")
    settings = parser.parse_args()
    of_all = {}
    lines = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(settings.cores, mp_context=context) as pool:
        for name in settings.names or MODELS:
            shares = [slice(core, None, settings.cores) for core in range(settings.cores)]
            jobs = [pool.submit(fit, name, share, settings) for share in shares]
            found = sum((job.result() for job in jobs), Fits())
            if not found.places:  # nothing to rank
                print(f"{name}: no fit ended well", *found.errors, sep="\n    ", flush=True)
                continue
            table = pd.DataFrame(found.places)
            level = 1 - (1 - LEVEL) / (len(MODELS) * table.shape[1])
            of_all[name] = {n: distribution(table[n].to_numpy(), level) for n in table}
            lines[name] = line(found, of_all[name])
            print(f"{name}: {lines[name]}", *found.errors, sep="\n    ", flush=True)
    print(printed(pd.DataFrame.from_dict(lines, orient="index"), markdown=True))
    if settings.figure:
        draw(of_all)


if __name__ == "__main__":
    main()
