"""The log-likelihood of every draw in every row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from pymc.model import Model

from pymc_sgld.arguments import flag, model_of, whole_number
from pymc_sgld.compiled.threads import one_thread
from pymc_sgld.diagnostics.chosen import draws_for
from pymc_sgld.diagnostics.matching import SAMPLE_DIMENSIONS
from pymc_sgld.diagnostics.trust.unconstrained import Draws
from pymc_sgld.minibatch.blocks import read_blocks
from pymc_sgld.progress import progress
from pymc_sgld.results.likelihood import RowLikelihood, observed_of
from pymc_sgld.results.output import Layout, names_of_dimensions, output
from pymc_sgld.sources.bind import bind

PURPOSE = "compute the log-likelihood"


def log_likelihood(
    idata: xr.DataTree | xr.Dataset,
    model: Model | None = None,
    *,
    var_name: str | None = None,
    draws: int = 1000,
    path: str | Path | None = None,
    data: Mapping[str, Any] | None = None,
    progressbar: bool = True,
) -> xr.Dataset:
    """Return the log-likelihood of an observed variable in every row, at draws of the posterior.

    It is what :func:`pymc.compute_log_likelihood` gives, block by block: with `path`, a block is
    all that is in memory. :func:`~pymc_sgld.loo` needs none of it; other functions of ArviZ do:
    ``idata["log_likelihood"] = xarray.DataTree(found)``.

    Parameters
    ----------
    idata : DataTree or Dataset
        A result of :func:`pymc.sample`, with draws of all free variables of the model.
    model : Model, optional
        The model that was sampled, with its data as they were; by default that of the context.
    var_name : str, optional
        The observed variable, if the model has several.
    draws : int
        Draws of all chains together, evenly spaced, and as many in each chain; all of them if there
        are fewer.
    path : str or path, optional
        A new folder for the numbers, in zarr, which has to be installed: 8 bytes for every draw and
        row, before they are compressed. Until it is complete, it has the ending ``.partial``.
    data : dict, optional
        The sources that the run had, if it had any: see :class:`~pymc_sgld.SGLD`.
    progressbar : bool
        Whether to show how many rows are done, in a terminal or a notebook.

    Returns
    -------
    Dataset
        With the dimensions ``chain`` and ``draw``, and then those of the variable. With `path` it
        reads from there what it is asked for.

    Raises
    ------
    SettingError
        As :func:`~pymc_sgld.loo` does.

    Examples
    --------
    >>> import arviz as az
    >>> import numpy as np
    >>> import pymc as pm
    >>> with pm.Model() as model:
    ...     mean = pm.Normal("mean", 0, 10)
    ...     y = pm.Normal("y", mean, 1, observed=np.arange(3.0))
    >>> idata = az.from_dict({"posterior": {"mean": np.ones((1, 2))}})
    >>> log_likelihood(idata, model)["y"].round(1).values.tolist()
    [[[-1.4, -0.9, -1.4], [-1.4, -0.9, -1.4]]]
    """
    model = model_of(model)
    name, count = observed_of(model, var_name, PURPOSE), whole_number("draws", draws)
    sources, shown = bind(data), flag("progressbar", progressbar) is not False
    free = [rv.name for rv in model.free_RVs]
    posterior, stored = draws_for(idata, model, count, PURPOSE, free)
    working = progress("reading the model", shown=shown, name="log_likelihood")
    with working, one_thread(), np.errstate(all="ignore"):
        at = Draws(posterior, model, sources, stored.placing, purpose=PURPOSE)
        at.check_finite(PURPOSE)
        rows = RowLikelihood(at, name, stored.rows)
        own, coords = names_of_dimensions(model, name, rows.shape)
        coords |= {each: posterior[each].to_numpy() for each in SAMPLE_DIMENSIONS}
        size, places = rows.batch_size, rows.places
        with output(path) as out, progress("reading all rows", -(-rows.rows // size)) as update:
            labels = [*SAMPLE_DIMENSIONS, *own] if rows.shape else [*SAMPLE_DIMENSIONS, "row"]
            shape = (*at.shape, *(rows.shape or (1,)))
            out.add(name, Layout(shape, float, labels, 2, size))
            for block in read_blocks(rows.table):
                found = np.array([rows.at(place, block.data)[block.old :] for place in places])
                values = found.reshape(*at.shape, -1, *rows.shape[1:])
                out.write(name, block.first + block.old, values)
                update()
            return out.close(coords, {"draws": len(places)})
