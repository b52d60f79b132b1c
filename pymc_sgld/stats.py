"""The stats of a draw: their types, and which of them the progress bar shows."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymc.stats.convergence import SamplerWarning
from rich.progress import TextColumn
from rich.table import Column

MEASURED: dict[str, Any] = {
    "step_size": (np.float64, []),
    "gradient_norm": (np.float64, []),
    "rows_seen": (np.int64, []),
    "updates": (np.int64, []),
    "cycle": (np.int64, []),
    "cycle_position": (np.float64, []),
    "variance_inflation": (np.float64, []),
    "sampling_threshold": (np.float64, []),
    "untrusted": (np.int64, []),
    "steps_per_draw": (np.int64, []),
    "warning": (SamplerWarning, None),
}
"""What differs from draw to draw."""

SETTINGS: dict[str, Any] = {
    "batch_size": (np.int64, []),
    "total_size": (np.int64, []),
    "temperature": (np.float64, []),
    "bias_target": (np.float64, []),
    "gradient": (np.dtype("<U32"), []),
    "preconditioner": (np.dtype("<U32"), []),
    "batching": (np.dtype("<U32"), []),
    "integrator": (np.dtype("<U32"), []),
}
"""Attributes of the step, the same in all draws: a saved result explains itself."""


def progress_config(n_chains: int = 1) -> tuple[list, dict]:
    """Return the columns of the progress bar, and what they show before the first draw."""

    def column(field: str, form: str, header: str) -> TextColumn:
        place = Column(header, ratio=1, no_wrap=True, min_width=6)
        return TextColumn(f"{{task.fields[{field}]:{form}}}", table_column=place)

    columns = [
        column("sgld_step_size", ".3g", "ε"),
        column("sgld_epochs", ".1f", "Epochs"),
    ]
    return columns, {name: [0.0] * n_chains for name in ("sgld_step_size", "sgld_epochs")}


def progress_of(stats: dict[str, Any]) -> dict[str, Any]:
    """Return what the columns show after a draw."""
    return {
        "sgld_step_size": stats["step_size"],
        "sgld_epochs": stats["rows_seen"] / max(1, stats["total_size"]),
    }
