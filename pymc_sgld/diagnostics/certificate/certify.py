"""How far one run is from the exact posterior, by importance weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr
from pymc.model import Model

from pymc_sgld.arguments import compile_settings, flag, model_of, names, positive
from pymc_sgld.backends.backend import Backend
from pymc_sgld.diagnostics.certificate.exact import certificate_of, unfit
from pymc_sgld.diagnostics.certificate.located import PURPOSE
from pymc_sgld.diagnostics.certificate.report import Certificate
from pymc_sgld.diagnostics.matching import find_posterior, shorten
from pymc_sgld.diagnostics.stored import StoredStats
from pymc_sgld.diagnostics.trust.unconstrained import Draws
from pymc_sgld.errors import SettingError, warn
from pymc_sgld.progress import progress
from pymc_sgld.sources.bind import bind
from pymc_sgld.workers.executor import workers_of


def certify(
    idata: xr.DataTree | xr.Dataset,
    model: Model | None = None,
    *,
    tolerance: float = 0.02,
    budget: float = 100,
    var_names: str | Sequence[str] | None = None,
    data: Mapping[str, Any] | None = None,
    compile_kwargs: Mapping[str, Any] | None = None,
    progressbar: bool = True,
    executor: Any = None,
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
    compile_kwargs : dict, optional
        Passed to PyMC's ``compile``, for instance ``{"mode": "JAX"}``.
    progressbar : bool
        Whether to show what is being done, in a terminal or a notebook.
    executor : dask.distributed.Client or concurrent.futures.Executor, optional
        Whose processes share the passes over all rows of `data`, as in :class:`~pymc_sgld.SGLD`.

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
    posterior, stored = find_posterior(idata, "idata"), StoredStats.of(idata)
    tolerance, passes = positive("tolerance", tolerance), positive("budget", budget)
    wanted = None if var_names is None else names("var_names", var_names)
    unknown = [name for name in wanted or () if name not in posterior]
    if unknown:
        raise SettingError(
            f"var_names has {unknown}, which idata has no draws of: name some of "
            f"{shorten(list(posterior.data_vars))}, or leave var_names out."
        )
    backend = Backend(compile_settings(compile_kwargs), workers_of(executor))
    sources, shown = bind(data), flag("progressbar", progressbar) is not False
    reason = unfit(model, stored)
    if reason:
        raise SettingError(f"cannot {PURPOSE}: {reason}")
    with progress("looking for the posterior", shown=shown, name="certify"):
        draws = Draws.of_run(posterior, model, sources, stored.placing, PURPOSE)
        found = certificate_of(draws, stored, tolerance, passes, wanted=wanted, backend=backend)
    if found.judged.doubts:
        warn(str(found.judged))
    return found
