"""How far one run is from the exact posterior, by importance weights."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy
import xarray as xr
from arviz_stats.base.array import array_stats
from pymc.model import Model

from pymc_sgld.arguments import flag, model_of, names, positive
from pymc_sgld.compiled.threads import one_thread
from pymc_sgld.diagnostics.certificate.place import PURPOSE, Place
from pymc_sgld.diagnostics.certificate.report import Certificate
from pymc_sgld.diagnostics.certificate.values import Values
from pymc_sgld.diagnostics.matching import find_posterior, shorten
from pymc_sgld.diagnostics.stored import Stored, doubts_of_chains
from pymc_sgld.diagnostics.trust.doubts import doubts_of_bias, quantile
from pymc_sgld.errors import SettingError, SGLDWarning
from pymc_sgld.progress import progress
from pymc_sgld.sources.bind import bind
from pymc_sgld.tolerance import Doubt, Tolerance, Verdict
from pymc_sgld.tuning.importance.points import LARGEST_K, Points
from pymc_sgld.tuning.importance.weighted import Precise, Weighted, weigh

CHAINS = 4
FIGURES = ("mean", "sd", "mean_shift", "sd_ratio")
COLUMNS = [name for figure in FIGURES for name in (figure, f"{figure}_error")]
_OTHER_MODE = 20  # draws of the run that are looked at, of the farthest and of all
_FAR = 0.01  # share of the weighted points that are less likely than a draw of a mode
_WITHOUT = "name the others in var_names="
_SEED = 20190718  # fixed: the draws are a property of the model, not of a run


def certify(
    idata: xr.DataTree | xr.Dataset,
    model: Model | None = None,
    *,
    tolerance: float = 0.02,
    budget: float = 100,
    var_names: str | Sequence[str] | None = None,
    data: Mapping[str, Any] | None = None,
    progressbar: bool = True,
) -> Certificate:
    r"""Return exact means and standard deviations of a posterior, and how far a run is from them.

    Points :math:`\theta_s` are drawn from a Gaussian (of few coordinates, a Student distribution)
    :math:`q` near the posterior, and weighted by

    .. math:: \log w_s = \log p(\theta_s) - \log q(\theta_s) .

    With weights whose tail is light enough, by the diagnostic :math:`\hat k \le 0.7` of Pareto
    smoothing, weighted means are those of the posterior, with an error that is known. Of large data
    the log-likelihood at a point is that of an expansion of all rows to second order, and of a few
    rows beyond it, picked by how much they add; what the choice of rows does to a mean is part of
    its error. So a certificate takes some tens of passes over large data, the fewer the larger.

    Where it does not work, because the posterior is not near enough to :math:`q` or the budget is
    too small, there is no certificate, and the verdict says why: :func:`~pymc_sgld.diagnose` has
    other evidence. It cannot see a mode that neither the run nor the search has visited.

    Parameters
    ----------
    idata : DataTree or Dataset
        A result of :func:`pymc.sample`, by SGLD or by any other step method, at temperature 1.
    model : Model, optional
        The model that was sampled, with its data as they were; by default that of the context.
        Effects of groups are integrated out of the posterior where ``SGLD`` would do so, and are
        not in the table: see :doc:`/groups`.
    tolerance : float
        Error of a mean or a standard deviation that is tolerated, in standard deviations of the
        posterior: those of unconstrained coordinates have standard errors of at most half of it, or
        there is no certificate. The table has the errors of each parameter.
    budget : float
        What may be read, in evaluations of the log-likelihood of all rows. Of small data, more.
    var_names : str or sequence of str, optional
        Variables of the table and of the verdict; by default all free variables and Deterministics
        that both the model and `idata` have.
    data : dict, optional
        The sources that the run had, if it had any: see :class:`~pymc_sgld.SGLD`.
    progressbar : bool
        Whether to show what is being done, in a terminal or a notebook.

    Returns
    -------
    Certificate
        It prints as a table and a verdict. ``.agrees`` is the verdict as a bool, ``.draws`` are
        independent draws of the posterior.

    Raises
    ------
    SettingError
        If `idata` and the model do not belong together, the temperature of the run is not 1, the
        model has discrete variables, or more than 500 unconstrained coordinates; for an argument
        that cannot be used.

    Warns
    -----
    SGLDWarning
        If the run does not agree with the certificate.

    Notes
    -----
    The run agrees if the mean of each parameter is within 0.1 posterior standard deviations and its
    standard deviation within 10 %, up to the errors of both, and its chains say nothing else.

    References
    ----------
    Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling.
    Quiroz, Kohn, Villani and Tran (2019), Speeding up MCMC by efficient data subsampling.

    Examples
    --------
    >>> import arviz as az
    >>> import numpy as np
    >>> import pymc as pm
    >>> x = np.random.default_rng(1).normal(size=100)
    >>> with pm.Model() as model:
    ...     mu = pm.Flat("mu")
    ...     y = pm.Normal("y", mu, 1, observed=x)  # the posterior is N(x.mean(), 1 / 100)
    >>> z = np.random.default_rng(2).normal(size=(4, 5000))
    >>> exact = az.from_dict({"posterior": {"mu": x.mean() + 0.1 * z}})
    >>> certify(exact, model).agrees
    True
    >>> wide = az.from_dict({"posterior": {"mu": x.mean() + 0.15 * z}})
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     certificate = certify(wide, model)
    >>> certificate.agrees, round(float(certificate.table.loc["mu", "sd_ratio"]), 1)
    (False, 1.5)
    """
    model = model_of(model)
    posterior, stored = find_posterior(idata, "idata"), Stored.of(idata)
    tolerance, passes = positive("tolerance", tolerance), positive("budget", budget)
    wanted = None if var_names is None else names("var_names", var_names)
    unknown = [name for name in wanted or () if name not in posterior]
    if unknown:
        raise SettingError(
            f"var_names has {unknown}, which idata has no draws of: name some of "
            f"{shorten(list(posterior.data_vars))}, or leave var_names out."
        )
    sources, shown = bind(data), flag("progressbar", progressbar) is not False
    _check(model, stored)
    working = progress("looking for the posterior", shown=shown, name="certify")
    with working, one_thread(), np.errstate(all="ignore"):
        place = Place.of(posterior, model, sources, stored)
        where = model, place.data.coordinates, place.draws.start, posterior
        values = Values(*where, place.effects)
        kept = _kept(values, wanted)
        found = weigh(place.data, place.gaussian, place.others, tolerance / 2, passes)
        reason = _refusal(found, tolerance, passes) or _other_mode(found.weighted, place)
        own = np.empty((0, 0)) if reason else values.at(found.weighted.points.positions)
    notes = _notes(place)
    run = pd.Series(
        {
            "k": found.weighted.k,
            "points": len(found.weighted.weights),
            "effective": found.weighted.effective,
            "by_points": found.by_points,
            "by_rows": found.by_rows,
            "passes": found.passes,
        },
        dtype=float,
    )
    if reason:
        nothing = pd.DataFrame(np.nan, kept, COLUMNS).assign(agrees=False)
        judged = Verdict(f"No certificate: {reason}.", (), notes)
        return Certificate(nothing, run, judged, certified=False, draws=None)
    table = _table(found.weighted, own, values, tolerance).loc[kept]
    doubts = _doubts(table, stored)
    in_doubt = {doubt.label for doubt in doubts}
    table = table.assign(agrees=[label not in in_doubt for label in table.index])
    judged = Verdict(_headline(table, doubts), doubts, notes)
    if doubts:
        warnings.warn(str(judged), SGLDWarning, stacklevel=2)
    return Certificate(
        table, run, judged, certified=True, draws=_draws(found.weighted, own, values)
    )


def _check(model: Model, stored: Stored) -> None:
    """Refuse what has no posterior that points could be drawn near to."""
    if stored.temperature != 1:
        raise SettingError(
            f"cannot {PURPOSE}: the temperature of the run was {stored.temperature:g}, and a "
            "certificate is that of the posterior, temperature 1."
        )
    continuous = {value.name for value in model.continuous_value_vars}
    discrete = [rv.name for rv in model.free_RVs if model.rvs_to_values[rv].name not in continuous]
    if discrete:
        raise SettingError(
            f"cannot {PURPOSE}: {shorten(discrete)} "
            f"{'is' if len(discrete) == 1 else 'are'} discrete, and points come from a continuous "
            "distribution. diagnose(idata) judges how well the chains mix."
        )


def _refusal(found: Precise, tolerance: float, budget: float) -> str:
    """Return why weighted points are no certificate, or nothing."""
    if not found.weighted.k <= LARGEST_K:
        return (
            f"the posterior is not near enough to a Gaussian (k is {found.weighted.k:.2f}, above "
            f"{LARGEST_K}). diagnose(idata, model) has other evidence"
        )
    if np.isinf(found.by_rows):
        return (
            "the rows that are read do not stand for all of them: some matter only far from the "
            "center. diagnose(idata, model) has other evidence"
        )
    error = max(found.by_points, found.by_rows)
    if error > tolerance / 2:
        what = "points" if found.by_points > found.by_rows else "rows"
        return (
            f"the error by the number of {what} is {error:.2g} sd, above {tolerance / 2:.2g}, "
            f"after {found.passes:.0f} passes over the data. Pass a larger tolerance=, or budget= "
            f"(now {budget:g})"
        )
    return ""


def _other_mode(weighted: Weighted, place: Place) -> str:
    """Return that the run has draws of a mode where no points are, or nothing.

    They are as likely as other draws, and a point there would weigh more than all points together.
    """
    density, points = weighted.density, weighted.points
    proposal = points.proposal
    positions = place.draws.at(place.data.coordinates).reshape(-1, len(proposal.mean))
    whitened = np.linalg.solve(proposal.shape.whitener, (positions - proposal.mean).T).T
    farthest = np.argsort(-(whitened**2).sum(axis=1))[:_OTHER_MODE]
    others = np.random.default_rng(_SEED).permutation(len(positions))[:_OTHER_MODE]
    chosen = np.unique([*farthest, *others])
    known = weighted.estimates.mean(axis=1)
    order = np.argsort(known)
    least = known[order][np.searchsorted(np.cumsum(weighted.weights[order]), _FAR)]
    there = density(positions[chosen]).mean(axis=1)
    heavy = there - Points(proposal, whitened[chosen]).log_density
    log_weights = known - points.log_density
    all_together = scipy.special.logsumexp(log_weights[np.isfinite(log_weights)])
    if not ((there > least) & (heavy > all_together)).any():
        return ""
    return (
        "the run has draws of high density where the closest Gaussian has none, as in another "
        "mode. Compare with a run of NUTS"
    )


def _table(weighted: Weighted, own: np.ndarray, values: Values, tolerance: float) -> pd.DataFrame:
    """Return the exact moments and how far the run is from them, from the values at the points.

    What is not known is NaN: moments of what is not finite, or of tails too heavy for them.
    """
    exact = weighted.moments(own)
    constant = np.ptp(own, axis=0) == 0
    exact.mean[constant], exact.sd[constant] = own[0, constant], 0
    unsure = ~(np.maximum(exact.mean_error, exact.sd_error) <= tolerance / 2 * exact.sd)
    for p in np.flatnonzero(unsure & ~constant):
        if weighted.tail_of(own[:, p]) > LARGEST_K:
            for figures in exact:
                figures[p] = np.nan
    run = values.draws
    errors = np.array([[array_stats.mcse(e, method=m) for m in ("mean", "sd")] for e in run])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = run.std(axis=(1, 2), ddof=1) / exact.sd
        columns = [
            exact.mean,
            exact.mean_error,
            exact.sd,
            exact.sd_error,
            (run.mean(axis=(1, 2)) - exact.mean) / exact.sd,
            np.hypot(errors[:, 0], exact.mean_error) / exact.sd,
            ratio,
            np.hypot(errors[:, 1], ratio * exact.sd_error) / exact.sd,
        ]
    table = pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)), index=values.labels)
    table.loc[constant, table.columns[4:]] = np.nan
    return table


def _kept(values: Values, wanted: Sequence[str] | None) -> list[str]:
    """Return the labels of the variables that are asked for."""
    if wanted is None:
        return values.labels
    unknown = [name for name in wanted if name not in values.names]
    if unknown or not wanted:
        raise SettingError(
            f"var_names={list(wanted)}, but a certificate has {shorten(values.names)}: name some "
            "of these, or leave var_names out."
        )
    return [label for label in values.labels if label.partition("[")[0] in wanted]


def _doubts(table: pd.DataFrame, stored: Stored) -> list[Doubt]:
    """Return what speaks against the run."""
    varies = table.index[table["sd"] > 0]
    part = table.loc[varies]
    found = doubts_of_chains(stored, "the run")
    unknown = table.index[table["sd"].isna()]
    what = "cannot tell: it has no exact figures, as it is not finite or has a heavy tail"
    found += [Doubt(label, what, _WITHOUT, 1.0) for label in unknown]
    found += doubts_of_bias(
        list(varies),
        (part["mean_shift"].to_numpy(), part["mean_shift_error"].to_numpy()),
        (part["sd_ratio"].to_numpy(), part["sd_ratio_error"].to_numpy()),
        quantile(2 * len(varies) + 1, np.inf),
        stored,
        only_identities=False,
    )
    return found


def _headline(table: pd.DataFrame, doubts: Sequence[Doubt]) -> str:
    figures = Tolerance().worst_figures(table)
    if not doubts:
        return f"Certified: the run agrees with the posterior{figures}."
    if all(doubt.remedy == _WITHOUT for doubt in doubts):
        return f"Cannot tell of all variables; the others agree with the posterior{figures}."
    if all(doubt.size <= 1 for doubt in doubts):
        return f"Cannot tell: the run has too few draws to be judged{figures}."
    return f"Not to be relied on: the run differs from the posterior{figures}."


def _notes(place: Place) -> list[str]:
    if not place.effects:
        return []
    return [
        f"With {shorten(place.effects)} integrated out: given the other variables SGLD draws them "
        "exactly."
    ]


def _draws(weighted: Weighted, own: np.ndarray, values: Values) -> xr.DataTree:
    """Return points drawn by their weights, none of them twice, as the result of a run."""
    rng, weights = np.random.default_rng(_SEED), weighted.weights
    count = int(min(len(weights), 1 / weights.max())) // CHAINS
    order = rng.permutation(len(weights))
    marks = (np.arange(CHAINS * count) + rng.random()) / (CHAINS * count)
    ends = np.cumsum(weights[order])
    chosen = order[np.minimum(np.searchsorted(ends / ends[-1], marks), len(order) - 1)]
    chosen = rng.permutation(chosen).reshape(CHAINS, count)
    posterior = values.dataset(own[chosen])
    lp = weighted.estimates.mean(axis=1)[chosen]
    stats = xr.Dataset({"lp": (("chain", "draw"), lp)}, coords=posterior[["chain", "draw"]].coords)
    return xr.DataTree.from_dict({"posterior": posterior, "sample_stats": stats})
