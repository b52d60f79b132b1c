"""The certificate of a run: what `certify` returns."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import xarray as xr

from pymc_sgld.diagnostics.shown import as_html, as_text, paragraphs
from pymc_sgld.errors import SettingError
from pymc_sgld.tolerance import Verdict


@dataclass(frozen=True, repr=False)
class Certificate:
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

    @property
    def verdict(self) -> str:
        """Whether there is a certificate, whether the run agrees, and what to do."""
        return str(self.judged)

    @property
    def _figures(self) -> pd.DataFrame:
        """What is shown: errors of the exact moments are known to be small."""
        return self.table.drop(columns=["mean_error", "sd_error"])

    def __repr__(self) -> str:
        """Return the certificate as text."""
        if not self.certified:
            return self.verdict
        return as_text(self._figures, "agrees", self.verdict)

    def _repr_html_(self) -> str:
        if not self.certified:
            return paragraphs(*self.verdict.split("\n"))
        return as_html(self._figures, "agrees", self.verdict)


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
