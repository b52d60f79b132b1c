"""Draw the pictures of the page on plots and of the README: ``python docs/figures/plots``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import arviz as az
import glance
import matplotlib.pyplot as plt
from look import STYLE, save
from runs import Runs, sample, sd_ratio

from pymc_sgld import plot_bias, plot_comparison

HERE = Path(__file__).parent
OF_ARVIZ: dict[str, Any] = {"backend": "matplotlib"}


def sized(width: float, height: float) -> dict[str, Any]:
    """Return the arguments of a figure of that size in inches."""
    return {"figsize": (width, height), "layout": "constrained"}


def forest(runs: Runs) -> Any:
    """Draw the intervals of three runs."""
    named = {"textbook SGLD": runs.textbook, "SGLD()": runs.default, "NUTS": runs.nuts}
    drawn = az.plot_forest(named, combined=True, figure_kwargs=sized(8, 3.2), **OF_ARVIZ)
    drawn.add_legend("model", title="", loc="outside upper right", ncols=3)
    return drawn


def trace_dist(runs: Runs) -> Any:
    """Draw densities and traces of the chains."""
    drawn = az.plot_trace_dist(runs.default, figure_kwargs=sized(9, 5), **OF_ARVIZ)
    for axes in drawn.get_viz("figure").axes:
        axes.locator_params(axis="x", nbins=6)  # labels of long numbers would run together
    return drawn


PICTURES: dict[str, Callable[[Runs], Any]] = {
    "comparison.png": lambda runs: plot_comparison(
        runs.textbook, runs.nuts, labels=("textbook SGLD", "NUTS")
    ),
    "forest.svg": forest,
    "trace_dist.png": trace_dist,
    "rank.png": lambda runs: az.plot_rank(runs.default, figure_kwargs=sized(9, 2.6), **OF_ARVIZ),
    "bias.svg": lambda runs: plot_bias(runs.textbook_report),
}


def draw(runs: Runs, folder: Path = HERE) -> None:
    """Write all pictures into a folder."""
    plt.rcParams.update(STYLE)
    save(glance.draw(runs), folder / "glance.svg")
    for name, picture in PICTURES.items():
        save(picture(runs).get_viz("figure"), folder / name)


def say(runs: Runs) -> None:
    """Print what the page says of the runs."""
    for name in ("textbook", "default"):
        run, report = getattr(runs, name), getattr(runs, f"{name}_report")
        table = report.table[["r_hat", "sd_ratio", "sd_ratio_error"]]
        table = table.assign(beside_nuts=sd_ratio(run, runs.nuts))
        print(f"{name}: {report.judged.headline}\n{table.round(3).to_string()}\n")


def main(folder: Path = HERE) -> None:
    """Sample, print what the page says of the runs, and draw."""
    runs = sample()
    say(runs)
    draw(runs, folder)


if __name__ == "__main__":
    main()
