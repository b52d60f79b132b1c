"""The phase plot: gradient noise beside injected noise, over the updates of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pymc_sgld.diagnostics.phases import Phases, read_phases
from pymc_sgld.diagnostics.plots.shared import (
    add_legend,
    colors_of,
    figure_arguments,
    load_backend,
    tidy,
)

if TYPE_CHECKING:
    from arviz_plots.plot_collection import PlotCollection

LOGARITHMIC = ("matplotlib", "none")
"""Backends with logarithmic axes."""

POINTS = 400
"""Draws of a chain that are drawn, evenly spaced on the axis."""


def plot_phases(
    idata: xr.DataTree,
    *,
    backend: str | None = None,
    figure_kwargs: Mapping[str, Any] | None = None,
) -> PlotCollection:
    r"""Plot the noise of the gradient beside the injected noise, over the updates of a run.

    An update :math:`\theta \leftarrow \theta + \tfrac\varepsilon2 M \hat g + \eta` moves by two
    kinds of noise. Along the direction of most gradient noise, in units in which :math:`M` is
    the identity, their variances are

    .. math::

        T \varepsilon \quad\text{(injected)}, \qquad
        \tfrac{\varepsilon^2}{4} \lambda_{\max}(M^{1/2} V M^{1/2}) = \varepsilon \alpha
        \quad\text{(gradient)},

    with the temperature :math:`T`, the covariance :math:`V` of :math:`\hat g` and the stat
    ``sampling_threshold``, :math:`\alpha`. Where gradient noise is the greater one, SGLD is
    stochastic optimisation; where injected noise is far greater, it is Langevin dynamics. Steps
    that become smaller lead from one to the other, because gradient noise falls with
    :math:`\varepsilon^2`.

    Parameters
    ----------
    idata : DataTree
        A result of :func:`pymc.sample` with an :class:`~pymc_sgld.SGLD` step.
    backend : {"matplotlib", "none"}, optional
        As for the plots of ArviZ, by default ``arviz.rcParams["plot.backend"]``. Bokeh and Plotly
        are refused: ArviZ sets logarithmic axes with Matplotlib only.
    figure_kwargs : mapping, optional
        Passed to :func:`matplotlib.pyplot.subplots`, such as ``figsize`` in inches.

    Returns
    -------
    arviz_plots.PlotCollection
        Its ``savefig`` writes the figure. A line for each chain and kind of noise, with some 400
        draws; a dotted line at every transition, the update from which, by the mean of all
        chains, injected noise stays the greater one, until the end or the end of the cycle. The
        title says where, or that there is none: constant steps have no transition.

    Raises
    ------
    SettingError
        If `idata` has no stats of SGLD, fewer than two draws, or the temperature 0, or for another
        backend.
    ImportError
        If Matplotlib is not installed.

    Notes
    -----
    Readings of :math:`\alpha` are noisy: each is of the few batches of a draw. So
    :math:`\alpha / \varepsilon` is averaged, weighted by :math:`\varepsilon`, over the draws of the
    chain whose update is within a factor of 1.25. Averaged noise (``"leimkuhler_matthews"``)
    injects :math:`T \varepsilon` an update in the long run.

    The axes are logarithmic, but for the updates of a cyclical schedule; there the axis of
    variances leaves out the very end of each cycle, where steps vanish. Of several SGLD steps
    (``blocked=False``) the one with most gradient noise is shown; beside other steps that report a
    step size, such as NUTS, variances are in units of the mean of what the chain injects.

    References
    ----------
    Welling and Teh (2011), Bayesian learning via stochastic gradient Langevin dynamics, section 4.

    Examples
    --------
    >>> import arviz as az
    >>> import numpy as np
    >>> updates = np.tile(np.arange(10, 10_001, 10), (2, 1))
    >>> step_size = 1 / updates
    >>> stats = {
    ...     "step_size": step_size, "sampling_threshold": 250 * step_size, "updates": updates
    ... }
    >>> idata = az.from_dict({"posterior": {"mu": 0 * step_size}, "sample_stats": stats})
    >>> figure = plot_phases(idata)
    >>> figure.get_viz("figure_title").get_text()
    'Injected noise takes over (α = 1) at update 260'
    """
    name, draw = load_backend(backend, "plot_phases", "idata.sample_stats", LOGARITHMIC)
    from arviz_plots.plot_collection import PlotCollection
    from arviz_plots.visuals import line_xy

    phases, colors = read_phases(idata), colors_of(name)
    collection = PlotCollection.grid(
        curves(phases),
        backend=name,
        aes={"color": ["noise"], "linestyle": ["noise"], "overlay": ["chain"]},
        color=[colors.blue, colors.vermillion],
        linestyle=["--", "-"],
        figure_kwargs=figure_arguments(name, (7.2, 4.4), figure_kwargs),
    )
    collection.map(line_xy, "variance", width=1.4, alpha=0.8)
    target = collection.get_viz("plot")
    for update in phases.transitions:
        draw.vline(float(update), target, color=colors.grey, linestyle=":", width=1.2)
    draw.yscale(target, "log")
    if phases.is_cyclical:
        draw.ylim(limits(phases), target)
    else:
        draw.xscale(target, "log")
    draw.xlabel("update", target)
    label = "variance in an update (M = 1)" if phases.absolute else "variance, mean injected = 1"
    draw.ylabel(label, target)
    collection.add_title(phases.describe(), size=11)
    add_legend(collection, "noise")
    tidy(collection)
    return collection


def curves(phases: Phases) -> xr.Dataset:
    """Return the lines of the plot, of dimensions (noise, chain, plot_axis, point)."""
    draws = phases.updates.shape[1]
    even = np.linspace if phases.is_cyclical else np.geomspace
    wanted = even(phases.updates[0, 0], phases.updates[0, -1], min(draws, POINTS))
    some = np.unique(np.searchsorted(phases.updates[0], wanted).clip(0, draws - 1))
    injected = "injected, Tε" if phases.tempered else "injected, ε"
    lines = [
        np.where(values > 0, [phases.updates, values], np.nan)[:, :, some]
        for values in (phases.injected, phases.gradient)
    ]
    return xr.Dataset(
        {"variance": (("noise", "plot_axis", "chain", "point"), np.array(lines))},
        coords={
            "noise": [injected, "of the gradient, εα"],
            "plot_axis": ["x", "y"],
            "chain": np.arange(len(phases.updates)),
        },
    )


def limits(phases: Phases) -> tuple[float, float]:
    """Return limits of variances that leave out the ends of cycles, where steps are almost 0."""
    values = np.concatenate([phases.injected.ravel(), phases.gradient.ravel()])
    values = values[values > 0]
    return float(np.quantile(values, 0.05)), 1.5 * float(values.max())
