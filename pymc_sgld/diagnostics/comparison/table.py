"""The table of a comparison: a DataFrame that prints as a whole."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pymc_sgld.diagnostics.comparison.marginal import Comparison
from pymc_sgld.diagnostics.shown import paragraphs
from pymc_sgld.wording import with_error

_REFERENCE = ("r_hat", "ess_bulk", "ess_sd")


class ComparisonTable(pd.DataFrame):
    """A DataFrame that shows each figure beside its error, and that of the reference beside it.

    As many columns as it has, pandas would leave some of them out. With other columns it is shown
    like any DataFrame.
    """

    @property
    def _constructor(self) -> type:
        return ComparisonTable

    def __repr__(self) -> str:
        """Return the figures and the verdict."""
        if not self._is_whole:
            return super().__repr__()
        most, least = (pd.get_option(f"display.{name}") for name in ("max_rows", "min_rows"))
        text = self._shown.to_string(max_rows=most, min_rows=least)
        return f"{text}\n\n{self.attrs.get('verdict', '')}".rstrip()

    def _repr_html_(self) -> str | None:
        if not self._is_whole:
            return super()._repr_html_()
        table = self._shown.to_html(border=0, max_rows=pd.get_option("display.max_rows"))
        return table + paragraphs(*self.attrs.get("verdict", "").split("\n"))

    @property
    def _is_whole(self) -> bool:
        return list(self.columns) == list(Comparison._fields)

    @property
    def _shown(self) -> pd.DataFrame:
        """Return the figures as text, in columns of their own."""
        shown = pd.DataFrame(index=self.index)
        for name in ("mean_shift", "sd_ratio"):
            shown[name] = list(map(with_error, self[name], self[f"{name}_mcse"]))
        pairs = [("wasserstein", "wasserstein_null", "null")]
        pairs += [(name, f"reference_{name}", "ref") for name in _REFERENCE]
        for name, other, role in pairs:
            digits = ".0f" if name.startswith("ess") else ".3f"
            shown[f"{name} ({role})"] = [
                f"{_number(one, digits)} ({_number(two, digits)})"
                for one, two in zip(self[name], self[other], strict=True)
            ]
        shown["agrees"] = np.where(self["agrees"].to_numpy(dtype=bool), "yes", "NO")
        return shown


def _number(value: float, digits: str) -> str:
    return "-" if np.isnan(value) else f"{value:{digits}}"
