"""Pictures of two runs on top of each other."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from pymc_sgld.arguments import dictionary
from pymc_sgld.diagnostics.certificate.report import Certificate, draws_of
from pymc_sgld.diagnostics.comparison.compare import compare_marginals
from pymc_sgld.diagnostics.matching import Match, Parameter, match_posteriors
from pymc_sgld.diagnostics.weights import has_varying_steps
from pymc_sgld.errors import SettingError
from pymc_sgld.tolerance import Tolerance

if TYPE_CHECKING:
    from arviz_plots.plot_collection import PlotCollection

DEFAULT_ROWS = 8
"""Parameters shown when none are named."""

UNEQUAL = "Step sizes vary, but draws count alike here: plot what thin_by_step_size returns"
"""What the title says of draws of unequal weights."""

MOST_ROWS = 20
"""Parameters that fit a figure that can still be read."""


def plot_comparison(
    idata: xr.DataTree | xr.Dataset,
    reference: xr.DataTree | xr.Dataset | Certificate,
    var_names: str | Sequence[str] | None = None,
    *,
    labels: tuple[str, str] = ("SGLD", "NUTS"),
    figure_kwargs: Mapping[str, Any] | None = None,
) -> "PlotCollection":
    """Plot the posteriors and the traces of two runs on top of each other.

    One row per scalar parameter: the marginal density of all chains on the left (relative
    frequencies if the parameter is discrete, a spike if it is constant), the trace of every chain
    on the right (some 250 evenly spaced draws). Draws that are not finite are left out. All draws
    count alike, and where step sizes vary the title says so: plot what
    :func:`~pymc_sgld.thin_by_step_size` returns.

    Parameters
    ----------
    idata : DataTree or Dataset
        The run to judge: a result with a group ``posterior``, or that group itself.
    reference : DataTree, Dataset or Certificate
        The run to trust; chains and draws may differ in number.
    var_names : str or sequence of str, optional
        Variables to plot, with all their entries. By default all that both runs have; if these are
        more than 8 parameters, the 8 that differ most, which the title of the figure says.
    labels : tuple of str
        Names of the two runs in the legend.
    figure_kwargs : mapping, optional
        Passed to :func:`matplotlib.pyplot.subplots`, such as ``figsize`` in inches.

    Returns
    -------
    arviz_plots.PlotCollection
        Its ``savefig`` writes the figure; ``viz`` holds every visual, by parameter and run.

    Raises
    ------
    SettingError
        If the runs cannot be compared (see :func:`compare`), `var_names` names more than 20
        parameters, or `labels` are not two different names.

    Examples
    --------
    >>> import arviz as az
    >>> import numpy as np
    >>> rng = np.random.default_rng(3)
    >>> reference = az.from_dict({"posterior": {"beta": rng.normal(size=(4, 200, 2))}})
    >>> idata = az.from_dict({"posterior": {"beta": rng.normal(size=(2, 300, 2))}})
    >>> figure = plot_comparison(idata, reference)
    >>> figure.viz["plot"].sizes["parameter"]
    2
    """
    from pymc_sgld.diagnostics.plots import panels

    if not isinstance(labels, tuple | list) or len(labels) != 2 or labels[0] == labels[1]:
        raise SettingError(
            f"cannot use labels={labels!r}: they must be two different names, one per run, such as "
            '("SGLD", "NUTS").'
        )
    reference = draws_of(reference)
    match = match_posteriors(idata, reference, var_names)
    parameters, title = choose_parameters(match, all_named=var_names is not None)
    if has_varying_steps(idata) or has_varying_steps(reference):
        title = f"{title}\n{UNEQUAL}".strip()
    collection = panels.make_grid(parameters, labels, dictionary("figure_kwargs", figure_kwargs))
    panels.draw_densities(collection, parameters, labels)
    panels.draw_traces(collection)
    panels.label_axes(collection)
    if title:
        collection.add_title(title, size=11, x=0.01, horizontalalignment="left")
    collection.add_legend("model", title="", loc="outside upper right", ncols=2, frameon=False)
    return collection


def choose_parameters(match: Match, *, all_named: bool) -> tuple[list[Parameter], str]:
    """Give the parameters to plot, and a title if they are a choice."""
    total = len(match.parameters)
    if all_named and total > MOST_ROWS:
        raise SettingError(
            f"cannot plot {total} parameters: a figure has room for {MOST_ROWS}. Name fewer "
            f"variables in var_names, select entries first with `.sel`, or leave var_names out for "
            f"the {DEFAULT_ROWS} parameters that differ most."
        )
    if all_named or total <= DEFAULT_ROWS:
        return match.parameters, ""
    distance = differences(compare_marginals(match))
    farthest = np.argsort(-distance, kind="stable")[:DEFAULT_ROWS]
    chosen = [match.parameters[position] for position in farthest]
    return chosen, f"The {DEFAULT_ROWS} of {total} parameters that differ most"


def differences(table: pd.DataFrame) -> NDArray[np.floating]:
    """Measure how far each parameter is off, in tolerances; what has no figures comes first."""
    worst = Tolerance().excess(table["mean_shift"], table["sd_ratio"]).to_numpy()
    missing = np.where(table["agrees"], 0.0, np.inf)
    return np.where(np.isnan(worst), missing, worst)
