"""The report on a run: what `diagnose` returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from pymc_sgld.diagnostics.certificate.report import Certificate
from pymc_sgld.diagnostics.shown import Judged, shown_table
from pymc_sgld.tolerance import Doubt, Tolerance, Verdict


@dataclass(frozen=True, repr=False)
class TrustReport(Judged):
    """Whether to believe a run, and why. It prints as a table and a verdict, in notebooks too.

    Attributes
    ----------
    table : DataFrame
        One row per scalar parameter, labelled as in ArviZ, with ``mean``, ``sd``, ``r_hat``,
        ``ess_bulk`` and ``ess_tail``; with a model also ``mean_shift`` (of the mean, in posterior
        sds) and ``sd_ratio`` (the sd over that of the posterior), each followed by its standard
        error (``_error``). Without a certificate they are those of the unconstrained scale, and NaN
        where a parameter is not one coordinate of it or has too few draws. ``trusted`` says whether
        nothing speaks against the parameter.
    coordinates : DataFrame
        Of gradients, one row per unconstrained coordinate (``sigma_log__``), with its ``parameter``
        (empty where it is not a transform of one number), ``mean`` and ``sd`` on its own scale, the
        figures of the table, and what Stein's identities read: ``stein_first`` (0 for a posterior),
        ``stein_second`` (1 for a posterior), each with its error.
    run : Series
        Numbers of the run as a whole. Of SGLD, as means over chains: ``step_size`` at the end,
        ``sampling_threshold`` (gradient noise over injected noise), ``rows_seen`` and ``epochs``;
        ``untrusted_chains``. Of any run: draws that are ``not_finite``, and those whose gradient is
        not (``gradients_not_finite``). With a model: ``worst_sd_ratio``, that of the direction in
        which it is farthest off, with its ``worst_sd_ratio_error``; with a certificate its ``run``;
        else how many ``gradients`` of all rows there are, and ``ksd``, the kernel Stein
        discrepancy, with its ``ksd_p_value`` from ``ksd_draws`` draws.
    judged : Verdict
        A headline, what speaks against the run, and what was not measured.
    settings : dict
        Of the run, as :func:`~pymc_sgld.run_settings` reads them; empty for other step methods.
    certificate : Certificate or None
        What was found on the exact moments of the posterior, where they were looked for: see
        :func:`~pymc_sgld.certify`.
    """

    table: pd.DataFrame
    coordinates: pd.DataFrame
    run: pd.Series
    judged: Verdict
    settings: dict[str, Any] = field(default_factory=dict)
    certificate: Certificate | None = None

    @property
    def trusted(self) -> bool:
        """Whether nothing that was measured speaks against the run."""
        return not self.judged.doubts

    @property
    def notes(self) -> list[str]:
        """What was not measured, and why."""
        return list(self.judged.notes)

    def _shown(self) -> tuple[pd.DataFrame, str]:
        return shown_table(self.table, "trusted")


def headline(table: pd.DataFrame, measured: pd.DataFrame, doubts: Sequence[Doubt]) -> str:
    """Say in one sentence whether to believe a run, and where it is farthest off.

    Parameters
    ----------
    table : DataFrame
        Of the parameters, with the column ``trusted``.
    measured : DataFrame
        With ``mean_shift`` and ``sd_ratio`` by parameter, where they were measured.
    doubts : sequence of Doubt
        What speaks against the run.
    """
    figures = ""
    if "sd_ratio" in measured:
        figures = Tolerance().worst_figures(measured)
    if not doubts:
        return f"Trusted: nothing that was measured speaks against this run{figures}."
    some, total = int((~table["trusted"]).sum()), len(table)
    whose = f"{some} of {total} parameters" if some and total > 1 else "the run"
    if all(doubt.size <= 1 for doubt in doubts):
        return f"Cannot tell: there is too little evidence to judge {whose}{figures}."
    return f"Not trusted: {whose} {'are' if some > 1 else 'is'} in doubt{figures}."


def by_parameter(coordinates: pd.DataFrame) -> pd.DataFrame:
    """Label coordinates by their parameters, where they are one."""
    if coordinates.empty:
        return coordinates
    own = coordinates["parameter"]
    return coordinates.set_axis(own.where(own != "", coordinates.index), axis=0)
