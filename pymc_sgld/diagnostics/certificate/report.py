"""The certificate of a run: what `certify` returns."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import xarray as xr

from pymc_sgld.diagnostics.shown import Judged, shown_table
from pymc_sgld.errors import SettingError
from pymc_sgld.tolerance import Verdict


@dataclass(frozen=True, repr=False)
class Certificate(Judged):
    """Exact means and standard deviations, and how far a run is from them.

    It prints as a table and a verdict, in notebooks too.

    Attributes
    ----------
    table : DataFrame
        One row per scalar parameter, labelled as in ArviZ, Deterministics included: ``mean`` and
        ``sd`` of the posterior, ``mean_shift`` of the run (of its mean, in posterior sds) and its
        ``sd_ratio``, each followed by its standard error (``_error``), that of the run's draws
        included in the latter two; and ``agrees``. All NaN where there is no certificate.
    run : Series
        ``k``, the shape of the tail of the importance weights; how many ``points`` there are, and
        how many of equal weight would be worth as much (``effective``); the greatest error of a
        mean or an sd, in posterior sds, ``by_points`` and ``by_rows``; ``passes``, what was read,
        in evaluations of the log-likelihood of all rows; ``worst_sd_ratio``, that of the direction
        in which the run is farthest off, and ``worst_sd_ratio_error``.
    judged : Verdict
        A headline, what speaks against the run or against a certificate, and notes.
    certified : bool
        Whether the figures are those of the posterior.
    draws : DataTree or None
        Independent draws of the posterior, with the groups ``posterior`` and ``sample_stats``
        (``lp``: the log density up to a constant). ArviZ reads it, and :func:`~pymc_sgld.compare`
        and the plots take it for a reference. None where there is no certificate.
    """

    table: pd.DataFrame
    run: pd.Series
    judged: Verdict
    certified: bool
    draws: xr.DataTree | None

    @property
    def agrees(self) -> bool:
        """Whether there is a certificate, and the run agrees with it."""
        return self.certified and not self.judged.doubts

    def _shown(self) -> tuple[pd.DataFrame | None, str]:
        """Return the table without errors of the exact moments, which are known to be small."""
        if not self.certified:
            return None, ""
        return shown_table(self.table.drop(columns=["mean_error", "sd_error"]), "agrees")


def draws_of(reference: Certificate | xr.DataTree | xr.Dataset) -> xr.DataTree | xr.Dataset:
    """Return what a run is compared with: the draws of a certificate, or another run as it is."""
    if not isinstance(reference, Certificate):
        return reference
    if reference.draws is None:
        raise SettingError(
            "the certificate that is to be the reference has no draws of the posterior: "
            f"{reference.judged.headline} Pass another run."
        )
    return reference.draws
