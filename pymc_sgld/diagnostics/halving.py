"""What half the step size changes: two runs of a model, extrapolated to steps of size zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr

from pymc_sgld.arguments import model_of, positive
from pymc_sgld.diagnostics.comparison.marginal import MEAN_TOLERANCE, SD_TOLERANCE, Tolerance
from pymc_sgld.diagnostics.comparison.verdict import count, worst_figures
from pymc_sgld.diagnostics.matching import match_posteriors
from pymc_sgld.diagnostics.richardson import BEYOND, UNKNOWN, Extrapolation, extrapolate
from pymc_sgld.errors import SettingError
from pymc_sgld.schedules import constant
from pymc_sgld.step import SGLD


@dataclass(frozen=True)
class StepHalving:
    """Two runs at a step size and at half of it, and what follows. It prints as a table.

    Attributes
    ----------
    table : DataFrame
        One row per scalar parameter, labelled as in ArviZ, with ``mean`` and ``sd`` at the step
        size, at half of it (``mean_half``) and extrapolated to zero (``mean_extrapolated``), each
        with its Monte-Carlo standard error (``mean_mcse``, ``mean_half_mcse``, ...); the bias at
        the step size, as ``mean_shift`` (in sds at half the step) and ``sd_ratio`` (over the sd
        that is extrapolated), with errors; and ``bias``: "within tolerance", "beyond tolerance", or
        "cannot tell" where the errors leave it open.
    verdict : str
        The same in words.
    step_size, half_step_size : float
        The step sizes after tuning.
    order : int
        Power of the step size with which the bias is taken to vanish.
    idata, half : DataTree
        The runs.
    """

    table: pd.DataFrame
    verdict: str
    step_size: float
    half_step_size: float
    order: int
    idata: xr.DataTree
    half: xr.DataTree

    def __repr__(self) -> str:
        """Return the table and the verdict as text."""
        return f"{self._shown().to_string()}\n{self.verdict}"

    def _repr_html_(self) -> str:
        return f"{self._shown().to_html(border=0)}<p>{escape(self.verdict)}</p>"

    def _shown(self) -> pd.DataFrame:
        """Return the table as it is printed: every figure with its error."""
        table = self.table
        columns = {
            f"{name} at {where}": [
                f"{value:.4g} ± {error:.1g}"
                for value, error in zip(table[name + end], table[f"{name}{end}_mcse"], strict=True)
            ]
            for name in ("mean", "sd")
            for where, end in (
                (f"ε={self.step_size:.3g}", ""),
                (f"{self.half_step_size:.3g}", "_half"),
                ("0", "_extrapolated"),
            )
        }
        return pd.DataFrame(columns | {"bias": table["bias"].to_numpy()}, index=table.index)


def step_halving(
    model: pm.Model | None = None,
    step: SGLD | Mapping[str, Any] | None = None,
    *,
    draws: int = 1000,
    tune: int | None = None,
    chains: int = 4,
    random_seed: Any = None,
    var_names: str | Sequence[str] | None = None,
    order: int | None = None,
    mean_tolerance: float = MEAN_TOLERANCE,
    sd_tolerance: float = SD_TOLERANCE,
    **sample_kwargs: Any,
) -> StepHalving:
    r"""Sample a model at a step size and at half of it, and extrapolate to steps of size zero.

    With a bias :math:`c\,\varepsilon^p` in a mean or a variance :math:`m`, two independent runs
    give Richardson's extrapolation and the bias at :math:`\varepsilon`,

    .. math::

        \hat m_0 = m_{\varepsilon/2} + \frac{m_{\varepsilon/2} - m_\varepsilon}{2^p - 1}, \qquad
        m_\varepsilon - \hat m_0 = \frac{2^p}{2^p - 1} (m_\varepsilon - m_{\varepsilon/2}).

    It needs no reference, and unlike the contrast that a chain makes of itself it compares all
    variables of the result, ``pm.Deterministic`` too. The price is Monte-Carlo error: two
    independent runs of as many effective draws leave an error of the extrapolated mean that is
    :math:`\sqrt 5` times that of a run at order 1, 1.4 times at order 2. To be told that a bias is
    within the tolerance takes thousands of effective draws.

    The extrapolation is as good as the power law. Where the two runs differ by more than some 20 %
    of a standard deviation, take it for the direction of the bias only.

    Parameters
    ----------
    model : Model, optional
        By default the model of the context.
    step : SGLD or mapping, optional
        An instance with a constant or a chosen step size, or the arguments of
        :class:`~pymc_sgld.SGLD` for one; by default ``SGLD()``. The run at half the step takes
        over all that the instance found before sampling, and makes twice as many updates a draw.
        Where chains made their steps smaller while tuning, the average is halved.
    draws, tune, chains : int, optional
        Of each of the two runs, as for :func:`pymc.sample`; ``tune`` is by default that of the
        step.
    random_seed : int or Generator, optional
        Seed of both runs, which are independent.
    var_names : str or sequence of str, optional
        Variables of the table; by default all.
    order : {1, 2}, optional
        :math:`p`. By default 2 with averaged noise and all rows in every batch, else 1, which is
        that of the bias from Euler–Maruyama steps and from gradient noise.
    mean_tolerance : float, optional
        Shift of a mean that is tolerated, in standard deviations.
    sd_tolerance : float, optional
        Deviation of the ratio of standard deviations from 1 that is tolerated.
    **sample_kwargs
        Passed to :func:`pymc.sample`, for both runs.

    Returns
    -------
    StepHalving

    Raises
    ------
    SettingError
        If `model` is no model, `step` is no SGLD, has a schedule or the temperature 0, or another
        argument cannot be used.

    See Also
    --------
    compare : The comparison with a reference.

    References
    ----------
    Durmus, Simsekli, Moulines, Badeau and Richard (2016), Stochastic gradient Richardson-Romberg
    Markov chain Monte Carlo, section 2.
    Vollmer, Zygalakis and Teh (2016), Exploration of the (non-)asymptotic bias and variance of
    stochastic gradient Langevin dynamics, theorem 3.

    Examples
    --------
    >>> import numpy as np
    >>> import pymc as pm
    >>> from pymc_sgld import step_halving
    >>> with pm.Model() as model:
    ...     mean = pm.Normal("mean", 0, 10)
    ...     x = pm.Normal("x", mean, 1, observed=np.random.default_rng(1).normal(3, 1, 1000))
    >>> settings = {"batch_size": 50, "compile_kwargs": {"mode": "FAST_COMPILE"}}
    >>> short = {"draws": 50, "tune": 10, "chains": 2}  # far too short for a verdict
    >>> found = step_halving(model, settings, **short, cores=1, random_seed=1, quiet=True)
    >>> found.step_size, found.half_step_size, found.order
    (0.3, 0.15, 1)
    """
    model = model_of(model)
    tolerance = Tolerance(
        positive("mean_tolerance", mean_tolerance), positive("sd_tolerance", sd_tolerance)
    )
    if order not in (None, 1, 2):
        raise SettingError(f"order={order!r} must be 1, 2 or None, which takes that of the step.")
    step = prepare(model, step)
    order = order_of_bias(step) if order is None else order
    rng = np.random.default_rng(random_seed)
    settings = sample_kwargs | {"draws": draws, "chains": chains, "model": model}
    if tune is not None:
        settings["tune"] = tune
    idata = pm.sample(step=step, random_seed=int(rng.integers(2**31)), **settings)
    taken = step_sizes(idata)
    half_step_size = float(np.mean(taken**order) ** (1 / order)) / 2
    # as many updates as go as far as those of the first run
    step = step._with_step_size(half_step_size, 2 * step.steps_per_draw)
    half = pm.sample(step=step, random_seed=int(rng.integers(2**31)), **settings)
    ratio = float(np.mean(taken**order) / half_step_size**order)
    match = match_posteriors(idata, half, var_names)
    rows = [
        extrapolate(one.draws, one.reference, ratio, tolerance, len(match.parameters))
        for one in match.parameters
    ]
    labels = [one.label for one in match.parameters]
    table = pd.DataFrame(rows, index=labels, columns=list(Extrapolation._fields))
    verdict = describe(table, tolerance, 2 * half_step_size)
    return StepHalving(table, verdict, 2 * half_step_size, half_step_size, order, idata, half)


def prepare(model: pm.Model, step: Any) -> SGLD:
    """Return the step of the first run, or refuse what has no step size to halve."""
    if step is None or isinstance(step, Mapping):
        step = SGLD(**{"model": model, **(step or {})})
    if not isinstance(step, SGLD):
        raise SettingError(
            f"step is a {type(step).__name__}: pass one SGLD for all of its variables, or a "
            'dictionary of its arguments, such as {"batch_size": 100}.'
        )
    if not isinstance(step.schedule, constant):
        raise SettingError(
            f"step has the schedule {step.schedule!r}: half of a step size says nothing where it "
            "changes anyway. Pass a number as its step_size, or leave it out."
        )
    if not step.temperature:
        raise SettingError("step has temperature=0, which samples no posterior: leave it out.")
    return step


def order_of_bias(step: SGLD) -> int:
    """Return 2 for averaged noise and gradients of all rows, 1 for what has noise or is Euler's."""
    whole = all(batch_size == total for batch_size, total in step.tables.values())
    return 2 if whole and step.integrator == "leimkuhler_matthews" else 1


