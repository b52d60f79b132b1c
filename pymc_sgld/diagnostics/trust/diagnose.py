"""Whether to trust one run, without a second run to compare it with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from pymc.model import Model

from pymc_sgld.arguments import flag, model_of, whole_number
from pymc_sgld.diagnostics.certificate.exact import certificate_of, unfit
from pymc_sgld.diagnostics.matching import SAMPLE_DIMENSIONS, find_posterior, shorten
from pymc_sgld.diagnostics.stored import SMALLER, StoredStats, doubts_of_chains
from pymc_sgld.diagnostics.trust.by_gradients import (
    FEWEST_GRADIENTS,
    FIGURES,
    Measured,
    measured_by_gradients,
)
from pymc_sgld.diagnostics.trust.doubts import doubts_of_mixing
from pymc_sgld.diagnostics.trust.mixing import mixing_table
from pymc_sgld.diagnostics.trust.report import TrustReport, headline
from pymc_sgld.diagnostics.trust.unconstrained import Draws
from pymc_sgld.errors import SettingError, warn
from pymc_sgld.progress import progress
from pymc_sgld.sources.bind import bind
from pymc_sgld.tolerance import Doubt, Verdict
from pymc_sgld.tuning.posterior.covariance import FULL_SIZE

TOLERANCE, BUDGET = 0.05, 100
"""Of the exact moments that a run is compared with: see `certify`."""


def diagnose(
    idata: xr.DataTree | xr.Dataset,
    model: Model | None = None,
    *,
    var_names: str | Sequence[str] | None = None,
    gradients: int | None = None,
    data: Mapping[str, Any] | None = None,
    progressbar: bool = True,
) -> TrustReport:
    r"""Report whether to believe a run.

    R-hat and effective sample sizes say how well chains explored *their* stationary distribution.
    With the model, the report also says how far this is from the posterior: the shift of each mean
    in posterior standard deviations, and the ratio of each standard deviation to that of the
    posterior. It needs no reference run. Where the posterior is near enough to a Gaussian, the run
    is compared with its exact moments: see :func:`~pymc_sgld.certify`.

    Elsewhere the gradient :math:`g = \nabla \log p` of all rows, at some of the draws, is enough.
    Draws of mean :math:`m` from the posterior satisfy Stein's identities

    .. math::

        E\,g = 0, \qquad E (\theta - m) g^\top = -I

    in unconstrained coordinates, and a regression of gradients on positions gives the mean and the
    variance that the posterior has, exactly for a Gaussian. (An estimate of a ratio of variances
    may be negative: then it counts as 0.) The kernel Stein discrepancy tests the draws as a whole.

    None of this sees a mode that no chain has visited.

    Parameters
    ----------
    idata : DataTree or Dataset
        A result of :func:`pymc.sample`, by SGLD or by any other step method.
    model : Model, optional
        The model that was sampled, with its data as they were. Without it, only what the run stored
        is reported. Effects of groups that `idata` has no draws of are integrated out of the
        posterior, as ``SGLD`` does it: see :doc:`/groups`.
    var_names : str or sequence of str, optional
        Variables of the table; by default all that the posterior has. The bias is measured for all
        continuous free variables in any case, but for effects that `idata` lacks.
    gradients : int, optional
        Number of draws at which to compute the gradient of all rows, evenly spaced, 40 at least;
        the run is then not compared with exact moments. By default, where there are none, 400, and
        up to 2,000 where the data are small. Each is a pass over the data, but of more than 20,000
        rows an expansion of all of them around the draws, to second order, takes their place
        wherever a few rows make it exact to 0.02 standard deviations.
    data : dict, optional
        The sources that the run had, if it had any: see :class:`~pymc_sgld.SGLD`.
    progressbar : bool
        Whether to show what is being done, in a terminal or a notebook.

    Returns
    -------
    TrustReport
        It prints as a table and a verdict; ``.trusted`` is the verdict as a bool.

    Raises
    ------
    SettingError
        If `idata` has no posterior, a variable is missing or is no number, or the model is none or
        not the one that was sampled.

    Warns
    -----
    SGLDWarning
        If the run is not to be trusted: a chain is ``untrusted``, draws are not finite, R-hat
        exceeds 1.01 (and what it is by chance among so many parameters) or an effective sample size
        is below 400, the standard deviation of a parameter is more than 10 % off or its mean more
        than 0.1 standard deviations, beyond error, or the kernel test rejects. Exact draws of
        chains long enough raise it with a probability of about 1 %, by all parameters together.

    Notes
    -----
    :doc:`/diagnose` says how to read the report and how the bias is measured. A run at another
    temperature than 1 is compared with the posterior to the power 1/T.

    References
    ----------
    Gorham and Mackey (2017), Measuring sample quality with kernels, section 3.
    Mira, Solgi and Imparato (2013), Zero variance Markov chain Monte Carlo for Bayesian estimators,
    section 2.

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
    >>> diagnose(exact, model).trusted
    True
    >>> wide = az.from_dict({"posterior": {"mu": x.mean() + 0.2 * z}})
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     report = diagnose(wide, model)
    >>> report.trusted, round(float(report.table.loc["mu", "sd_ratio"]), 1)
    (False, 2.0)
    """
    model = model if model is None else model_of(model)
    posterior, stored = find_posterior(idata, "idata"), StoredStats.of(idata)
    if gradients is not None:
        gradients = max(FEWEST_GRADIENTS, whole_number("gradients", gradients))
    shown = flag("progressbar", progressbar) is not False
    table = mixing_table(posterior, var_names)
    doubts = doubts_of_chains(stored, "the run")
    doubts += doubts_of_mixing(table, posterior.sizes["chain"], posterior.sizes["draw"])
    run = stored.scalars() | {"not_finite": _not_finite(posterior)}
    for name, what in (
        ("not_finite", "of its draws are not finite"),
        ("gradients_not_finite", "of its draws had a gradient that is not finite"),
    ):
        if run.get(name):
            remedy = f"{SMALLER}, or reparametrise"
            doubts.append(Doubt("the run", f"{run[name]:.0f} {what}", remedy, np.inf))
    notes: list[str] = []
    bias = Measured()
    if len(posterior["chain"]) == 1:
        notes.append("R-hat is not known: it takes two chains or more.")
    if stored.temperature == 0:
        text = "temperature 0 climbs to a mode, and its draws are no sample"
        doubts.append(Doubt("the run", text, "temperature=1", np.inf))
    elif model is None:
        notes.append(_unmeasured(stored))
    elif run["not_finite"]:
        notes.append("The bias was not measured, because draws are not finite.")
    else:
        draws = Draws.of_run(posterior, model, bind(data), stored.placing)
        if draws.integrated and stored.temperature != 1:
            raise SettingError(
                f"cannot {draws.purpose}: idata lacks {shorten(list(draws.integrated))}, and "
                "effects are integrated out at temperature 1 only (that of the run was "
                f"{stored.temperature:g}). Record all free variables, or leave model out."
            )
        with progress("looking for the posterior", shown=shown, name="diagnose"):
            bias = _bias(draws, stored, gradients)
    measured = [doubt for doubt in bias.doubts if doubt not in doubts]
    if any(doubt.remedy.startswith(SMALLER) for doubt in measured):  # how much smaller
        doubts = [
            each._replace(remedy="") if each.remedy.startswith(SMALLER) else each for each in doubts
        ]
    doubts += measured
    if "sd_ratio" in bias.figures:
        table = table.join(bias.figures[list(FIGURES)])
    in_doubt = {doubt.label for doubt in doubts} | {*table.index[table["mean"].isna()]}
    some = table["ess_bulk"].notna().any()  # else nothing is known of any
    table["trusted"] = [bool(some) and label not in in_doubt for label in table.index]
    judged = Verdict(headline(table, bias.figures, doubts), doubts, [*notes, *bias.notes])
    if doubts:
        warn(str(judged))
    numbers = pd.Series({**run, **bias.run}, dtype=float)
    return TrustReport(table, bias.coordinates, numbers, judged, stored.settings, bias.certificate)


def _bias(draws: Draws, stored: StoredStats, gradients: int | None) -> Measured:
    """Measure the bias against the exact posterior, or by gradients where that is not at hand."""
    notes, certificate = [], None
    if gradients is None and _may_be_certified(draws, stored):
        own = None if stored.setting("integrated_out") else False
        certificate = certificate_of(draws, stored, TOLERANCE, BUDGET, marginalize=own)
        judged, of_run = certificate.judged, certificate.run.to_dict()
        table = certificate.table
        unknown = set(table.index[table["sd"].isna()]) if certificate.certified else set()
        free = {rv.name for rv in draws.model.free_RVs}
        heavy = sorted(label for label in unknown if label.partition("[")[0] in free)
        if certificate.certified and not heavy:
            k = f" (Pareto k {of_run['k']:.2f})" if np.isfinite(of_run["k"]) else ""
            notes = [f"Compared with exact moments of the posterior{k}.", *judged.notes]
            if unknown:
                notes.append(f"No exact moments of {shorten(sorted(unknown))}: not compared.")
            doubts = [doubt for doubt in judged.doubts if doubt.label not in unknown]
            return Measured(table, of_run, doubts, notes, certificate=certificate)
        reason = f"No exact moments of {shorten(heavy)}." if heavy else judged.headline
        notes = [f"{reason} The bias was measured by gradients."]
    found = measured_by_gradients(draws, stored, gradients)
    return found._replace(notes=[*notes, *found.notes], certificate=certificate)


def _may_be_certified(draws: Draws, stored: StoredStats) -> bool:
    """Whether there may be exact moments, and the run has draws enough to be compared with them."""
    position = draws.position
    return (
        not unfit(draws.model, stored)
        and len(draws.coordinates) <= FULL_SIZE
        and position.shape[0] * position.shape[1] >= FEWEST_GRADIENTS
        and bool(np.isfinite(position).all() and (np.ptp(position, axis=(0, 1)) > 0).all())
    )


def _not_finite(posterior: xr.Dataset) -> int:
    """Return how many draws have an entry that is not finite."""
    bad = np.zeros((posterior.sizes["chain"], posterior.sizes["draw"]), dtype=bool)
    for array in posterior.data_vars.values():
        if array.dtype.kind not in "biuf" or not set(SAMPLE_DIMENSIONS) <= set(array.dims):
            continue
        values = array.transpose("chain", "draw", ...).to_numpy()
        bad |= ~np.isfinite(values.reshape(*bad.shape, -1)).all(axis=2)
    return int(bad.sum())


def _unmeasured(stored: StoredStats) -> str:
    if stored.is_sgld:
        return (
            "The bias was not measured, only what the chains read of it while they ran. Pass the "
            "model to measure it."
        )
    return (
        "The bias was not measured: this run has no statistics of SGLD, and no model was passed. "
        "R-hat and effective sample size cannot see it."
    )
