"""How the figures of these pages look, and how they are written."""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito: told apart by the colour-blind too; lines also differ in style
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
BLACK, GREY = "#000000", "#777777"
STYLE = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 10,
    "grid.color": "#e6e6e6",
    "legend.fontsize": 9,
    "legend.framealpha": 0.9,
    "svg.hashsalt": "how it works",  # the same figure gives the same file
}


def two_panels(**arguments: object) -> tuple[Figure, tuple[Axes, Axes]]:
    """Return a figure with two panels side by side, as wide as a page."""
    plt.rcParams.update(STYLE)
    return plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", **arguments)


def save(figure: Figure, path: Path) -> None:
    """Write a figure without the date, and with plain numbers at logarithmic axes."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":
                axis.set_major_formatter("{x:,g}")
                axis.minorticks_off()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
