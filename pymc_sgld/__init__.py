"""Stochastic gradient Langevin dynamics as a step method for PyMC."""

from pymc_sgld import minibatch, schedules
from pymc_sgld.diagnostics import (
    StepHalving,
    TrustReport,
    compare,
    diagnose,
    plot_comparison,
    plot_inflation,
    plot_phases,
    step_halving,
    thin_by_step_size,
    weighted_summary,
)
from pymc_sgld.errors import DataError, MinibatchError, NonFiniteError, SettingError, SGLDWarning
from pymc_sgld.step import SGLD

__version__ = "0.1.0"

__all__ = [
    "SGLD",
    "DataError",
    "MinibatchError",
    "NonFiniteError",
    "SGLDWarning",
    "SettingError",
    "StepHalving",
    "TrustReport",
    "compare",
    "diagnose",
    "minibatch",
    "plot_comparison",
    "plot_inflation",
    "plot_phases",
    "schedules",
    "step_halving",
    "thin_by_step_size",
    "weighted_summary",
]
