"""Leave-one-out cross-validation of all rows, from a sample of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import scipy
import xarray as xr
from arviz_stats.base.array import array_stats
from arviz_stats.utils import ELPDDataLOOSubsample
from pymc.model import Model

from pymc_sgld.arguments import flag, generator, model_of, whole_number
from pymc_sgld.compiled.threads import one_thread
from pymc_sgld.diagnostics.chosen import draws_for
from pymc_sgld.diagnostics.matching import SAMPLE_DIMENSIONS
from pymc_sgld.diagnostics.trust.unconstrained import Draws
from pymc_sgld.errors import SettingError, warn
from pymc_sgld.minibatch.blocks import read_blocks
from pymc_sgld.progress import progress
from pymc_sgld.results.difference import EstimatedTotal, Sums, difference_estimator, rows_for
from pymc_sgld.results.likelihood import RowLikelihood, observed_of
from pymc_sgld.results.output import names_of_dimensions
from pymc_sgld.sources.bind import bind

PURPOSE = "compute loo"
SHARE, TOO_MUCH = 0.1, 0.15  # of the standard error, that the choice of rows adds
FEWEST, MOST = 1000, 10_000  # rows that are picked where their number is not given
LEAST = 25  # draws, of which ArviZ needs 5 in the tail
_AT_THE_MEAN = "at the mean of the draws"


def loo(
    idata: xr.DataTree | xr.Dataset,
    model: Model | None = None,
    *,
    var_name: str | None = None,
    rows: int | None = None,
    draws: int = 1000,
    pointwise: bool = False,
    random_seed: Any = 0,
    data: Mapping[str, Any] | None = None,
    progressbar: bool = True,
) -> ELPDDataLOOSubsample:
    r"""Return the expected log predictive density of a model, by leave-one-out cross-validation.

    The density of a row given all other rows, :math:`e_i = \log p(y_i \mid y_{-i})`, is computed by
    Pareto smoothed importance sampling, as in :func:`arviz.loo`, for a sample of rows only. For all
    rows :math:`\log p(y_i \mid \bar\theta)` at the mean :math:`\bar\theta` of the draws is near it.
    The difference estimator takes the sum of these and corrects it by the sample. So one pass over
    the rows is enough, in memory for a block of them, and what the sample adds to the standard
    error of the result is known.

    Parameters
    ----------
    idata : DataTree or Dataset
        A result of :func:`pymc.sample`, with draws of all free variables of the model.
    model : Model, optional
        The model that was sampled, with its data as they were; by default that of the context.
    var_name : str, optional
        The observed variable, if the model has several.
    rows : int, optional
        Rows of the sample, or entries of an outcome that has several a row. By default 1,000, or as
        many (10,000 at most) as keep the error that the sample adds below a tenth of the standard
        error.
    draws : int
        Draws of all chains together, evenly spaced, and as many in each chain; all of them if there
        are fewer. At least 25.
    pointwise : bool
        Whether to keep numbers of all rows, which ``arviz.compare`` needs: 24 bytes a row. In the
        rows that were not in the sample, ``elpd_i`` and ``pareto_k`` are NaN.
    random_seed : int, Generator or None
        Seed of the sample. It is fixed by default: models that are to be compared should have the
        same rows, and the same ``rows``.
    data : dict, optional
        The sources that the run had, if it had any: see :class:`~pymc_sgld.SGLD`.
    progressbar : bool
        Whether to show what is being done, in a terminal or a notebook.

    Returns
    -------
    ELPDDataLOOSubsample
        It prints as the results of ArviZ do. ``elpd`` is the estimate, ``se`` its standard error,
        ``subsampling_se`` what the choice of rows adds to it, and ``p`` the effective number of
        parameters. ``loo_subsample_observations`` has the numbers of the rows of the sample, and
        ``pareto_k`` the diagnostic there.

    Raises
    ------
    SettingError
        If a free variable of the model is missing in `idata` (effects of groups that the run did
        not record: the message says how to draw them); if a shape or the number of rows is another
        than that of the run; if the rows of the variable are not independent given the parameters;
        for an argument that cannot be used.
    NonFiniteError
        If the log-likelihood of a row is not finite.

    Warns
    -----
    SGLDWarning
        If importance sampling does not work in some rows of the sample, by :math:`\hat k`; if the
        choice of rows adds more than 15 % of the standard error; if draws are other than those of
        the model.

    Notes
    -----
    Given effects of groups, this leaves out a row, and not a group.

    References
    ----------
    Magnusson and others (2020), Leave-one-out cross-validation for Bayesian model comparison in
    large data.
    Vehtari, Gelman and Gabry (2017), Practical Bayesian model evaluation using leave-one-out
    cross-validation and WAIC.

    Examples
    --------
    >>> import arviz as az
    >>> import numpy as np
    >>> import pymc as pm
    >>> y = np.random.default_rng(1).normal(size=5000)
    >>> with pm.Model() as model:
    ...     mean = pm.Normal("mean", 0, 10)
    ...     pm.Normal("y", mean, 1, observed=y)
    y
    >>> z = np.random.default_rng(2).normal(size=(4, 250))
    >>> idata = az.from_dict({"posterior": {"mean": y.mean() + z / np.sqrt(5000)}})
    >>> found = loo(idata, model)
    >>> found.subsample_size, round(found.elpd), round(found.se), round(found.subsampling_se, 1)
    (1000, -7099, 51, 0.0)
    """
    model = model_of(model)
    name, count = observed_of(model, var_name, PURPOSE), whole_number("draws", draws)
    asked = None if rows is None else whole_number("rows", rows)
    if asked == 1:
        raise SettingError("rows=1 must be at least 2: one row has no spread.")
    keep, rng = flag("pointwise", pointwise) or False, generator(random_seed, "random_seed")
    sources, shown = bind(data), flag("progressbar", progressbar) is not False
    free = [rv.name for rv in model.free_RVs]
    posterior, stored = draws_for(idata, model, count, PURPOSE, free)
    with progress("reading the model", shown=shown, name="loo"), one_thread():
        with np.errstate(all="ignore"):
            at = Draws(posterior, model, sources, stored.placing, purpose=PURPOSE)
            at.check_finite(PURPOSE)
            likelihood = RowLikelihood(at, name, stored.rows)
            _check_draws(len(likelihood.places))
            numbers = likelihood.rows * likelihood.entries
            most = min(numbers, MOST if asked is None else asked)
            sample = _Sample(likelihood, rng.choice(numbers, most, replace=False), keep)
            reff = _relative_efficiency(posterior[free])
            first = most if asked is not None else min(most, FEWEST)
            found = sample.loo(0, first, reff)
            estimate = sample.estimate(found)
            end = min(most, rows_for(SHARE, estimate, first, numbers))
            if asked is None and end > first:
                found = _Found.together([found, sample.loo(first, end, reff)])
                estimate = sample.estimate(found)
    return _result(found, estimate, sample, model)


def _check_draws(count: int) -> None:
    if count < LEAST:
        raise SettingError(
            f"cannot {PURPOSE}: there would be {count} draws, and a Pareto distribution is fitted "
            f"to a fifth of them. Pass {LEAST} draws at least."
        )


class _Found(NamedTuple):
    """What was found in the rows of a sample, each of shape (rows,)."""

    elpd: np.ndarray
    pareto_k: np.ndarray
    p: np.ndarray
    approximate: np.ndarray

    @classmethod
    def together(cls, parts: Sequence[Sequence[np.ndarray]]) -> _Found:
        """Return what was found in several parts of a sample."""
        return cls(*[np.concatenate(columns) for columns in zip(*parts, strict=True)])


class _Sample:
    """Rows that are picked at random, and an approximation in all rows.

    Parameters
    ----------
    picked : ndarray of int
        Numbers of entries, those of a row after each other, in random order.
    keep : bool
        Whether to keep the approximation of all of them.
    """

    def __init__(self, likelihood: RowLikelihood, picked: np.ndarray, keep: bool) -> None:
        self.picked, self.likelihood = picked, likelihood
        entries = likelihood.entries
        self.everywhere = Sums()
        self.approximate = np.empty(likelihood.rows * entries) if keep else None
        self._rows = np.unique(picked // entries)
        parts: list[list[np.ndarray]] = []
        of_rows: list[np.ndarray] = []
        mean, size = likelihood.mean, likelihood.batch_size
        blocks = -(-likelihood.rows // size)
        with progress("reading all rows", blocks) as update:
            for block in read_blocks(likelihood.table):
                found = likelihood.at(mean, block.data)
                likelihood.check_finite(found, block.first + np.arange(size), _AT_THE_MEAN)
                new = found[block.old :]
                self.everywhere.add(new)
                if self.approximate is not None:
                    here = slice((block.first + block.old) * entries, block.end * entries)
                    self.approximate[here] = new.ravel()
                places = block.places(self._rows)
                of_rows.append(found[places])
                parts.append([array[places] for array in block.data])
                update()
        self._of_rows = np.concatenate(of_rows)
        self._data = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def estimate(self, found: _Found) -> EstimatedTotal:
        """Return the estimate of the sum over all rows."""
        return difference_estimator(found.elpd, found.approximate, self.everywhere)

    def loo(self, start: int, end: int, reff: float) -> _Found:
        """Return leave-one-out densities in the picked entries from ``start`` to ``end``."""
        likelihood, places = self.likelihood, self.likelihood.places
        chains, draws = likelihood.draws.shape
        step, parts = likelihood.batch_size, []
        with progress("leaving rows out", -(-(end - start) // step)) as update:
            for first in range(start, end, step):
                picked = self.picked[first : min(first + step, end)]
                rows, entry = np.divmod(picked, likelihood.entries)
                place = np.searchsorted(self._rows, rows)
                data = [array[place] for array in self._data]
                values = likelihood.at_draws(places, rows, data)
                values = values[:, np.arange(len(rows)), entry]
                likelihood.check_finite(values.T, rows, "at a draw")
                values = values.reshape(chains, draws, -1)
                parts.append((*_left_out(values, reff), self._of_rows[place, entry]))
                update()
        return _Found.together(parts)


def _left_out(values: np.ndarray, reff: float) -> np.ndarray:
    """Return elpd, Pareto k and p of entries, shape (3, entries).

    A Pareto distribution cannot be fitted to a tail of equal draws. They are weighted as they are:
    where all draws are equal there is nothing to weight, and else k is not known, and infinite.

    Parameters
    ----------
    values : ndarray, shape (chains, draws, entries)
        The log-likelihood.
    reff : float
        Effective draws over draws.
    """
    flat = values.reshape(-1, values.shape[-1])
    count, lowest = len(flat), flat.min(axis=0)
    tail = int(3 * np.sqrt(count / reff) if count * reff > 225 else count / 5)  # as ArviZ has it
    equal = (flat == lowest).sum(axis=0) >= tail
    density = scipy.special.logsumexp(flat, axis=0) - np.log(count)
    elpd = np.log(count) - scipy.special.logsumexp(-flat, axis=0)
    found = np.array([elpd, np.where(np.ptp(flat, axis=0) > 0, np.inf, -np.inf), density - elpd])
    if not equal.all():
        others = values[..., ~equal]
        found[:, ~equal] = array_stats.loo(others, chain_axis=0, draw_axis=1, r_eff=reff)
    return found


def _relative_efficiency(posterior: xr.Dataset) -> float:
    """Return effective draws over draws, on average, as ArviZ has it."""
    if posterior.sizes["chain"] == 1:
        return 1.0
    arrays = [v.transpose(*SAMPLE_DIMENSIONS, ...).to_numpy() for v in posterior.values()]
    pooled = np.concatenate([each.reshape(*each.shape[:2], -1) for each in arrays], axis=2)
    share = array_stats.ess(pooled, chain_axis=0, draw_axis=1, method="mean", relative=True)
    return float(np.nanmean(share))


def _result(
    found: _Found, estimate: EstimatedTotal, sample: _Sample, model: Model
) -> ELPDDataLOOSubsample:
    likelihood, approximate = sample.likelihood, sample.approximate
    count = likelihood.draws.shape[0] * likelihood.draws.shape[1]
    numbers, sampled = likelihood.rows * likelihood.entries, len(found.elpd)
    good_k = min(1 - 1 / np.log10(count), 0.7)
    high = int(np.sum(found.pareto_k > good_k))
    for text in _doubts(estimate, high, good_k, sampled, numbers):
        warn(text)
    picked, nothing = sample.picked[:sampled], cast(Any, None)
    result = ELPDDataLOOSubsample(
        elpd=estimate.total,
        se=estimate.se,
        p=numbers * float(found.p.mean()),
        n_samples=count,
        n_data_points=numbers,
        scale="log",
        warning=high > 0,
        good_k=good_k,
        subsample_size=sampled,
        subsampling_se=estimate.subsampling_se,
        loo_subsample_observations=picked,
        elpd_loo_approx=nothing,
        pareto_k=xr.DataArray(found.pareto_k, dims="sampled", name="pareto_k"),
    )
    if approximate is not None:
        dimensions, coords = names_of_dimensions(model, likelihood.name, likelihood.shape)
        arrays = {"elpd_i": found.elpd, "pareto_k": found.pareto_k}
        for name, values in arrays.items():
            everywhere = np.full(numbers, np.nan)
            everywhere[picked] = values
            arrays[name] = everywhere
        for name, values in (arrays | {"elpd_loo_approx": approximate}).items():
            shaped = values.reshape(likelihood.shape)
            result[name] = xr.DataArray(shaped, coords, dimensions, name=name)
    return result


def _doubts(
    estimate: EstimatedTotal, high: int, good_k: float, sampled: int, numbers: int
) -> Iterator[str]:
    """Give what speaks against an estimate."""
    if high:
        yield (
            f"Pareto k is above {good_k:.2f} in {high} of the {sampled} rows of the sample: the "
            "posterior without such a row is too far from that of all rows, and elpd may be too "
            "high. A likelihood with heavier tails is less moved by single rows."
        )
    if estimate.subsampling_se > TOO_MUCH * estimate.se:
        yield (
            f"The choice of {sampled} of {numbers} rows adds {estimate.subsampling_se:.3g} to the "
            f"standard error of {estimate.se:.3g}: "
            f"rows={rows_for(SHARE, estimate, sampled, numbers)} would make it {SHARE:.0%} of it."
        )
