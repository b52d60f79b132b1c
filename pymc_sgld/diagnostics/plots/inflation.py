"""The inflation of the variance of every parameter, with its error, beside what is predicted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from pymc.model import Model

from pymc_sgld.diagnostics.comparison.marginal import SD_TOLERANCE
from pymc_sgld.diagnostics.plots.shared import (
    add_legend,
    colors_of,
    figure_arguments,
    load_backend,
    tidy,
)
from pymc_sgld.diagnostics.plots.short_labels import shortened
from pymc_sgld.diagnostics.trust.diagnose import diagnose
from pymc_sgld.diagnostics.trust.report import MOST_ROWS, TrustReport
from pymc_sgld.errors import SettingError

if TYPE_CHECKING:
    from arviz_plots.plot_collection import PlotCollection

ERRORS = 2
"""Standard errors that a bar extends to either side."""

LONGEST_LABEL = 32
"""Letters of a label."""

MEASURED, PREDICTED = f"measured, ± {ERRORS} standard errors", "predicted from the settings"


def plot_inflation(
    report: TrustReport | xr.DataTree | xr.Dataset,
    model: Model | None = None,
    *,
    backend: str | None = None,
    figure_kwargs: Mapping[str, Any] | None = None,
) -> PlotCollection:
    """Plot how far the variance of each parameter is from that of the posterior.

    The inflation that :func:`~pymc_sgld.diagnose` measures, 1 if it is right, with two standard
    errors to either side, and what the settings of the run predict. The parameter that is farthest
    off comes first. What is tolerated is shaded: a standard deviation within 10 %.

    Parameters
    ----------
    report : TrustReport, DataTree or Dataset
        What :func:`~pymc_sgld.diagnose` returns, or a run to diagnose.
    model : Model, optional
        The model that was sampled; for a run only, and needed there.
    backend : str, optional
        As for the plots of ArviZ, by default ``arviz.rcParams["plot.backend"]``.
    figure_kwargs : mapping, optional
        Passed to the function of the backend that makes the figure, such as ``figsize`` in inches.

    Returns
    -------
    arviz_plots.PlotCollection
        Its ``savefig`` writes the figure; ``viz`` holds every visual, by parameter. At most 20
        parameters are shown, and the title says of how many. They are coordinates of the
        unconstrained space: the label ``sigma`` stands for the logarithm of sigma, as in the
        report.

    Raises
    ------
    SettingError
        If the inflation was not measured, `model` is missing for a run, or given beside a report.
    ImportError
        If what the backend draws with is not installed.

    Warns
    -----
    SGLDWarning
        If a run is passed that is not to be trusted (see :func:`~pymc_sgld.diagnose`).

    Examples
    --------
    >>> import arviz as az
    >>> import numpy as np
    >>> import pymc as pm
    >>> x = np.random.default_rng(1).normal(size=100)
    >>> with pm.Model() as model:
    ...     mu = pm.Flat("mu")
    ...     y = pm.Normal("y", mu, 1, observed=x)  # the posterior is N(x.mean(), 1 / 100)
    >>> z = np.random.default_rng(2).normal(size=(4, 500))
    >>> exact = az.from_dict({"posterior": {"mu": x.mean() + 0.1 * z}})
    >>> figure = plot_inflation(exact, model)
    >>> measured = figure.viz["estimate/inflation"].sel(parameter="mu").isel(kind=0).item()
    >>> round(float(measured.get_offsets()[0, 0]), 1)
    1.0
    """
    table = inflation_table(report, model)
    name, draw = load_backend(backend, "plot_inflation", "`diagnose`")
    from arviz_plots.plot_collection import PlotCollection
    from arviz_plots.visuals import line_x, scatter_x

    (data, title), colors = as_dataset(table), colors_of(name)
    count = data.sizes["parameter"]
    collection = PlotCollection.grid(
        data[["inflation"]],
        backend=name,
        aes={"y": ["parameter"], "color": ["kind"], "marker": ["kind"]},
        y=list(range(count))[::-1],  # the first one at the top
        color=[colors.blue, colors.vermillion],
        marker=["C0", "C4"],
        figure_kwargs=figure_arguments(name, (7.2, 1.4 + 0.28 * count), figure_kwargs),
    )
    target = collection.get_viz("plot")
    tolerated = [(1 + side * SD_TOLERANCE) ** 2 for side in (-1, 1)]
    draw.vspan(*tolerated, target, color=colors.grey, alpha=0.25)
    draw.vline(1.0, target, color=colors.grey, width=1)
    styles = {"ignore_aes": {"color", "marker"}, "color": colors.blue, "width": 2}
    collection.map(line_x, "error", data=data[["error"]], **styles)
    collection.map(scatter_x, "estimate", size=data["size"])
    labels = shortened(data["parameter"].to_numpy().tolist(), LONGEST_LABEL)
    draw.yticks(np.arange(count)[::-1], labels, target)
    draw.ylim((-0.6, count - 0.4), target)
    draw.xlabel("variance over that of the posterior (shaded: tolerated)", target)
    if title:
        collection.add_title(title, size=11)
    add_legend(collection, "kind", visual_kwargs={"linestyle": "none"})
    tidy(collection)
    return collection


def inflation_table(report: Any, model: Model | None) -> pd.DataFrame:
    """Return what a report measured of each coordinate, by label."""
    if isinstance(report, TrustReport):
        if model is not None:
            raise SettingError(
                "cannot use model= beside a report, which has its figures: pass the report alone, "
                "or the run and its model."
            )
    elif model is None:
        raise SettingError(
            "cannot measure the inflation of a run without the model that was sampled: call "
            "plot_inflation(idata, model), or pass what diagnose(idata, model) returns."
        )
    else:
        report = diagnose(report, model)
    table = report.coordinates
    if "inflation" not in table or not np.isfinite(table["inflation"]).any():
        notes = " ".join(report.notes) or report.verdict
        raise SettingError(
            f"cannot plot the inflation of this report: none was measured. {notes} Pass "
            "diagnose(idata, model), with the model and draws enough."
        )
    named = table["parameter"].where(table["parameter"] != "", table.index)
    return table.set_axis(named, axis=0)[np.isfinite(table["inflation"]).to_numpy()]


def as_dataset(table: pd.DataFrame) -> tuple[xr.Dataset, str]:
    """Return what is drawn of the parameters that are farthest off, and a title."""
    ratio = np.sqrt(table["inflation"].clip(lower=0))
    shown = table.iloc[np.argsort(-np.abs(ratio - 1), kind="stable")[:MOST_ROWS]]
    measured, predicted = shown["inflation"].to_numpy(), shown["predicted_inflation"].to_numpy()
    bar = np.multiply.outer([-ERRORS, ERRORS], shown["inflation_error"].to_numpy())
    kinds, values = [MEASURED], [measured]
    if np.isfinite(predicted).any():
        kinds, values = [*kinds, PREDICTED], [*values, predicted]
    data = xr.Dataset(
        {
            "inflation": (("kind", "parameter"), values),
            "error": (("end", "parameter"), measured + bar),
            "size": ("kind", [40.0, 16.0][: len(kinds)]),
        },
        coords={"kind": kinds, "parameter": shown.index.to_list()},
    )
    few = len(shown) < len(table)
    return data, f"The {len(shown)} of {len(table)} parameters that are farthest off" if few else ""
