"""Whether a run agrees with a reference: two results in, a table and a verdict out."""

from collections.abc import Sequence

import pandas as pd
import xarray as xr

from pymc_sgld.diagnostics.array import Comparison, compare_draws
from pymc_sgld.diagnostics.matching import Match, match_posteriors
from pymc_sgld.diagnostics.trust import warn_if_untrusted
from pymc_sgld.diagnostics.verdict import describe


def compare(
    idata: xr.DataTree | xr.Dataset,
    reference: xr.DataTree | xr.Dataset,
    var_names: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    r"""Compare a posterior with a reference, parameter by parameter.

    R-hat and the effective sample size tell how well a chain explored *its* stationary law; they
    cannot see that this law is biased. Only a comparison can. With the means :math:`m, m_r`,
    standard deviations :math:`s, s_r` and distribution functions :math:`F, F_r` of the draws and of
    the reference,

    .. math::

        \mathrm{mean\ shift} = \frac{m - m_r}{s_r}, \quad
        \mathrm{sd\ ratio} = \frac{s}{s_r}, \quad
        \mathrm{Wasserstein} = \frac{1}{s_r} \int |F(x) - F_r(x)|\,dx .

    A parameter agrees if the shift of its mean is at most 0.1, its sd ratio within 0.1 of 1, and
    the Monte-Carlo standard error of the shift at most 0.1, so that the comparison can tell.

    Parameters
    ----------
    idata : DataTree or Dataset
        The run to judge: a result with a group ``posterior``, as :func:`pymc.sample` returns it, or
        that group itself. Variables have the dimensions ``chain`` and ``draw`` and any others.
    reference : DataTree or Dataset
        The run to trust, usually NUTS on the same model; chains and draws may differ in number.
    var_names : str or sequence of str, optional
        Variables to compare; by default all that both runs have. Entries of a variable are matched
        by coordinate label, never by position, wherever both runs have labels.

    Returns
    -------
    DataFrame
        One row per scalar parameter, labelled as in ArviZ (``beta[0]``), with the columns

        mean_shift, mean_shift_mcse
            Difference of the means and its Monte-Carlo standard error, in reference sds.
        sd_ratio
            Standard deviation of the draws over that of the reference.
        wasserstein
            First Wasserstein distance, in reference sds. It is not 0 for two finite samples of one
            law: about 1 / sqrt(effective sample size).
        r_hat, ess_bulk, reference_r_hat, reference_ess_bulk
            Convergence of either run; NaN where undefined (R-hat of a single chain).
        agrees
            Whether the parameter agrees. A parameter that is constant in the reference has no
            figures, and agrees if it is the same constant in `idata`. Draws that are not finite
            never agree.

        ``.attrs["verdict"]`` says the same in words, ``.attrs["only_in_idata"]`` and
        ``.attrs["only_in_reference"]`` list the variables that could not be compared.

    Raises
    ------
    SettingError
        If an argument is no posterior, a variable of `var_names` is missing in a run, or the runs
        differ in the dimensions or labels of a variable.

    Warns
    -----
    SGLDWarning
        If a chain of either run measured a bias beyond the tolerance (the stat ``untrusted``).

    References
    ----------
    Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021), "Rank-normalization, folding, and
    localization: an improved R-hat for assessing convergence of MCMC", Bayesian Analysis 16(2).

    Examples
    --------
    >>> import arviz as az
    >>> import numpy as np
    >>> rng = np.random.default_rng(3)
    >>> reference = az.from_dict({"posterior": {"sigma": rng.normal(5, 2, size=(4, 1000))}})
    >>> idata = az.from_dict({"posterior": {"sigma": rng.normal(6, 3, size=(4, 1000))}})
    >>> table = compare(idata, reference)
    >>> table[["mean_shift", "sd_ratio", "agrees"]].round(1)
           mean_shift  sd_ratio  agrees
    sigma         0.5       1.5   False
    >>> print(table.attrs["verdict"].split(" (")[0])
    does not agree: the only parameter is outside the tolerance
    """
    match = match_posteriors(idata, reference, var_names)
    warn_if_untrusted(idata, "idata")
    warn_if_untrusted(reference, "the reference")
    return compare_matched(match, name_missing=var_names is None)


def compare_matched(match: Match, *, name_missing: bool) -> pd.DataFrame:
    """Build the table of `compare` from draws that are matched already."""
    rows = [compare_draws(parameter.draws, parameter.reference) for parameter in match.parameters]
    labels = [parameter.label for parameter in match.parameters]
    table = pd.DataFrame(rows, index=labels, columns=list(Comparison._fields))
    table.attrs["verdict"] = describe(table, match, name_missing=name_missing)
    table.attrs["only_in_idata"] = match.only_in_idata
    table.attrs["only_in_reference"] = match.only_in_reference
    return table
