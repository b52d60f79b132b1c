"""What the plots share: colours, sizes, and what they need to be drawn."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from pymc_sgld.errors import SettingError

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

DOTS = 100
"""Dots of an inch."""


BACKENDS = ("matplotlib", "bokeh", "plotly", "none")
"""Those of ArviZ; "none" draws nothing and keeps what would be drawn."""


def load_backend(backend: str | None, function: str, instead: str) -> tuple[str, ModuleType]:
    """Return the name of a backend of ArviZ's plots, and the module that draws with it."""
    from arviz_base import rcParams

    name = rcParams["plot.backend"] if backend is None else backend
    if name not in BACKENDS:
        raise SettingError(
            f"{function}: backend={name!r} must be one of {', '.join(map(repr, BACKENDS))}. Pass "
            'backend="matplotlib".'
        )
    try:
        if name == "matplotlib":
            require_matplotlib(function, instead)
        return name, import_module(f"arviz_plots.backend.{name}")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{function} with backend={name!r} draws with {error.name}, which is not installed. "
            'Install it, or pass backend="matplotlib".'
        ) from error


def colors_of(backend: str) -> Colors:
    """Return colours that can be seen on the background, which Matplotlib's style may have dark."""
    if backend != "matplotlib":
        return ON_LIGHT
    from matplotlib import rcParams
    from matplotlib.colors import to_rgb

    return ON_DARK if sum(to_rgb(rcParams["axes.facecolor"])) < 1.5 else ON_LIGHT


def require_matplotlib(function: str, instead: str) -> None:
    """Refuse to go on without Matplotlib, and say what gives the same figures."""
    try:
        import matplotlib.pyplot  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{function} draws with Matplotlib, which is not installed. Install it with "
            f"`pip install 'pymc_sgld[plots]'`; {instead} gives the same figures without it."
        ) from error


def figure_arguments(
    backend: str, size: tuple[float, float], figure_kwargs: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the arguments of a figure of a size in inches, unless the caller has others."""
    given = dict(figure_kwargs or {})
    if "figsize" not in given:
        given |= {"figsize": tuple(DOTS * inches for inches in size), "figsize_units": "dots"}
    if backend == "matplotlib":
        given.setdefault("layout", "constrained")
    return given


def tidy(collection: PlotCollection) -> None:
    """Take away the frame around the panels, where the backend has one to take."""
    if collection.backend == "matplotlib":
        for axes in collection.get_viz("figure").axes:
            axes.spines[["top", "right"]].set_visible(False)
