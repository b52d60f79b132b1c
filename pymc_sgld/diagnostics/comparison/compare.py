"""Whether a run agrees with a reference: two results in, a table and a verdict out."""

from collections.abc import Sequence

import pandas as pd
import xarray as xr

from pymc_sgld.arguments import positive
from pymc_sgld.diagnostics.certificate.report import Certificate, draws_of
from pymc_sgld.diagnostics.comparison.joint import compare_jointly
from pymc_sgld.diagnostics.comparison.marginal import Comparison, compare_draws
from pymc_sgld.diagnostics.comparison.table import ComparisonTable
from pymc_sgld.diagnostics.comparison.verdict import judge
from pymc_sgld.diagnostics.matching import Match, match_posteriors
from pymc_sgld.diagnostics.stored import StoredStats, doubts_of_chains
from pymc_sgld.diagnostics.weights import has_varying_steps
from pymc_sgld.errors import warn
from pymc_sgld.tolerance import MEAN_TOLERANCE, SD_TOLERANCE, Tolerance, Verdict


def compare(
    idata: xr.DataTree | xr.Dataset,
    reference: xr.DataTree | xr.Dataset | Certificate,
    var_names: str | Sequence[str] | None = None,
    *,
    mean_tolerance: float = MEAN_TOLERANCE,
    sd_tolerance: float = SD_TOLERANCE,
) -> pd.DataFrame:
    r"""Compare a posterior with a reference, parameter by parameter and jointly.

    R-hat and the effective sample size say how well a chain explored *its* stationary
    distribution; they cannot see that it is biased. Only a comparison can. With the means
    :math:`m, m_r`, standard deviations :math:`s, s_r` and distribution functions :math:`F, F_r` of
    the draws and of the reference,

    .. math::

        \mathrm{mean\ shift} = \frac{m - m_r}{s_r}, \quad
        \mathrm{sd\ ratio} = \frac{s}{s_r}, \quad
        \mathrm{Wasserstein} = \frac{1}{s_r} \int |F(x) - F_r(x)|\,dx .

    A parameter agrees if the shift of its mean and the deviation of its sd ratio from 1 are within
    the tolerance, and so is the Monte-Carlo standard error of the shift, so that the comparison can
    tell. The verdict names an sd ratio whose error is larger than the tolerance.

    Parameters may agree one by one and not together: the correlations may be wrong. Up to 400 draws
    of each run, so far apart that they are nearly independent, are therefore compared in all
    parameters at once by a permutation test. If that finds a difference (p at most 0.01), and finds
    it still where idata's parameters are shifted and scaled to the means and standard deviations of
    the reference, the verdict says so. Runs of one posterior are flagged at a rate of 0.01 at most.

    Parameters are compared on the scale of the posterior. To compare on the unconstrained scale as
    well, sample both runs with ``idata_kwargs={"include_transformed": True}``: transformed
    variables, such as ``sigma_log__``, are then compared like any others, whether they are in the
    group ``posterior`` (PyMC) or ``unconstrained_posterior`` (nutpie).

    Parameters
    ----------
    idata : DataTree or Dataset
        The run to judge: a result with a group ``posterior``, as :func:`pymc.sample` returns it, or
        that group itself. Variables have the dimensions ``chain`` and ``draw`` and any others.
    reference : DataTree, Dataset or Certificate
        The run to trust, usually NUTS on the same model; chains and draws may differ in number. Of
        a certificate (:func:`~pymc_sgld.certify`) its draws.
    var_names : str or sequence of str, optional
        Variables to compare; by default all that both runs have, and the verdict names the others.
        Entries of a variable are matched by coordinate label, never by position, wherever both runs
        have labels.
    mean_tolerance : float, optional
        Shift of a mean that counts as agreement, in reference sds.
    sd_tolerance : float, optional
        Deviation of an sd ratio from 1 that counts as agreement.

    Returns
    -------
    DataFrame
        It prints all of its figures and the verdict. One row per scalar parameter, labelled as in
        ArviZ (``beta[0]``), with the columns

        mean_shift, mean_shift_mcse
            Difference of the means and its Monte-Carlo standard error, in reference sds.
        sd_ratio, sd_ratio_mcse
            Standard deviation of the draws over that of the reference, and its Monte-Carlo standard
            error.
        wasserstein, wasserstein_null
            First Wasserstein distance, in reference sds, and what it is on average for two such
            samples of one distribution (up to a third less where draws are autocorrelated).
        r_hat, ess_bulk, ess_sd, reference_r_hat, reference_ess_bulk, reference_ess_sd
            Convergence of either run: R-hat and the effective sample sizes for the bulk and for the
            standard deviation; NaN where undefined (R-hat of a single chain).
        agrees
            Whether the parameter agrees. A parameter that is constant in the reference has no
            figures, and agrees if it is the same constant in `idata`. Draws that are not finite
            never agree.

        ``.attrs["verdict"]`` says the same in words, ``.attrs["only_in_idata"]`` and
        ``.attrs["only_in_reference"]`` list the variables that could not be compared.
        ``.attrs["settings"]`` are the settings of `idata` (:func:`~pymc_sgld.run_settings`).
        ``.attrs["joint"]`` is what the joint test found, a dictionary: ``p_value``;
        ``aligned_p_value``, after shifting and scaling (NaN where ``p_value`` is above 0.01);
        ``energy``, the energy distance of the whitened draws over its largest possible value, from
        0 to 1; ``draws``, ``reference_draws`` and ``parameters``, how many were tested;
        ``differs``; and ``worst_pair``, the two parameters whose correlation differs most, with
        both correlations (None where ``differs`` is False). It is None for a single parameter, or
        where a run has fewer than 20 nearly independent draws.

    Raises
    ------
    SettingError
        If an argument is no posterior, a variable of `var_names` is missing in a run, or the runs
        differ in the dimensions or labels of a variable, or a tolerance is not positive.

    Warns
    -----
    SGLDWarning
        If a chain of either run is biased, or has too few draws to be judged (the stat
        ``untrusted``).

    References
    ----------
    Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021), "Rank-normalization, folding, and
    localization: an improved R-hat for assessing convergence of MCMC", Bayesian Analysis 16(2).
    Székely and Rizzo (2013), "Energy statistics: a class of statistics based on distances", Journal
    of Statistical Planning and Inference 143(8).

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
    tolerance = Tolerance(
        positive("mean_tolerance", mean_tolerance), positive("sd_tolerance", sd_tolerance)
    )
    reference = draws_of(reference)
    match = match_posteriors(idata, reference, var_names)
    table = compare_marginals(match, tolerance)
    joint = compare_jointly(match, table)
    judged = judge(table, match, tolerance, joint, name_missing=var_names is None)
    doubts, notes = list(judged.doubts), list(judged.notes)
    for role, run in (("idata", idata), ("the reference", reference)):
        said = doubts_of_chains(StoredStats.of(run), role)
        if said:
            text = f"Do not rely on the means and standard deviations of {role}."
            warn(str(Verdict(text, said)))
        doubts += said
        if has_varying_steps(run):
            notes.append(
                f"The step sizes of {role} vary, so that its draws count unequally: compare what "
                "thin_by_step_size returns instead."
            )
    table.attrs["verdict"] = str(Verdict(judged.headline, doubts, notes))
    table.attrs["joint"] = None if joint is None else joint._asdict()
    table.attrs["settings"] = StoredStats.of(idata).settings
    table.attrs["only_in_idata"] = match.only_in_idata
    table.attrs["only_in_reference"] = match.only_in_reference
    return table


def compare_marginals(match: Match, tolerance: Tolerance | None = None) -> pd.DataFrame:
    """Build the table of `compare` from draws that are matched already, without attributes."""
    rows = [
        compare_draws(parameter.draws, parameter.reference, tolerance)
        for parameter in match.parameters
    ]
    labels = [parameter.label for parameter in match.parameters]
    return ComparisonTable(rows, index=labels, columns=list(Comparison._fields))
