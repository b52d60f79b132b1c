"""A run with decreasing step sizes in, a table of its weighted posterior out."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from arviz_base import rcParams, xarray_sel_iter
from arviz_base.labels import BaseLabeller

from pymc_sgld.diagnostics.matching import SAMPLE_DIMENSIONS, find_posterior
from pymc_sgld.diagnostics.unequal_steps.statistics import figures
from pymc_sgld.diagnostics.unequal_steps.weights import step_size_weights
from pymc_sgld.errors import SettingError


def weighted_summary(
    idata: xr.DataTree,
    var_names: str | Sequence[str] | None = None,
    *,
    ci_prob: float | None = None,
) -> pd.DataFrame:
    r"""Summarise a posterior whose draws count in proportion to their step sizes.

    With decreasing or cyclical steps the draws of a chain are unequal: a large step stands for more
    time of the Langevin diffusion than a small one. The posterior mean of :math:`f` is estimated by

    .. math:: \hat f = \sum_t \varepsilon_t f(\theta_t) \Big/ \sum_t \varepsilon_t .

    Standard deviations, quantiles and ranks use the same weights, and chains count alike. With a
    constant step size the table is that of ``arviz.summary``.

    Weights do not remove the bias of large steps, they follow the theory that lets it vanish as the
    chain goes on. Leave out the way to the posterior with ``tune``, and the exploring part of
    cycles by the stat ``cycle_position``.

    Parameters
    ----------
    idata : DataTree
        A result of ``pm.sample`` with an :class:`~pymc_sgld.SGLD` step.
    var_names : str or sequence of str, optional
        Variables of the posterior; by default all.
    ci_prob : float, optional
        Probability of the equal-tailed interval, in (0, 1); by default that of ArviZ
        (``rcParams["stats.ci_prob"]``).

    Returns
    -------
    DataFrame
        One row per scalar parameter, labelled as in ArviZ (``beta[0]``), with the columns

        mean, sd, eti89_lb, eti89_ub
            In the units of the parameter; the interval is named by its percentage.
        ess_bulk, ess_tail
            Independent draws of equal weight that would be as informative. Both unequal weights and
            autocorrelation make them fewer.
        r_hat
            Rank-normalised split R-hat with weighted ranks, means and variances; chains are split
            where half of their weight is behind them.
        mcse_mean, mcse_sd
            Monte-Carlo standard errors.

        ``.attrs["kish_size"]`` is :math:`1 / \sum w_t^2`, what the weights alone leave of the
        number of draws.

    Raises
    ------
    SettingError
        If `idata` has no step sizes of SGLD or was thinned by them, a variable is unknown or not
        numeric, or `ci_prob` is not in (0, 1).

    References
    ----------
    Welling and Teh (2011), Bayesian learning via stochastic gradient Langevin dynamics, eq. 11.
    Kish (1965), Survey sampling, section 11.7.
    Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021), Rank-normalization, folding, and
    localization, section 4.

    Examples
    --------
    >>> import arviz as az
    >>> import numpy as np
    >>> draws = np.random.default_rng(1).normal(3, 1, size=(4, 1000))
    >>> step_size = np.tile(1 / np.arange(1, 1001), (4, 1))
    >>> idata = az.from_dict(
    ...     {
    ...         "posterior": {"mu": draws},
    ...         "sample_stats": {"step_size": step_size, "sampling_threshold": 0 * step_size},
    ...     }
    ... )
    >>> table = weighted_summary(idata)
    >>> table[["mean", "sd", "mcse_mean"]].round(1)
        mean   sd  mcse_mean
    mu   3.0  0.9        0.1
    >>> round(table.attrs["kish_size"])
    136
    """
    percentage = rcParams["stats.ci_prob"] if ci_prob is None else ci_prob
    if not isinstance(percentage, float) or not 0 < percentage < 1:
        raise SettingError(f"ci_prob={ci_prob!r} must be a probability in (0, 1), such as 0.89.")
    weights = step_size_weights(idata)
    posterior = _select(find_posterior(idata, "idata"), var_names)
    shares = weights.values / weights.sizes["chain"]
    labeller, labels, rows = BaseLabeller(), [], []
    for name, selection, indices in xarray_sel_iter(posterior, skip_dims=set(SAMPLE_DIMENSIONS)):
        draws = posterior[name].isel(indices).transpose(*SAMPLE_DIMENSIONS)
        labels.append(labeller.make_label_flat(name, selection, indices))
        rows.append(figures(draws.values, shares, percentage, rcParams["stats.ci_prob"]))
    interval = [f"eti{int(percentage * 100)}_{side}" for side in ("lb", "ub")]
    columns = ["mean", "sd", *interval, "ess_bulk", "ess_tail", "r_hat", "mcse_mean", "mcse_sd"]
    table = pd.DataFrame(rows, index=labels, columns=columns)
    table.attrs["kish_size"] = float(1 / np.square(shares).sum())
    return table


def _select(posterior: xr.Dataset, var_names: str | Sequence[str] | None) -> xr.Dataset:
    """Return the variables to summarise, refusing what is no variable or no number."""
    names = list(posterior.data_vars)
    if var_names is not None:
        names = list(dict.fromkeys([var_names] if isinstance(var_names, str) else var_names))
    for name in names:
        if name not in posterior.data_vars:
            raise SettingError(
                f"cannot summarise {name!r}: the posterior has {list(posterior.data_vars)}. Name "
                "some of them in var_names, or leave it out for all."
            )
        if posterior[name].dtype.kind not in "biuf":
            raise SettingError(
                f"cannot summarise {name!r}: its draws have dtype {posterior[name].dtype}. They "
                "must be numbers or booleans; pass var_names=... without it."
            )
    return posterior[names]
