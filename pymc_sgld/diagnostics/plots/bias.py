"""The bias of every parameter: the shift of its mean and the ratio of its sd, with errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from pymc_sgld.arguments import dictionary
from pymc_sgld.diagnostics.certificate.report import Certificate
from pymc_sgld.diagnostics.plots.shared import tidy, visible_colors
from pymc_sgld.diagnostics.plots.short_labels import shortened
from pymc_sgld.diagnostics.shown import MOST_ROWS
from pymc_sgld.diagnostics.trust.report import TrustReport, by_parameter
from pymc_sgld.errors import SettingError
from pymc_sgld.tolerance import MEAN_TOLERANCE, SD_TOLERANCE, Tolerance

if TYPE_CHECKING:
    from arviz_plots.plot_collection import PlotCollection

ERRORS = 2
"""Standard errors that a bar extends to either side."""

LONGEST_LABEL = 32
"""Letters of a label."""


PANELS = (
    ("mean_shift", 0, MEAN_TOLERANCE, "mean shift, in posterior sds"),
    ("sd_ratio", 1, SD_TOLERANCE, "sd over that of the posterior"),
)
"""Columns of a report that are drawn beside each other: where a posterior is, what is tolerated."""


def plot_bias(
    report: TrustReport | Certificate,
    *,
    figure_kwargs: Mapping[str, Any] | None = None,
) -> PlotCollection:
    """Plot how far the mean and the standard deviation of each parameter are off.

    The shift of the mean, in posterior standard deviations, and the ratio of the standard deviation
    to that of the posterior, as :func:`~pymc_sgld.diagnose` or :func:`~pymc_sgld.certify` measures
    them, with two standard errors to either side. The parameter that is farthest off comes first.
    What is tolerated is shaded: 0.1 standard deviations, and 10 %.

    Parameters
    ----------
    report : TrustReport or Certificate
        What :func:`~pymc_sgld.diagnose` or :func:`~pymc_sgld.certify` returns of a run.
    figure_kwargs : mapping, optional
        Passed to :func:`matplotlib.pyplot.subplots`, such as ``figsize`` in inches.

    Returns
    -------
    arviz_plots.PlotCollection
        Its ``savefig`` writes the figure; ``viz`` holds every visual, by parameter and ``column``
        (``mean_shift``, ``sd_ratio``). At most 20 parameters are shown, and the title says of how
        many. Where bias was measured by gradients they are coordinates of the unconstrained space:
        the label ``sigma`` stands for the logarithm of sigma, as in the report.

    Raises
    ------
    SettingError
        If the report is none, or no bias was measured.

    Examples
    --------
    >>> import arviz as az
    >>> import numpy as np
    >>> import pymc as pm
    >>> from pymc_sgld import diagnose
    >>> x = np.random.default_rng(1).normal(size=100)
    >>> with pm.Model() as model:
    ...     mu = pm.Flat("mu")
    ...     y = pm.Normal("y", mu, 1, observed=x)  # the posterior is N(x.mean(), 1 / 100)
    >>> z = np.random.default_rng(2).normal(size=(4, 500))
    >>> exact = az.from_dict({"posterior": {"mu": x.mean() + 0.1 * z}})
    >>> figure = plot_bias(diagnose(exact, model))
    >>> measured = figure.viz["estimate/bias"].sel(parameter="mu", column="sd_ratio").item()
    >>> round(float(measured.get_offsets()[0, 0]), 1)
    1.0
    """
    table = bias_table(report)
    from arviz_plots.backend.matplotlib import core as draw
    from arviz_plots.plot_collection import PlotCollection
    from arviz_plots.visuals import line_x, scatter_x

    (data, title), colors = as_dataset(table), visible_colors()
    count = data.sizes["parameter"]
    collection = PlotCollection.grid(
        data[["bias"]],
        cols=["column"],
        backend="matplotlib",
        aes={"y": ["parameter"]},
        y=list(range(count))[::-1],  # the first one at the top
        figure_kwargs={"figsize": (9, 1 + 0.28 * count), "layout": "constrained"}
        | dictionary("figure_kwargs", figure_kwargs),
    )
    labels = shortened(data["parameter"].to_numpy().tolist(), LONGEST_LABEL)
    ticks = dict(zip(PANELS, (labels, [""] * count), strict=True))  # labels at the left only
    for (column, right, tolerance, label), names in ticks.items():
        target = collection.get_viz("plot", column=column)
        draw.vspan(right - tolerance, right + tolerance, target, color=colors.grey, alpha=0.25)
        draw.vline(right, target, color=colors.grey, width=1)
        draw.yticks(np.arange(count)[::-1], names, target)
        draw.ylim((-0.6, count - 0.4), target)
        draw.xlabel(label, target)
    collection.map(line_x, "error", data=data[["error"]], color=colors.blue, width=2)
    collection.map(scatter_x, "estimate", color=colors.blue, marker="C0", size=40.0)
    if title:
        collection.add_title(title, size=11)
    tidy(collection)
    return collection


def bias_table(report: TrustReport | Certificate) -> pd.DataFrame:
    """Return what a report measured of each parameter, by label."""
    if not isinstance(report, TrustReport | Certificate):
        raise SettingError(
            f"cannot plot the bias of {type(report).__name__}: it must be a report. Pass "
            "diagnose(idata, model) or certify(idata, model)."
        )
    certificate = report if isinstance(report, Certificate) else report.certificate
    if certificate is not None and certificate.certified:
        table = certificate.table
    elif isinstance(report, TrustReport):
        table = by_parameter(report.coordinates)
    else:
        table = pd.DataFrame()
    if "sd_ratio" not in table or not np.isfinite(table["sd_ratio"]).any():
        notes = " ".join(report.judged.notes) or report.verdict
        raise SettingError(
            f"cannot plot the bias of this report: none was measured. {notes} Pass "
            "diagnose(idata, model), with the model and draws enough."
        )
    return table[np.isfinite(table["sd_ratio"])]


def as_dataset(table: pd.DataFrame) -> tuple[xr.Dataset, str]:
    """Return what is drawn of the parameters that are farthest off, and a title."""
    excess = Tolerance().excess(table["mean_shift"], table["sd_ratio"]).to_numpy()
    shown = table.iloc[np.argsort(-excess, kind="stable")[:MOST_ROWS]]
    columns = [panel[0] for panel in PANELS]
    measured = shown[columns].to_numpy()
    errors = shown[[f"{column}_error" for column in columns]].to_numpy()
    data = xr.Dataset(
        {
            "bias": (("parameter", "column"), measured),
            "error": (
                ("end", "parameter", "column"),
                measured + np.multiply.outer([-ERRORS, ERRORS], errors),
            ),
        },
        coords={"column": columns, "parameter": shown.index.to_list()},
    )
    few = len(shown) < len(table)
    return data, f"The {len(shown)} of {len(table)} parameters that are farthest off" if few else ""
