"""The certificate of a run: weighted points of its posterior, and the run beside their moments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy
import xarray as xr
from arviz_stats.base.array import array_stats
from pymc.model import Model

from pymc_sgld.backends.backend import Backend
from pymc_sgld.compiled.threads import one_thread
from pymc_sgld.diagnostics.certificate.located import LocatedPosterior
from pymc_sgld.diagnostics.certificate.report import Certificate
from pymc_sgld.diagnostics.certificate.values import Values
from pymc_sgld.diagnostics.matching import shorten
from pymc_sgld.diagnostics.stored import StoredStats, doubts_of_chains
from pymc_sgld.diagnostics.trust.doubts import doubts_of_bias, doubts_of_direction, quantile
from pymc_sgld.diagnostics.trust.stein_identities import Direction, cross_judged
from pymc_sgld.diagnostics.trust.unconstrained import Draws
from pymc_sgld.diagnostics.trust.whitened import effective_of_each
from pymc_sgld.errors import SettingError
from pymc_sgld.tolerance import FEWEST_INDEPENDENT, Doubt, Tolerance, Verdict, sd_ratio_of
from pymc_sgld.tuning.importance.points import LARGEST_K, Points, Proposal
from pymc_sgld.tuning.importance.weighted import Precise, Weighted, weigh
from pymc_sgld.tuning.posterior.variational import Gaussian

CHAINS = 4
FIGURES = ("mean", "sd", "mean_shift", "sd_ratio")
COLUMNS = [name for figure in FIGURES for name in (figure, f"{figure}_error")]
_OTHER_MODE = 20  # draws of the run that are looked at, of the farthest and of all
_FAR = 0.01  # share of the weighted points that are less likely than a draw of a mode
_WITHOUT = "name the others in var_names="
_IN_DOUBLE = 'Build the model with pytensor.config.floatX = "float64", and sample that.'
_SEED = 20190718  # fixed: the draws are a property of the model, not of a run


def unfit(model: Model, stored: StoredStats) -> str:
    """Return why there is no certificate of a run, whatever its draws; empty if there may be."""
    if stored.temperature != 1:
        return (
            f"the temperature of the run was {stored.temperature:g}, and a certificate is that of "
            "the posterior, temperature 1."
        )
    continuous = {value.name for value in model.continuous_value_vars}
    discrete = [rv.name for rv in model.free_RVs if model.rvs_to_values[rv].name not in continuous]
    if discrete:
        return (
            f"{shorten(discrete)} {'is' if len(discrete) == 1 else 'are'} discrete, and points "
            "come from a continuous distribution. diagnose(idata) judges how well the chains mix."
        )
    return ""


@np.errstate(all="ignore")  # outside the support, and of draws that do not vary
def certificate_of(
    draws: Draws,
    stored: StoredStats,
    tolerance: float,
    budget: float,
    *,
    marginalize: bool | None = None,
    wanted: Sequence[str] | None = None,
    backend: Backend | None = None,
) -> Certificate:
    """Return the certificate of a run: see `certify`.

    Parameters
    ----------
    draws : Draws
        Of the run.
    stored : StoredStats
        What it stored.
    tolerance, budget
        Of `certify`.
    marginalize : bool, optional
        False to integrate out no effects of groups but those that the run has no draws of.
    wanted : sequence of str, optional
        Variables that the table is to have.
    backend : Backend, optional
        What compiles the log density.
    """
    with one_thread():
        located = LocatedPosterior.of(draws, stored, marginalize, backend or Backend({}))
        values = Values(draws, located.data.coordinates, located.effects)
        kept = _kept(values, wanted)
        found = weigh(located.data, located.gaussian, located.others, tolerance / 2, budget)
        rounded = _rounded(found.weighted, located, tolerance)
        reason = rounded or _refusal(found, tolerance) or _other_mode(found.weighted, located)
        own = np.empty((0, 0)) if reason else values.at(found.weighted.points.positions)
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
    notes = _notes(located)
    if reason:
        nothing = pd.DataFrame(np.nan, kept, COLUMNS).assign(agrees=False)
        remedy = _IN_DOUBLE if rounded else _remedy(found, tolerance, budget)
        judged = Verdict(f"No certificate: {reason}.", (), [*notes, remedy])
        return Certificate(nothing, run, judged, certified=False, draws=None)
    table = _table(found.weighted, own, values, tolerance).loc[kept]
    doubts = _doubts(table, stored)
    direction = None if wanted else _worst_direction(found.weighted, located)
    if direction:
        ratio = sd_ratio_of(direction.inflation, direction.error)
        run["worst_sd_ratio"], run["worst_sd_ratio_error"] = ratio
        labels = draws.labels_at(located.data.coordinates)
        doubts += doubts_of_direction(direction, labels, _errors_among(table), stored)
    in_doubt = {doubt.label for doubt in doubts}
    table = table.assign(agrees=[label not in in_doubt for label in table.index])
    judged = Verdict(_headline(table, doubts), doubts, notes)
    exact = _draws(found.weighted, own, values)
    return Certificate(table, run, judged, certified=True, draws=exact)


def _refusal(found: Precise, tolerance: float) -> str:
    """Return why weighted points are no certificate, or nothing."""
    if not found.weighted.k <= LARGEST_K:
        return (
            f"the posterior is not near enough to a Gaussian (Pareto k {found.weighted.k:.2f}, "
            f"above {LARGEST_K})"
        )
    if np.isinf(found.by_rows):
        return (
            "the rows that are read do not represent all of them: some matter only far from the "
            "center"
        )
    error = max(found.by_points, found.by_rows)
    if error > tolerance / 2:
        what = "points" if found.by_points > found.by_rows else "rows"
        return (
            f"the error by the number of {what} is {error:.2g} sd, above {tolerance / 2:.2g}, "
            f"after {found.passes:.0f} passes over the data"
        )
    return ""


def _rounded(weighted: Weighted, located: LocatedPosterior, tolerance: float) -> str:
    """Return that positions are rounded too much in the precision of the model, or nothing.

    Evenly within a spacing :math:`h`, which adds :math:`h^2 / 12` to a variance.
    """
    positions, dtype = weighted.points.positions, located.data.dtype
    exact = weighted.moments(positions)
    spacing = np.spacing(np.abs(exact.mean).astype(dtype)).astype(float)
    worst = int(np.argmax(spacing / exact.sd))
    if not (spacing / exact.sd)[worst] ** 2 / 24 > tolerance / 2:
        return ""
    label = located.draws.labels_at(located.data.coordinates)[worst]
    return (
        f"in {dtype} numbers near {exact.mean[worst]:.3g} are {spacing[worst]:.2g} apart, which is "
        f"too much for {label}, whose sd is about {exact.sd[worst]:.2g}"
    )


def _remedy(found: Precise, tolerance: float, budget: float) -> str:
    """Return what to do where there is no certificate."""
    if not found.weighted.k <= LARGEST_K or np.isinf(found.by_rows):
        return "diagnose(idata, model) has other evidence."
    if _refusal(found, tolerance):
        return f"Pass a larger tolerance=, or budget= (now {budget:g})."
    return "Compare with a run of NUTS."


def _other_mode(weighted: Weighted, located: LocatedPosterior) -> str:
    """Return that the run has draws of a mode where no points are, or nothing.

    They are as likely as other draws, and a point there would weigh more than all points together.
    """
    density, points = weighted.density, weighted.points
    proposal = points.proposal
    positions = located.draws.at(located.data.coordinates).reshape(-1, len(proposal.mean))
    whitened = _whitened(positions, proposal)
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
        "the run has draws of high density where the closest Gaussian has none, as in another mode"
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
    few = ~(effective_of_each(np.moveaxis(run, 0, 2)) >= FEWEST_INDEPENDENT)
    table.loc[constant | few, table.columns[4:]] = np.nan
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


def _doubts(table: pd.DataFrame, stored: StoredStats) -> list[Doubt]:
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
        _errors_among(table),
        stored,
        only_identities=False,
    )
    return found


def _errors_among(table: pd.DataFrame) -> float:
    """Return how many errors a figure must be beyond its tolerance."""
    return quantile(2 * int((table["sd"] > 0).sum()) + 1, np.inf)


def _worst_direction(weighted: Weighted, located: LocatedPosterior) -> Direction | None:
    """Return where the run is too wide or too narrow most, of all directions.

    It is found against the closest Gaussian; None where there are too few draws.
    """
    gaussian, coordinates = located.gaussian, located.data.coordinates
    positions = located.draws.at(coordinates)
    if not effective_of_each(positions).min() >= FEWEST_INDEPENDENT:
        return None
    white = _whitened(positions.reshape(-1, positions.shape[2]), gaussian).reshape(positions.shape)
    exact = _whitened(weighted.points.positions, gaussian)

    def judged(direction: np.ndarray, half: np.ndarray) -> tuple[float, float]:
        along = half @ direction
        moments = weighted.moments((exact @ direction)[:, None])
        ratio = float(along.std(ddof=1) / moments.sd[0])
        error = np.hypot(array_stats.mcse(along, method="sd"), ratio * moments.sd_error[0])
        return ratio**2, 2 * ratio * float(error / moments.sd[0])

    direction = _widest(white)
    along = (white @ direction).ravel()
    loadings = [np.corrcoef(along, each)[0, 1] for each in positions.reshape(len(along), -1).T]
    return Direction(*cross_judged(_widest, judged, white), np.array(loadings))


def _whitened(positions: np.ndarray, gaussian: Gaussian | Proposal) -> np.ndarray:
    """Return positions (S, d) in standard deviations from the mean."""
    return gaussian.shape.whiten((positions - gaussian.mean).T).T


def _widest(white: np.ndarray) -> np.ndarray:
    """Return the direction in which draws vary most unlike a standard normal."""
    away = white.reshape(-1, white.shape[-1])
    values, vectors = np.linalg.eigh(np.cov(away.T).reshape(len(away.T), -1))
    return vectors[:, int(np.argmax(np.abs(np.log(np.maximum(values, 1e-300)))))]


def _headline(table: pd.DataFrame, doubts: Sequence[Doubt]) -> str:
    figures = Tolerance().worst_figures(table)
    if not doubts:
        return f"Certified: the run agrees with the posterior{figures}."
    if all(doubt.remedy == _WITHOUT for doubt in doubts):
        return f"Cannot tell of all variables; the others agree with the posterior{figures}."
    if all(doubt.size <= 1 for doubt in doubts):
        return f"Cannot tell: the run has too few draws to be judged{figures}."
    return f"Not to be relied on: the run differs from the posterior{figures}."


def _notes(located: LocatedPosterior) -> list[str]:
    if not located.effects:
        return []
    names = shorten(located.effects)
    return [f"With {names} integrated out: their own draws, if there are any, were not judged."]


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
