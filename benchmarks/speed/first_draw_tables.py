"""Tables of the seconds to the first draw, in which a run may have been cut or have failed.

The seconds of a run that was cut are inf, and those of a run that failed are NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

FIRST, KEPT = "first draw", "first kept draw"
PROCESSOR = [f"{event}, processor s" for event in (FIRST, KEPT)]
COLUMNS = [f"{event}, {clock} s" for event in (FIRST, KEPT) for clock in ("processor", "wall")]
SAMPLERS = {"sgld": "SGLD", "nuts": "PyMC's NUTS", "nutpie": "nutpie"}
RATIO = "SGLD / PyMC's NUTS"


def line(arrived: Mapping[str, list[float]]) -> pd.Series:
    """Return the seconds of a run from those of the draws that arrived before it was cut."""
    beyond = [math.inf, math.inf]
    return pd.Series([*arrived.get(FIRST, beyond), *arrived.get(KEPT, beyond)], COLUMNS)


def ratio(one: float, other: float, limit: float) -> tuple[str, float]:
    """Return a ratio of seconds and whether it is a bound, "<" or ">"; NaN where nothing is known.

    The seconds of a run that was cut are taken as the limit.
    """
    if math.isinf(one) and math.isinf(other):
        return "", math.nan
    bound = ">" if math.isinf(one) else "<" if math.isinf(other) else ""
    one, other = (limit if math.isinf(seconds) else seconds for seconds in (one, other))
    return bound, one / other


def text(number: float, bound: str = "") -> str:
    return "" if math.isnan(number) else f"{bound} {number:.3g}".lstrip()


def of_model(found: dict[str, pd.DataFrame], limit: float) -> pd.DataFrame:
    """Return the table of a model: a line for each sampler and state, and for their ratio."""
    lines = {}
    for state, table in found.items():
        for label, seconds in table.iterrows():
            cut, failed = np.isinf(seconds), np.isnan(seconds)
            cells = seconds.map(text).mask(cut, f"> {limit:g}").mask(failed, "failed")
            lines[f"{label}, {state} caches"] = cells
        if ratios := of_samplers(table, limit):
            cells = {column: text(number, bound) for column, (bound, number) in ratios.items()}
            lines[f"{RATIO}, {state} caches"] = cells
    return pd.DataFrame(lines).T


def of_samplers(table: pd.DataFrame, limit: float) -> dict[str, tuple[str, float]]:
    """Return the ratios of a table, or none where one of both samplers was not run."""
    if not {SAMPLERS["sgld"], SAMPLERS["nuts"]} <= {*table.index}:
        return {}
    sgld, nuts = table.loc[SAMPLERS["sgld"]], table.loc[SAMPLERS["nuts"]]
    return {column: ratio(sgld[column], nuts[column], limit) for column in COLUMNS}


def of_all(found: dict[str, dict[str, pd.DataFrame]], limit: float) -> pd.DataFrame:
    """Return the ratios of the processor's seconds of all models, and their medians."""
    ratios = {
        name: {
            f"{column.removesuffix(', processor s')}, {state} caches": each[column]
            for state, table in states.items()
            if (each := of_samplers(table, limit))
            for column in PROCESSOR
        }
        for name, states in found.items()
    }
    table = pd.DataFrame(ratios).T
    medians = table.map(lambda each: each[1]).median()
    cells = table.map(lambda each: text(each[1], each[0]))
    cells.loc["median"] = medians.map(text)
    return cells
