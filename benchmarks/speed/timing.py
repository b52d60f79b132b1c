"""Runs that take turns, in seconds of the processor, and tables of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits


def in_turn(runs: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, np.ndarray]:
    """Return the processor's seconds of runs, shape (repeats,) each, that take turns.

    Everything runs on one thread, so that these are the seconds of a machine that does nothing
    else. The first turn is not counted: it compiles, and fills the caches.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    with threadpool_limits(1):  # of all libraries that are loaded by now
        for repeat in range(repeats + 1):
            for name, run in runs.items():
                start = time.process_time()
                run()
                if repeat:
                    times[name].append(time.process_time() - start)
    return {name: np.array(values) for name, values in times.items()}


def compared(times: Mapping[str, np.ndarray], reference: str) -> pd.DataFrame:
    """Return medians, ranges, and the median of the ratios to a reference, turn by turn."""
    ratios = {name: values / times[reference] for name, values in times.items()}
    return pd.DataFrame(
        {
            "µs per update": {name: np.median(values) for name, values in times.items()},
            "least": {name: values.min() for name, values in times.items()},
            "most": {name: values.max() for name, values in times.items()},
            "ratio": {name: np.median(values) for name, values in ratios.items()},
            "ratio, least": {name: values.min() for name, values in ratios.items()},
            "ratio, most": {name: values.max() for name, values in ratios.items()},
        }
    )


def shown(value: object) -> str:
    """Return a figure with three significant digits; text is returned as it is."""
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int | np.integer) else str(value)


def printed(table: pd.DataFrame, markdown: bool) -> str:
    """Return a table as text, or in Markdown to be pasted into the documentation."""
    text = table.map(shown)
    if not markdown:
        return text.to_string()
    lines = [["", *map(str, text.columns)], ["---"] * (1 + text.shape[1])]
    lines += [[str(name), *row] for name, row in zip(text.index, text.to_numpy(), strict=True)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
