"""What the plots share: colours, and panels without a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from arviz_plots.plot_collection import PlotCollection


class Colors(NamedTuple):
    """Of Okabe and Ito's palette, told apart by every kind of colour vision."""

    blue: str  # the reference
    vermillion: str  # the run
    grey: str  # what is beside them


ON_LIGHT = Colors("#0072B2", "#D55E00", "#777777")
ON_DARK = Colors("#56B4E9", "#E69F00", "#AAAAAA")
"""The lighter ones of the palette."""


def visible_colors() -> Colors:
    """Return colours that can be seen on the background, which Matplotlib's style may have dark."""
    from matplotlib import rcParams
    from matplotlib.colors import to_rgb

    return ON_DARK if sum(to_rgb(rcParams["axes.facecolor"])) < 1.5 else ON_LIGHT


def tidy(collection: PlotCollection) -> None:
    """Take away the frame around the panels."""
    for axes in collection.get_viz("figure").axes:
        axes.spines[["top", "right"]].set_visible(False)
