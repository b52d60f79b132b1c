"""Whether a run knows its predictions, where its parameters say nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy
import xarray as xr
from arviz_stats.base.array import array_stats
from numpy.typing import NDArray
from pymc.model import Model

from pymc_sgld.arguments import flag, generator, model_of, positive, whole_number
from pymc_sgld.compiled.threads import one_thread
from pymc_sgld.diagnostics.chosen import draws_for
from pymc_sgld.diagnostics.shown import Judged
from pymc_sgld.diagnostics.stored import doubts_of_chains
from pymc_sgld.diagnostics.trust.doubts import CHECK_MOVES
from pymc_sgld.diagnostics.trust.unconstrained import Draws
from pymc_sgld.errors import warn
from pymc_sgld.minibatch.blocks import rows_of
from pymc_sgld.progress import progress
from pymc_sgld.results.likelihood import RowLikelihood, observed_of
from pymc_sgld.sources.bind import bind
from pymc_sgld.tolerance import FEWEST_DRAWS, R_HAT_LIMIT, Doubt, Verdict
from pymc_sgld.wording import with_error

PURPOSE = "diagnose predictions"
FEWEST_CHAINS = 4
"""Chains below which their spread says too little."""

ERRORS = 2
"""Standard errors within which a change is expected."""


@dataclass(frozen=True, repr=False)
class PredictiveReport(Judged):
    r"""Whether a run knows its predictions. It prints as a table and a verdict.

    Attributes
    ----------
    table : DataFrame
        One line a row of the data, by its number: ``lpd``, the log predictive density
        :math:`\log \tfrac1S \sum_s p(y_i \mid \theta_s)`; ``chain_sd``, the standard deviation
        over chains of what each of them has alone; ``r_hat`` and ``ess_bulk`` of
        :math:`\log p(y_i \mid \theta)`.
    run : Series
        ``lpd``, the mean over rows, with ``lpd_error``, its standard error by the choice of rows;
        ``one_chain``, its mean over chains by themselves; ``more_chains``, what very many of them
        would have, with ``more_chains_error``; ``chains``, ``draws``, and the numbers of the run
        that :func:`~pymc_sgld.diagnose` gives.
    judged : Verdict
        A headline, what speaks against the predictions, and notes.
    """

    table: pd.DataFrame
    run: pd.Series
    judged: Verdict

    @property
    def trusted(self) -> bool:
        """Whether nothing that was measured speaks against the predictions."""
        return not self.judged.doubts

    def _shown(self) -> tuple[pd.DataFrame, str]:
        """Least, median and greatest figure of a row."""
        shares = {"least": 0.0, "median": 0.5, "greatest": 1.0}
        found = {name: self.table.quantile(share) for name, share in shares.items()}
        return pd.DataFrame(found).dropna().map(lambda value: f"{value:#.3g}".rstrip(".")), ""


def diagnose_predictions(
    idata: xr.DataTree | xr.Dataset,
    model: Model | None = None,
    *,
    var_name: str | None = None,
    rows: int = 1000,
    draws: int = 1000,
    tolerance: float = 0.05,
    data: Mapping[str, Any] | None = None,
    random_seed: Any = 0,
    progressbar: bool = True,
) -> PredictiveReport:
    r"""Report whether a run knows its predictions, by the density of rows of the data.

    In a neural network, or a mixture, parameters are not identified: there are permutations, and
    directions that no data determine. Chains do not agree on them, and need not. What can be judged
    is the predictive density of a row,

    .. math::

        p(y_i) = \frac 1 S \sum_s p(y_i \mid \theta_s),

    over all draws of all chains. How much its logarithm depends on which chains there happen to
    be is estimated by a jackknife that leaves out one chain after the other. With :math:`m` chains
    and the mean over rows :math:`\ell` of all, :math:`\ell_{-c}` without chain c, very many chains
    would have about

    .. math::

        m \ell - \frac{m - 1}{m} \sum_c \ell_{-c}, \qquad
        \text{with the error} \quad \Big( \frac{m - 1}{m} \sum_c (\ell_{-c} - \bar \ell_{-c})^2
        \Big)^{1/2}.

    Parameters
    ----------
    idata : DataTree or Dataset
        A result of :func:`pymc.sample`, by any step method, with draws of all free variables.
    model : Model, optional
        The model that was sampled; by default that of the context.
    var_name : str, optional
        The observed variable, if the model has several.
    rows : int
        Rows that are picked at random, or all if there are fewer.
    draws : int
        Draws of all chains together, evenly spaced, and as many in each chain; all of them if there
        are fewer.
    tolerance : float
        Largest change of the mean log predictive density by more chains that is tolerated.
    data : dict, optional
        Other rows than those of the model, by the names of ``pm.Data`` and of observed variables:
        rows that were held out, which is the better test, or the sources that the run had.
    random_seed : int, Generator or None
        Seed of the choice of rows.
    progressbar : bool
        Whether to show what is being done, in a terminal or a notebook.

    Returns
    -------
    PredictiveReport
        It prints as a table and a verdict; ``.trusted`` is the verdict as a bool.

    Raises
    ------
    SettingError
        As :func:`~pymc_sgld.loo` does.
    NonFiniteError
        If the log-likelihood of a row is not finite.

    Warns
    -----
    SGLDWarning
        If the predictions are not to be trusted: a chain is ``untrusted``, more chains would change
        the mean log predictive density by more than `tolerance`, or there are fewer than four
        chains.

    Notes
    -----
    It does not see a region that no chain has visited, or whether the model is right. For that look
    at rows that were held out: :doc:`/networks`.

    References
    ----------
    Efron (1982), The jackknife, the bootstrap and other resampling plans, chapters 2 and 3.

    Examples
    --------
    >>> import arviz as az
    >>> import numpy as np
    >>> import pymc as pm
    >>> rng = np.random.default_rng(1)
    >>> y = rng.normal(size=500)
    >>> with pm.Model() as model:
    ...     a, b = pm.Normal("a"), pm.Normal("b")  # the data know only their sum
    ...     pm.Normal("y", a + b, 1, observed=y)
    y
    >>> a = rng.normal(size=(4, 1)) + np.zeros(250)  # as stuck as chains can be
    >>> b = y.mean() - a + rng.normal(size=(4, 250)) / np.sqrt(500)
    >>> report = diagnose_predictions(az.from_dict({"posterior": {"a": a, "b": b}}), model)
    >>> print(report.trusted, report.run[["lpd", "more_chains"]].round(2).to_list())
    True [-1.34, -1.34]
    """
    model = model_of(model)
    name, count = observed_of(model, var_name, PURPOSE), whole_number("draws", draws)
    most, rng = whole_number("rows", rows), generator(random_seed, "random_seed")
    limit, shown = positive("tolerance", tolerance), flag("progressbar", progressbar) is not False
    sources, free = bind(data), [rv.name for rv in model.free_RVs]
    posterior, stored = draws_for(idata, model, count, PURPOSE, free)
    working = progress("reading the model", shown=shown, name="diagnose_predictions")
    with working, one_thread(), np.errstate(all="ignore"):
        at = Draws(posterior, model, sources, stored.placing, purpose=PURPOSE)
        at.check_finite(PURPOSE)
        likelihood = RowLikelihood(at, name, None if data else stored.rows)
        picked = np.sort(rng.permutation(likelihood.rows)[:most])
        densities = _densities(likelihood, picked)
    table, numbers = _figures(densities, picked)
    doubts = doubts_of_chains(stored, "the run") + _doubts(densities, numbers, limit)
    judged = Verdict(_headline(numbers, limit, doubts), doubts, _notes(table, numbers, likelihood))
    if doubts:
        warn(str(judged))
    run = pd.Series({**stored.scalars(), **numbers}, dtype=float)
    return PredictiveReport(table, run, judged)


def _densities(likelihood: RowLikelihood, picked: NDArray[np.integer]) -> NDArray[np.floating]:
    """Return the log-likelihood of some rows at all draws, shape (chains, draws, rows)."""
    places, size = likelihood.places, likelihood.batch_size
    data = rows_of(likelihood.table, picked)
    found = []
    with progress("evaluating rows", -(-len(picked) // size)) as update:
        for first in range(0, len(picked), size):
            rows = slice(first, first + size)
            of_rows = likelihood.at_draws(places, picked[rows], [array[rows] for array in data])
            found.append(of_rows.sum(axis=2))
            likelihood.check_finite(found[-1].T, picked[rows], "at a draw")
            update()
    return np.concatenate(found, axis=1).reshape(*likelihood.draws.shape, -1)


def _figures(
    densities: NDArray[np.floating], picked: NDArray[np.integer]
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return the figures of each row, and those of the run, from shape (chains, draws, rows)."""
    chains, draws, rows = densities.shape
    alone = scipy.special.logsumexp(densities, axis=1) - np.log(draws)
    together = _mean_density(alone)
    table = pd.DataFrame({"lpd": together}, index=pd.Index(picked, name="row"))
    table["chain_sd"] = alone.std(axis=0, ddof=1) if chains > 1 else np.nan
    table["r_hat"] = table["ess_bulk"] = np.nan
    if draws >= FEWEST_DRAWS:
        table["ess_bulk"] = array_stats.ess(densities, chain_axis=0, draw_axis=1)
        if chains > 1:
            with np.errstate(all="ignore"):  # draws that do not vary
                table["r_hat"] = array_stats.rhat(densities, chain_axis=0, draw_axis=1)
    more, error = very_many_chains(alone)
    numbers = {
        "lpd": together.mean(),
        "lpd_error": together.std(ddof=1) / np.sqrt(rows) if rows > 1 else np.nan,
        "one_chain": alone.mean(),
        "more_chains": more,
        "more_chains_error": error,
        "chains": chains,
        "draws": chains * draws,
    }
    return table, {name: float(value) for name, value in numbers.items()}


