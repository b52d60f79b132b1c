"""Draw what weights do to the points of a Gaussian, and what few rows know of all of them.

Left: the intercept of a logistic regression without covariates, 3 events in 40 rows. Its posterior
is known on a grid. Right: a logistic regression of 100,000 rows; at points of the Gaussian, the log
weight by all rows and by those that are read, with the error that the latter tell of themselves.
Run it with ``python docs/figures/certificate.py``.
"""

from __future__ import annotations

from pathlib import Path

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
from matplotlib.axes import Axes
from scipy.stats import norm

from pymc_sgld.backends.backend import Backend
from pymc_sgld.diagnostics.certificate.located import LocatedPosterior
from pymc_sgld.diagnostics.stored import StoredStats
from pymc_sgld.diagnostics.trust.unconstrained import Draws
from pymc_sgld.tuning.importance.weighted import Precise, weigh

EVENTS, FEW = 3, 40
ROWS, COVARIATES, SHOWN = 100_000, 20, 150
BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#777777"


def weighted(model: pm.Model, **draws: np.ndarray) -> tuple[LocatedPosterior, Precise]:
    """Return the weighted points of a model, looked for from where some draws are."""
    idata = az.from_dict({"posterior": draws})
    found = Draws(idata["posterior"].to_dataset(), model)
    located = LocatedPosterior.of(found, StoredStats.of(idata), None, Backend({}))
    return located, weigh(located.data, located.gaussian, located.others, 0.01, 100)


def draw_weights(axes: Axes) -> None:
    """Draw the points of a skewed posterior, with and without their weights."""
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, 5)
        pm.Bernoulli("event", logit_p=intercept, observed=np.arange(FEW) < EVENTS)
    located, found = weighted(model, intercept=np.full((1, 2), -2.0))
    grid = np.linspace(-6, 0, 600)
    log_density = EVENTS * grid - FEW * np.log1p(np.exp(grid)) - grid**2 / 50
    density = np.exp(log_density - log_density.max())
    density /= density.sum() * (grid[1] - grid[0])
    points = found.weighted.points.positions[:, 0]
    weights = found.weighted.weights
    bins = np.linspace(-6, 0, 41)
    axes.hist(
        points,
        bins,
        density=True,
        weights=weights,
        color=BLUE,
        alpha=0.35,
        label="points by weight",
    )
    axes.plot(grid, density, color=BLUE, label="posterior")
    deviation = float(located.gaussian.shape.variances[0] ** 0.5)
    closest = norm.pdf(grid, located.gaussian.mean[0], deviation)
    axes.plot(grid, closest, color=VERMILLION, linestyle="--", label="closest Gaussian")
    mean = np.average(grid, weights=density)
    print(
        f"k {found.weighted.k:.2f}, {len(points)} points, {found.weighted.effective:.0f} effective"
    )
    print(f"mean {mean:.3f}, by weighted points {weights @ points:.3f}")
    axes.set(xlabel="intercept", yticks=[], title="What weights do")
    axes.legend(frameon=False)


def draw_rows(axes: Axes) -> None:
    """Draw log weights by all rows and by few."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(ROWS, COVARIATES))
    chance = 1 / (1 + np.exp(1 - x @ (0.3 * rng.normal(size=COVARIATES))))
    with pm.Model() as model:
        logit = pm.Normal("a", 0, 2) + pm.Data("x", x) @ pm.Normal("b", 0, 1, shape=COVARIATES)
        pm.Bernoulli("y", logit_p=logit, observed=(rng.random(ROWS) < chance).astype(float))
    _, found = weighted(model, a=np.zeros((1, 2)), b=np.zeros((1, 2, COVARIATES)))
    points, estimates = found.weighted.points, found.weighted.estimates[:SHOWN]
    own = points.log_density[:SHOWN]
    right = found.weighted.density.of_all_rows(points.positions[:SHOWN]) - own
    few = estimates.mean(axis=1) - own
    error = estimates.std(axis=1, ddof=1) / estimates.shape[1] ** 0.5
    right, few = right - right.mean(), few - few.mean()
    share = found.weighted.density.share
    off = np.std(few - right)
    print(f"{share * ROWS:.0f} of {ROWS} rows: off by {off:.3f}, told {error.mean():.3f}")
    ends = [right.min(), right.max()]
    axes.plot(ends, ends, color=GREY, linewidth=1)
    style = {"fmt": "o", "markersize": 3, "linewidth": 1, "color": BLUE}
    axes.errorbar(right, few, error, **style)
    axes.set(
        xlabel=f"log weight by all {ROWS:,} rows",
        ylabel=f"by {share * ROWS:,.0f} of them",
        title="What few rows know of all",
    )


def main() -> None:
    """Write the picture."""
    plt.switch_backend("Agg")
    plt.rcParams |= {
        "svg.hashsalt": "certificate",
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    draw_weights(left)
    draw_rows(right)
    figure.savefig(Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
