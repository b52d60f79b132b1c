"""Measure how far a run is from the posterior."""

from pymc_sgld.diagnostics.diagnose import diagnose
from pymc_sgld.diagnostics.idata import compare
from pymc_sgld.diagnostics.plots import plot_comparison
from pymc_sgld.diagnostics.report import TrustReport

__all__ = ["TrustReport", "compare", "diagnose", "plot_comparison"]
