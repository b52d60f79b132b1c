"""The report on a run: what `diagnose` returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pymc_sgld.diagnostics.trust.doubts import Doubt
from pymc_sgld.wording import with_error

MOST_ROWS = 20
"""Parameters of the table as it is shown."""

MOST_SENTENCES = 5
"""Parameters that the verdict names."""

SHOWN = ("mean_shift", "mean_shift_error", "inflation", "inflation_error", "predicted_inflation")

_NAMES = {
    "variance_inflation": "variance inflation that the chains read (1: none)",
    "sampling_threshold_first_half": "sampling threshold α, mean of the first half of the draws",
    "sampling_threshold_second_half": "that of the second half (must be far below 1)",
    "step_size": "step size at the end",
    "epochs": "epochs a chain",
    "rows_seen": "rows a chain read",
    "efficiency": "noise of the plain gradient over that of the estimator",
    "worst_inflation": "variance inflation of the worst direction",
    "worst_inflation_error": "its error",
    "ksd": "kernel Stein discrepancy",
    "ksd_u": "its square, without bias (0 for exact draws)",
    "ksd_p_value": "its p-value",
    "ksd_draws": "draws of the test",
    "gradients": "draws with a gradient of all rows",
    "untrusted_chains": "chains that distrust themselves",
    "not_finite": "draws that are not finite",
    "gradients_not_finite": "draws whose last gradient was not finite",
}


_COUNTS = {
    "ksd_draws",
    "gradients",
    "untrusted_chains",
    "not_finite",
    "rows_seen",
    "gradients_not_finite",
}


@dataclass(frozen=True, repr=False)
class TrustReport:
    """Whether to believe a run, and why. It prints as tables and words, in notebooks too.

    Attributes
    ----------
    table : DataFrame
        One row per scalar parameter, labelled as in ArviZ, with ``mean``, ``sd``, ``r_hat``,
        ``ess_bulk`` and ``ess_tail``; with a model also ``mean_shift`` (in posterior sds) and
        ``inflation`` (the variance over that of the posterior), each followed by its standard error
        (``_error``), and ``predicted_inflation``, all of them on the unconstrained scale and NaN
        where a parameter is not one coordinate of it or has too few draws. ``trusted`` says whether
        nothing speaks against the parameter.
    coordinates : DataFrame
        With a model, one row per unconstrained coordinate (``sigma_log__``), with its ``parameter``
        (empty where it is not a transform of one number), ``mean`` and ``sd`` on its own scale, the
        figures of the table, and what Stein's identities read: ``stein_first`` (0 for a posterior),
        ``stein_second`` (1 for a posterior), each with its error.
    run : Series
        The scalars of the run, by name. The printed report explains them.
    series : Dataset
        What the run read at every draw, of dimensions chain and draw: ``sampling_threshold``,
        ``variance_inflation``, ``step_size``, ``gradient_norm``. Empty for other step methods.
    verdict : str
        Whether to believe it, and a sentence for each parameter in doubt.
    trusted : bool
        Whether nothing that was measured speaks against the run.
    notes : list of str
        What was not measured, and why.
    settings : dict
        Of the run, as :func:`~pymc_sgld.run_settings` reads them; empty for other step methods.
    """

    table: pd.DataFrame
    coordinates: pd.DataFrame
    run: pd.Series
    series: xr.Dataset
    verdict: str
    trusted: bool
    notes: list[str]
    settings: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return the report as text."""
        shown, left_out = self._shown()
        parts = [shown.to_string()]
        parts += [left_out] if left_out else []
        lines = list(self._lines())
        width = max((len(name) for name, _ in lines), default=0)
        parts.append("\n".join(f"{name:{width}}  {value}" for name, value in lines))
        return "\n\n".join([*parts, self.verdict])

    def _repr_html_(self) -> str:
        shown, left_out = self._shown()
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th><td>{value}</td></tr>"
            for name, value in self._lines()
        )
        words = [left_out, *self.verdict.split("\n")]
        paragraphs = "".join(f"<p>{escape(each)}</p>" for each in words if each)
        return f"{shown.to_html(border=0)}<table>{rows}</table>{paragraphs}"

    def _shown(self) -> tuple[pd.DataFrame, str]:
        """Return the table as it is shown, and what is left out of it."""
        table, left_out = self.table, ""
        if len(table) > MOST_ROWS:
            order = np.argsort(table["trusted"].to_numpy(), kind="stable")[:MOST_ROWS]
            left_out = (
                f"{MOST_ROWS} of {len(table)} parameters, those in doubt first: `.table` has all."
            )
            table = table.iloc[order]
        shown = pd.DataFrame(index=table.index)
        for name in table.columns:
            if name.endswith("_error") or name == "trusted":
                continue
            texts = [_number(name, value) for value in table[name]]
            if f"{name}_error" in table:
                errors = table[f"{name}_error"]
                texts = [with_error(*pair) for pair in zip(table[name], errors, strict=True)]
            shown[name] = texts
        shown["trusted"] = np.where(table["trusted"], "yes", "NO")
        return shown, left_out

    def _lines(self) -> Iterator[tuple[str, str]]:
        for name, explained in _NAMES.items():
            if name in self.run and not np.isnan(self.run[name]):
                value = self.run[name]
                yield explained, f"{value:.0f}" if name in _COUNTS else f"{value:.4g}"


def _number(name: str, value: float) -> str:
    if np.isnan(value):
        return ""
    return f"{value:.0f}" if name.startswith("ess") else f"{value:#.4g}".rstrip(".")


def write_verdict(doubts: Sequence[Doubt], notes: Sequence[str]) -> str:
    """Say whether to believe a run: a headline, and a line for each parameter in doubt."""
    if not doubts:
        return "\n".join(["Trusted: nothing that was measured speaks against this run.", *notes])
    by_label: dict[str, list[Doubt]] = {}
    for doubt in sorted(doubts, key=lambda each: -each.size):
        by_label.setdefault(doubt.label, []).append(doubt)
    lines = ["Not trusted."]
    for label, of_one in list(by_label.items())[:MOST_SENTENCES]:
        given = dict.fromkeys(doubt.remedy for doubt in of_one)
        remedies = [
            one
            for one in given
            if not any(other != one and other.startswith(one) for other in given)
        ]
        texts = ", ".join(doubt.text for doubt in of_one)
        lines.append(f"{label}: {texts}. Remedy: {'; '.join(remedies)}.")
    if len(by_label) > MOST_SENTENCES:
        lines.append(f"{len(by_label) - MOST_SENTENCES} more are in doubt: see the table.")
    return "\n".join([*lines, *notes])
