"""A report as it is shown: a table, and a verdict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from html import escape

import numpy as np
import pandas as pd

from pymc_sgld.tolerance import Verdict
from pymc_sgld.wording import with_error

MOST_ROWS = 20
"""Parameters of the table as it is shown."""


class Judged(ABC):
    """A report that ends with a verdict: it prints as a table and that, in notebooks too."""

    judged: Verdict

    @property
    def verdict(self) -> str:
        """What was found, what speaks against it, and what to do."""
        return str(self.judged)

    @abstractmethod
    def _shown(self) -> tuple[pd.DataFrame | None, str]:
        """Return the table as it is shown, if there is one, and what is left out of it."""

    def __repr__(self) -> str:
        """Return the report as text."""
        table, left_out = self._shown()
        text = "" if table is None else table.to_string()
        return "\n\n".join(part for part in (text, left_out, self.verdict) if part)

    def _repr_html_(self) -> str:
        table, left_out = self._shown()
        html = "" if table is None else table.to_html(border=0)
        return html + paragraphs(left_out, *self.verdict.split("\n"))


def shown_table(table: pd.DataFrame, flag: str) -> tuple[pd.DataFrame, str]:
    """Return a table of parameters as it is shown, and what is left out of it.

    Parameters
    ----------
    table : DataFrame
        One row a parameter. A column ``x_error`` is shown beside ``x``.
    flag : str
        The column that is true where nothing speaks against a parameter.
    """
    left_out = ""
    if len(table) > MOST_ROWS:
        order = np.argsort(table[flag].to_numpy(), kind="stable")[:MOST_ROWS]
        left_out = (
            f"{MOST_ROWS} of {len(table)} parameters, those in doubt first: `.table` has all."
        )
        table = table.iloc[order]
    shown = pd.DataFrame(index=table.index)
    for name in table.columns:
        if name.endswith("_error") or name == flag:
            continue
        texts = [_number(name, value) for value in table[name]]
        if f"{name}_error" in table:
            errors = table[f"{name}_error"]
            texts = [with_error(*pair) for pair in zip(table[name], errors, strict=True)]
        shown[name] = texts
    shown[flag] = np.where(table[flag], "yes", "NO")
    return shown, left_out


def paragraphs(*sentences: str) -> str:
    """Return what there is of sentences for a notebook."""
    return "".join(f"<p>{escape(each)}</p>" for each in sentences if each)


def _number(name: str, value: float) -> str:
    if np.isnan(value):
        return ""
    return f"{value:.0f}" if name.startswith("ess") else f"{value:#.4g}".rstrip(".")
