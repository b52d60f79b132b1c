"""Measure how far a run is from the posterior.

``trust``        one run, without a reference
``comparison``   two runs
``certificate``  exact moments
``plots``        what to look at
``effects``      effects of groups that were integrated out
``stored``       what a run stored of itself
``thinning``     draws of decreasing step sizes that count alike
``weights``      what a draw of a decreasing step size counts
``matching``     two posteriors, parameter by parameter
``chosen``       draws that something is computed from
``statistics``   mean, standard deviation and interval of draws
``shown``        a table and a verdict, as text and HTML
"""

from pymc_sgld.diagnostics.certificate.certify import certify
from pymc_sgld.diagnostics.certificate.report import Certificate
from pymc_sgld.diagnostics.comparison.compare import compare
from pymc_sgld.diagnostics.effects import group_effects
from pymc_sgld.diagnostics.plots.bias import plot_bias
from pymc_sgld.diagnostics.plots.comparison import plot_comparison
from pymc_sgld.diagnostics.stored import run_settings
from pymc_sgld.diagnostics.thinning import thin_by_step_size
from pymc_sgld.diagnostics.trust.diagnose import diagnose
from pymc_sgld.diagnostics.trust.report import TrustReport

__all__ = [
    "Certificate",
    "TrustReport",
    "certify",
    "compare",
    "diagnose",
    "group_effects",
    "plot_bias",
    "plot_comparison",
    "run_settings",
    "thin_by_step_size",
]
