"""Predictions for new rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from pymc.model import Model

from pymc_sgld.arguments import flag, generator, model_of, names, whole_number
from pymc_sgld.compiled.threads import one_thread
from pymc_sgld.diagnostics.chosen import draws_for
from pymc_sgld.diagnostics.matching import FROM_PYMC, SAMPLE_DIMENSIONS, require_numbers
from pymc_sgld.diagnostics.statistics import STATISTICS, probability, statistics_of
from pymc_sgld.diagnostics.trust.unconstrained import other_shape
from pymc_sgld.errors import SettingError
from pymc_sgld.minibatch.blocks import read_blocks
from pymc_sgld.progress import progress
from pymc_sgld.results.new_rows import NewRows
from pymc_sgld.results.output import Layout, Output, names_of_dimensions, output
from pymc_sgld.sources.bind import bind

PURPOSE = "predict"


def predict(
    idata: xr.DataTree | xr.Dataset,
    model: Model | None = None,
    *,
    data: Mapping[str, Any],
    var_names: str | Collection[str] | None = None,
    draws: int = 200,
    prob: float | None = None,
    return_draws: bool = False,
    path: str | Path | None = None,
    random_seed: Any = None,
    progressbar: bool = True,
) -> xr.Dataset:
    r"""Return predictions for new rows, of which there may be any number.

    Outcomes are drawn from :math:`p(\tilde y \mid \theta, \tilde x)` for draws :math:`\theta` of
    the posterior, as :func:`pymc.sample_posterior_predictive` does after ``pm.set_data``. Here new
    rows :math:`\tilde x` are read block by block, from arrays or from disk, and what is kept of
    each row are the mean, the standard deviation and an interval, or all draws. The model stays as
    it is.

    Parameters
    ----------
    idata : DataTree or Dataset
        A result of :func:`pymc.sample`, with draws of the free variables that are needed.
    model : Model, optional
        The model that was sampled, its predictors in ``pm.Data``; by default that of the context.
    data : dict
        New rows of all predictors, by the names of their ``pm.Data``: arrays, or sources as
        :class:`~pymc_sgld.SGLD` takes them. The first axis has the rows.
    var_names : str or collection of str, optional
        Observed variables, and Deterministics such as a mean, that depend on the new rows. By
        default all such observed variables.
    draws : int
        Draws of all chains together, evenly spaced, and as many in each chain, two at least; all of
        them if there are fewer.
    prob : float, optional
        Probability of the equal-tailed interval; by default that of ArviZ,
        ``arviz.rcParams["stats.ci_prob"]``.
    return_draws : bool
        Whether to return the draws themselves.
    path : str or path, optional
        A new folder for the predictions, in zarr, which has to be installed. They are then not held
        in memory. Until it is complete, the folder has the ending ``.partial``.
    random_seed : int, Generator or None
        Seed of the outcomes.
    progressbar : bool
        Whether to show how many rows are done, in a terminal or a notebook.

    Returns
    -------
    Dataset
        For each variable the dimensions that it has in the model, the new rows first, and before
        them ``statistic``: ``"mean"``, ``"sd"``, ``"lower"`` and ``"upper"``. With
        ``return_draws``, the dimensions ``chain`` and ``draw`` take its place. With `path` it
        reads from there what it is asked for.

    Raises
    ------
    SettingError
        If a free variable is missing in `idata` (effects of groups that the run did not record: the
        message says how to draw them) or has another shape; if a predictor is missing in `data`, or
        has another width or dtype; if a variable is no function of a row and of parameters; for an
        argument that cannot be used.
    DataError
        If an index, of groups for instance, has a level that the model has not; if rows cannot be
        read.

    Notes
    -----
    A mean of S draws has a standard error of :math:`s / \sqrt S` for a standard deviation s, the
    end of an interval of 89 % about :math:`2\, s / \sqrt S`. The mean of an outcome is less
    accurate than that of a Deterministic that is its mean.

    Examples
    --------
    >>> import arviz as az
    >>> import numpy as np
    >>> import pymc as pm
    >>> rng = np.random.default_rng(1)
    >>> x = rng.normal(size=100)
    >>> with pm.Model() as model:
    ...     slope = pm.Normal("slope")
    ...     mean = pm.Deterministic("mean", slope * pm.Data("x", x))
    ...     y = pm.Normal("y", mean, 0.1, observed=2 * x)
    >>> idata = az.from_dict({"posterior": {"slope": 2 + 0.01 * rng.normal(size=(4, 250))}})
    >>> found = predict(idata, model, data={"x": np.linspace(-1, 1, 5)}, var_names="mean")
    >>> found["mean"].sel(statistic="mean").round(1).values.tolist()
    [-2.0, -1.0, 0.0, 1.0, 2.0]
    """
    model = model_of(model)
    wanted = None if var_names is None else names("var_names", var_names)
    count, coverage = whole_number("draws", draws), probability(prob)
    keep, shown = flag("return_draws", return_draws), flag("progressbar", progressbar) is not False
    seed = int(generator(random_seed, "random_seed").integers(2**31))
    sources = bind(data)
    with progress("reading the model", shown=shown, name="predict"), one_thread():
        rows = NewRows(model, wanted, sources)
        posterior, _ = draws_for(idata, model, count, PURPOSE, rows.needed)
        points, shapes = _values(posterior, model, rows.needed)
        rows.compile(shapes, len(points), seed)
        chains, length = (posterior.sizes[name] for name in SAMPLE_DIMENSIONS)
        leading = {"chain": chains, "draw": length} if keep else {"statistic": len(STATISTICS)}
        with output(path) as out, np.errstate(all="ignore"):
            dimensions = _fill(out, rows, points, (chains, length), leading, coverage, model)
            coords: dict[str, Any] = {"statistic": list(STATISTICS)}
            if keep:
                coords = {name: posterior[name].to_numpy() for name in SAMPLE_DIMENSIONS}
            attrs = {"draws": len(points)} | ({} if keep else {"prob": coverage})
            return out.close(coords | dimensions, attrs)


def _values(
    posterior: xr.Dataset, model: Model, needed: Collection[str]
) -> tuple[list[list[np.ndarray]], dict[str, tuple[int, ...]]]:
    """Return the free variables at each draw, and their shapes."""
    shapes = model.eval_rv_shapes()
    arrays = []
    for name in needed:
        require_numbers(name, posterior[name], "idata", FROM_PYMC)
        array = posterior[name].transpose(*SAMPLE_DIMENSIONS, ...).to_numpy()
        if not np.isfinite(array).all():
            raise SettingError(f"cannot {PURPOSE}: draws of {name} are not finite.")
        if array.shape[2:] != tuple(shapes[name]):
            raise other_shape(name, array, tuple(shapes[name]), PURPOSE)
        arrays.append(array.reshape(-1, *array.shape[2:]))
    count = posterior.sizes["chain"] * posterior.sizes["draw"]
    points = [[array[s] for array in arrays] for s in range(count)]
    return points, {name: tuple(shapes[name]) for name in needed}


def _fill(
    out: Output,
    rows: NewRows,
    points: list[list[np.ndarray]],
    sample: tuple[int, int],
    leading: Mapping[str, int],
    prob: float,
    model: Model,
) -> dict[str, Any]:
    """Write the predictions of all rows; return coordinates of the other dimensions."""
    coords: dict[str, Any] = {}
    axis, keep = len(leading), "statistic" not in leading
    blocks = -(-rows.rows // rows.batch_size)
    with progress("predicting", blocks * len(points)) as update:
        for start, old, _, data in read_blocks(rows.table):
            rows.check_levels(points[0], start, data)
            if not start:
                rows.try_once(points[0], data)
            found: list[list[np.ndarray]] = []
            for point in points:
                found.append(rows.at(point, data))
                update()
            for name, values in zip(rows.names, zip(*found, strict=True), strict=True):
                array = np.array(values)
                array = array.reshape(*sample, *array.shape[1:])
                block = array if keep else statistics_of(array, prob)
                if not start:
                    shape = (rows.rows, *block.shape[axis + 1 :])
                    own, of_own = names_of_dimensions(model, name, shape, rows=False)
                    shape, coords = (*leading.values(), *shape), coords | of_own
                    labels = [*leading, *own]
                    layout = Layout(shape, block.dtype, labels, axis, rows.batch_size)
                    out.add(name, layout)
                out.write(name, start + old, block[(slice(None),) * axis + (slice(old, None),)])
    return coords
