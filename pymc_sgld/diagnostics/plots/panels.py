"""The panels of a comparison: it imports ArviZ's plots, and is imported where it draws."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from arviz_base.labels import NoVarLabeller
from arviz_plots.plot_collection import PlotCollection
from arviz_plots.visuals import labelled_x, labelled_y, line, line_xy, remove_ticks
from arviz_stats.base.array import array_stats
from numpy.typing import NDArray

from pymc_sgld.diagnostics.matching import Parameter
from pymc_sgld.diagnostics.plots.shared import tidy, visible_colors
from pymc_sgld.diagnostics.plots.short_labels import in_two_lines

LINE_STYLES = ("-", "--")
"""Solid and dashed, told apart in print without colours."""

GRID_POINTS = 512
"""Points of a density curve."""

TRACE_POINTS = 250
"""Draws shown of a chain, evenly spaced."""


def make_grid(
    parameters: Sequence[Parameter], labels: tuple[str, str], figure_kwargs: dict[str, Any]
) -> PlotCollection:
    """Make the empty panels, and map the run to colour, line style and overlay."""
    colors = visible_colors()
    figure_kwargs.setdefault("figsize", (10.0, 0.8 + 1.7 * len(parameters)))
    figure_kwargs.setdefault("width_ratios", [2, 3])
    figure_kwargs.setdefault("layout", "constrained")
    return PlotCollection.grid(
        stack_runs(parameters, labels)
        .expand_dims(column=2)
        .assign_coords(column=["density", "trace"]),
        rows=["parameter"],
        cols=["column"],
        backend="matplotlib",
        aes={"color": ["model"], "linestyle": ["model"], "overlay": ["model", "chain"]},
        color=[colors.vermillion, colors.blue],
        linestyle=list(LINE_STYLES),
        figure_kwargs=figure_kwargs,
    )


def stack_runs(parameters: Sequence[Parameter], labels: tuple[str, str]) -> xr.Dataset:
    """Put both runs in one array, NaN where one has fewer chains or draws than the other."""
    runs = [
        xr.DataArray(
            np.array([getattr(parameter, field) for parameter in parameters], dtype=float),
            dims=("parameter", "chain", "draw"),
        )
        for field in ("draws", "reference")
    ]
    chains, draws = (max(run.sizes[dimension] for run in runs) for dimension in ("chain", "draw"))
    padded = [
        run.pad(chain=(0, chains - run.sizes["chain"]), draw=(0, draws - run.sizes["draw"]))
        for run in runs
    ]
    stacked = xr.concat(padded, dim="model").assign_coords(
        model=list(labels),
        parameter=[parameter.label for parameter in parameters],
        chain=np.arange(chains),
        draw=np.arange(draws),
    )
    return stacked.where(np.isfinite(stacked)).to_dataset(name="value")


def draw_densities(
    collection: PlotCollection, parameters: Sequence[Parameter], labels: tuple[str, str]
) -> None:
    """Draw the marginal of every parameter and run in the left column."""
    curves = np.array(
        [
            [marginal_curve(parameter.draws), marginal_curve(parameter.reference)]
            for parameter in parameters
        ]
    )
    data = xr.DataArray(
        curves,
        dims=("parameter", "model", "plot_axis", "point"),
        coords={
            "parameter": [parameter.label for parameter in parameters],
            "model": list(labels),
            "plot_axis": ["x", "y"],
        },
    )
    collection.map(
        line_xy,
        "density",
        data=data.to_dataset(name="value"),
        coords={"column": "density"},
        ignore_aes={"overlay"},
        width=2,
    )


def marginal_curve(draws: NDArray) -> NDArray[np.floating]:
    """Give x and y of a curve of the marginal, NaN-padded, of shape (2, GRID_POINTS).

    A kernel density for real numbers, the outline of the relative frequencies for integers, a spike
    for a constant, nothing where no draw is finite.
    """
    curve = np.full((2, GRID_POINTS), np.nan)
    finite = np.asarray(draws, dtype=float)[np.isfinite(draws)]
    values, counts = np.unique(finite, return_counts=True)
    if len(values) == 1:
        curve[:, :2] = [[values[0], values[0]], [0.0, 1.0]]
    elif draws.dtype.kind != "f" and 0 < 4 * len(values) <= GRID_POINTS:
        edges = np.column_stack([values - 0.4, values - 0.4, values + 0.4, values + 0.4])
        heights = np.outer(counts / counts.sum(), [0.0, 1.0, 1.0, 0.0])
        curve[:, : edges.size] = edges.ravel(), heights.ravel()
    elif len(values):
        curve[0], curve[1], _ = array_stats.kde(finite, grid_len=GRID_POINTS)
    return curve


def draw_traces(collection: PlotCollection) -> None:
    """Draw the trace of every chain in the right column, the run to judge over the reference."""
    collection.map(
        thinned_trace,
        "trace",
        data=collection.data.sel(column="trace", drop=True).isel(model=[1, 0]),
        coords={"column": "trace"},
        ignore_aes={"linestyle"},
        width=0.8,
        alpha=0.5,
    )


def thinned_trace(chain: xr.DataArray, target: Any, **style: Any) -> Any:
    """Draw one chain by few enough draws that those behind it stay visible."""
    finite = chain.dropna("draw")
    stride = -(-finite.sizes["draw"] // TRACE_POINTS)
    return line(finite.isel(draw=slice(None, None, stride)), target, xname="draw", **style)


class WrappedLabeller(NoVarLabeller):
    """Label a panel with its parameter, on at most two lines of `width` letters."""

    def __init__(self, labels: Sequence[str], width: int) -> None:
        self.lines = in_two_lines(labels, width)

    def make_label_vert(self, var_name: str | None, sel: Mapping, isel: Mapping) -> str:
        """Return the lines of a label."""
        return self.lines[self.make_label_flat(var_name, sel, isel)]


def label_axes(collection: PlotCollection) -> None:
    """Name what every axis shows; densities need no ticks, as only their shapes are compared."""
    density, trace = {"column": "density"}, {"column": "trace"}
    labels = collection.data["parameter"].to_numpy().tolist()
    names: dict[str, Any] = {"subset_info": True, "ignore_aes": "all", "store_artist": False}
    plain: dict[str, Any] = {"ignore_aes": "all", "store_artist": False}
    collection.map(labelled_x, "x", coords=density, labeller=WrappedLabeller(labels, 36), **names)
    collection.map(labelled_y, "y", coords=density, text="density", **plain)
    collection.map(remove_ticks, "ticks", coords=density, axis="y", **plain)
    collection.map(labelled_x, "x", coords=trace, text="draw", **plain)
    collection.map(labelled_y, "y", coords=trace, labeller=WrappedLabeller(labels, 15), **names)
    figure = collection.get_viz("figure")
    figure.align_ylabels()
    for axes in figure.axes:
        axes.locator_params(axis="x", nbins=6)  # labels of long numbers would run together
    tidy(collection)