def step_sizes(idata: xr.DataTree) -> np.ndarray:
    """Return the step size of each chain after tuning, shape (chain,)."""
    taken = idata["sample_stats"]["step_size"].isel(draw=-1)
    if taken.ndim > 1:  # beside NUTS, which comes after the step that was passed
        taken = taken.transpose("chain", ...)[:, 0]
    return np.asarray(taken, dtype=float)


def describe(table: pd.DataFrame, tolerance: Tolerance, step_size: float) -> str:
    """Say what half the step size changed."""
    total = len(table)
    beyond, open_ = (table[table["bias"] == kind] for kind in (BEYOND, UNKNOWN))
    worst = worst_figures(table, tolerance)
    if len(beyond):
        return (
            f"biased: {count(len(beyond), total)} beyond the tolerance ({tolerance}){worst}. Pass "
            f"a step_size below {step_size:.2g}, or use the extrapolated figures."
        )
    if len(open_):
        need = np.nanmax(
            [
                (open_["mean_shift_mcse"] / tolerance.mean).max(),
                (open_["sd_ratio_mcse"] / tolerance.sd).max(),
            ]
        )
        return (
            f"cannot tell: {count(len(open_), total)} not known to be within the tolerance "
            f"({tolerance}){worst}. The error of the bias is up to {need:.2g} times the tolerance; "
            "sample more draws, until it is about a quarter."
        )
    within = count(1, 1) if total == 1 else f"all {total} parameters are"
    return f"no bias seen: {within} within the tolerance ({tolerance}){worst}."