def very_many_chains(alone: NDArray[np.floating]) -> tuple[float, float]:
    """Return the mean log predictive density of very many chains, by a jackknife, and its error.

    ``alone``: the log predictive density of each chain by itself, shape (chains, rows).
    """
    chains = len(alone)
    if chains == 1:
        return np.nan, np.nan
    without = [_mean_density(np.delete(alone, c, axis=0)).mean() for c in range(chains)]
    more = chains * _mean_density(alone).mean() - (chains - 1) * np.mean(without)
    return float(more), float(np.sqrt((chains - 1) * np.var(without)))


def _mean_density(alone: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the logarithm of the mean density of chains, shape (rows,)."""
    return scipy.special.logsumexp(alone, axis=0) - np.log(len(alone))


def _doubts(
    densities: NDArray[np.floating], numbers: Mapping[str, float], limit: float
) -> list[Doubt]:
    """Judge how much the predictive density depends on the chains that there are."""
    found, (chains, draws, _) = [], densities.shape
    if not np.ptp(densities, axis=1 if draws > 1 else 0).any():
        found.append(Doubt("the run", "predictions do not vary in its draws", CHECK_MOVES, np.inf))
    if chains < FEWEST_CHAINS:
        text = f"{chains} chain{'s are' if chains > 1 else ' is'} too few to tell"
        found.append(Doubt("predictions", text, f"at least {FEWEST_CHAINS} chains", 1.0))
    change, error = numbers["more_chains"] - numbers["lpd"], numbers["more_chains_error"]
    over = (abs(change) + ERRORS * error) / limit
    if over > 1:  # False where there is one chain
        text = (
            "more chains would change the mean log predictive density by "
            f"{with_error(change, error)}, so by up to {over * limit:.2g}, and {limit:g} is "
            "tolerated"
        )
        found.append(Doubt("predictions", text, "more chains, or longer ones", 1.0))
    return found


def _headline(numbers: Mapping[str, float], limit: float, doubts: list[Doubt]) -> str:
    """Say in one sentence whether to believe the predictions."""
    figure = f"mean log predictive density {with_error(numbers['lpd'], numbers['lpd_error'])}"
    if not doubts:
        return f"Trusted: more chains would change predictions by less than {limit:g}; {figure}."
    if all(doubt.size <= 1 for doubt in doubts):
        return f"Cannot tell: predictions depend on the chains that there happen to be; {figure}."
    return f"Not trusted: the run is in doubt; {figure}."


def _notes(
    table: pd.DataFrame, numbers: Mapping[str, float], likelihood: RowLikelihood
) -> list[str]:
    """Say what the figures are of, and what they do not show."""
    chains = int(numbers["chains"])
    several = f"{chains} chain{'' if chains == 1 else 's'}"
    found = [f"{len(table):,} of {likelihood.rows:,} rows, {several}."]
    r_hat = float(table["r_hat"].median())
    if r_hat > R_HAT_LIMIT:
        found.append(
            f"Chains do not agree (median R-hat {r_hat:.2f}): predictions are those of {chains} "
            "regions, each counted equally, and not by its probability. One chain by itself has "
            f"{numbers['one_chain']:.3f}, all together {numbers['lpd']:.3f}."
        )
    return found
