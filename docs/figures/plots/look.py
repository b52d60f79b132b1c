"""How the pictures look, and how they are written."""

from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib import cycler
from matplotlib.figure import Figure
from PIL import Image

# Okabe and Ito's palette: told apart by the colour-blind too
BLUE, VERMILLION, GREEN, ORANGE, GREY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#777777"
STYLE = {
    "axes.prop_cycle": cycler(color=[BLUE, VERMILLION, GREEN, ORANGE]),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "figure.facecolor": "white",
    "font.size": 10,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "savefig.facecolor": "white",
    "svg.hashsalt": "plots",  # the same figure gives the same file
}


def save(figure: Figure, path: Path) -> None:
    """Write a figure: as vectors, or in pixels of few colours, which makes the file small."""
    if path.suffix == ".svg":
        figure.savefig(path, metadata={"Date": None})
    else:
        pixels = BytesIO()
        figure.savefig(pixels, format="png", dpi=110)
        Image.open(pixels).convert("RGB").quantize(64).save(path, optimize=True)
    plt.close(figure)
