"""The stats of a draw: their types, and which of them the progress bar shows."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymc.stats.convergence import SamplerWarning
from rich.progress import TextColumn
from rich.table import Column

from pymc_sgld.version import __version__

MEASURED: dict[str, Any] = {
    "step_size": (np.float64, []),
    "gradient_norm": (np.float64, []),
    "rows_seen": (np.int64, []),
    "updates": (np.int64, []),
    "cycle": (np.int64, []),
    "cycle_position": (np.float64, []),
    "explores": (np.int64, []),
    "mean_shift": (np.float64, []),
    "mean_shift_error": (np.float64, []),
    "sd_ratio": (np.float64, []),
    "sd_ratio_error": (np.float64, []),
    "sampling_threshold": (np.float64, []),
    "untrusted": (np.int64, []),
    "reasons": (np.int64, []),
    "steps_per_draw": (np.int64, []),
    "warning": (SamplerWarning, None),
}
"""What differs from draw to draw."""

SETTINGS: dict[str, Any] = {
    "batch_size": (np.int64, []),
    "total_size": (np.int64, []),
    "temperature": (np.float64, []),
    "bias_target": (np.float64, []),
    "subtract_noise": (np.int8, []),
    "setup_seconds": (np.float64, []),
    "placing": (np.int64, []),
    "integrated_out": (np.int64, []),
    "fisher_divergence": (np.float64, []),
    "gradient": (np.int8, []),
    "preconditioner": (np.int8, []),
    "batching": (np.int8, []),
    "integrator": (np.int8, []),
    "pymc_sgld": (np.dtype("<U16"), []),
}
"""What is the same in all draws: a saved result explains itself."""

OF_SOME: dict[str, Any] = {
    "friction": (np.float64, []),
    "acceptance_rate": (np.float64, []),
    "kinetic_temperature": (np.float64, []),
    "swap_rate": (np.float64, []),
    "swapped": (np.int64, []),
}
"""What only some samplers have: a setting, and what differs from draw to draw."""

WORDS: dict[str, tuple[str, ...]] = {
    "gradient": ("minibatch", "control_variate", "taylor", "svrg", "saga"),
    "preconditioner": (
        "identity",
        "diagonal",
        "dense",
        "laplace",
        "laplace_diagonal",
        "laplace_low_rank",
        "adaptive",
        "fisher_low_rank",
    ),
    "batching": ("reshuffle", "with_replacement", "without_replacement"),
    "integrator": ("euler_maruyama", "leimkuhler_matthews", "baoab", "mala", "thermostat"),
}
"""Settings that are words: a draw stores the place of each in its list, because as text they would
be most of what a run stores. A new word comes last, so that old results keep their meaning.
"""


def settings_of(step: Any) -> dict[str, Any]:
    """Return the stats of a step that are the same in all draws."""
    own = set(step.stats_dtypes_shapes) - set(MEASURED) - {"pymc_sgld"}
    stored = {name: getattr(step, name) for name in own if hasattr(step, name)}
    places = {name: words.index(stored[name]) for name, words in WORDS.items()}
    return stored | places | {"pymc_sgld": __version__}


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
