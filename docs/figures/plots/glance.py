"""One glance: R-hat is content with a run that is almost twice too wide, and `diagnose` is not."""

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from arviz_stats.base.array import array_stats
from look import BLUE, GREY, VERMILLION
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from runs import Runs, sd_ratio

PARAMETER = "intercept"
TEXTBOOK, DEFAULT = "textbook SGLD", "SGLD()"


def draw(runs: Runs) -> Figure:
    """Draw the marginals of a parameter beside what was measured of all of them."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.6, 3.9), layout="constrained", width_ratios=[1, 1.15]
    )
    draw_marginals(left, runs)
    left.set_title("R-hat is content with both runs …", loc="left")
    reports = {TEXTBOOK: runs.textbook_report, DEFAULT: runs.default_report}
    own = {TEXTBOOK: runs.textbook, DEFAULT: runs.default}
    for offset, colour, name in ((0.15, VERMILLION, TEXTBOOK), (-0.15, BLUE, DEFAULT)):
        ratio = sd_ratio(own[name], runs.nuts)
        draw_measured(right, offset, colour, name, reports[name].table, ratio)
    names = list(runs.default_report.table.index)
    right.axvspan(0.9, 1.1, color=GREY, alpha=0.25, lw=0)
    right.set(yticks=range(len(names)), yticklabels=names, ylim=(-0.5, len(names) - 0.5))
    right.set_xlabel("sd over that of the posterior (shaded: within 10 %)")
    right.set_title("… diagnose is not, and needs no NUTS for it", loc="left")
    right.legend(loc="upper center", bbox_to_anchor=(0.38, -0.17), ncols=2)
    return figure


def draw_marginals(axes: Axes, runs: Runs) -> None:
    """Draw the density of the parameter in three runs."""
    named = (("NUTS", runs.nuts), (TEXTBOOK, runs.textbook), (DEFAULT, runs.default))
    styles = ({"color": GREY, "lw": 5, "alpha": 0.5}, {"color": VERMILLION, "ls": "--"}, {})
    for (name, run), style in zip(named, styles, strict=True):
        draws = run.posterior[PARAMETER].values
        x, density, _ = array_stats.kde(draws.ravel())
        r_hat = float(az.rhat(run.posterior[PARAMETER].values))
        label = f"{name}: R-hat {r_hat:.3f}, sd {draws.std():.3f}"
        axes.plot(x, density, label=label, **{"color": BLUE, "lw": 2} | style)
    axes.set(yticks=[], ylabel="density", xlabel=PARAMETER)
    axes.set_ylim(0, 1.6 * axes.get_ylim()[1])
    axes.legend(loc="upper left")


def draw_measured(
    axes: Axes, offset: float, colour: str, name: str, table: pd.DataFrame, ratio: pd.Series
) -> None:
    """Draw what a report says of each standard deviation, beside the ratio to that of NUTS."""
    place = np.arange(len(table)) + offset
    found, error = table["sd_ratio"].to_numpy(), 2 * table["sd_ratio_error"].to_numpy()
    style = {"color": colour, "ms": 5, "lw": 2}
    axes.errorbar(found, place, xerr=error, fmt="o", label=f"{name}, by diagnose (± 2 se)", **style)
    style = {"mec": colour, "mfc": "none", "ms": 9}
    axes.plot(ratio[table.index].to_numpy(), place, "s", label=f"{name}, beside NUTS", **style)
