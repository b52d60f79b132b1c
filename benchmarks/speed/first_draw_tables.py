"""Tables of the seconds to the first draw, in which a run may have been cut or have failed.

The seconds of a run that was cut are inf, and those of a run that failed are NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from operator import itemgetter

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


def ratio(one: float, other: float, limit: float) -> tuple[float, float]:
    """Return the least and the most that a ratio of seconds can be; NaN where nothing is known."""
    if math.isnan(one + other) or (math.isinf(one) and math.isinf(other)):
        return math.nan, math.nan
    if math.isinf(one):
        return limit / other, math.inf
    if math.isinf(other):
        return 0.0, one / limit
    return one / other, one / other


def text(least: float, most: float) -> str:
    """Return a number, a bound or a range, as much as is known."""
    if math.isnan(least) or (least, most) == (0, math.inf):
        return ""
    if least == most:
        return f"{most:.3g}"
    if least == 0:
        return f"< {most:.3g}"
    return f"> {least:.3g}" if math.isinf(most) else f"{least:.3g} to {most:.3g}"


def of_model(found: dict[str, pd.DataFrame], limit: float) -> pd.DataFrame:
    """Return the table of a model: a line for each sampler and state, and for their ratio."""
    lines = {}
    for state, table in found.items():
        for label, seconds in table.iterrows():
            cut, failed = np.isinf(seconds), np.isnan(seconds)
            cells = seconds.map("{:.3g}".format).mask(cut, f"> {limit:g}").mask(failed, "failed")
            lines[f"{label}, {state} caches"] = cells
        if ratios := of_samplers(table, limit):
            cells = {column: text(*each) for column, each in ratios.items()}
            lines[f"{RATIO}, {state} caches"] = pd.Series(cells)
    return pd.DataFrame(lines).T


def of_samplers(table: pd.DataFrame, limit: float) -> dict[str, tuple[float, float]]:
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
    least, most = (table.map(itemgetter(end)).median() for end in (0, 1))
    cells = table.map(lambda each: text(*each))
    cells.loc["median"] = least.combine(most, text)
    return cells
