"""Measure how far a run is from the posterior."""

from pymc_sgld.diagnostics.idata import compare
from pymc_sgld.diagnostics.plots import plot_comparison

__all__ = ["compare", "plot_comparison"]
