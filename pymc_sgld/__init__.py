"""Stochastic gradient Langevin dynamics as a step method for PyMC."""

from importlib import import_module
from typing import TYPE_CHECKING

from pymc_sgld import minibatch, schedules
from pymc_sgld.errors import DataError, MinibatchError, NonFiniteError, SettingError, SGLDWarning
from pymc_sgld.replica_exchange import ReplicaExchange
from pymc_sgld.samplers import MALA, SGHMC, SGNHT
from pymc_sgld.step import SGLD
from pymc_sgld.version import __version__

if TYPE_CHECKING:
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
    from pymc_sgld.results.log_likelihood import log_likelihood
    from pymc_sgld.results.loo import loo
    from pymc_sgld.results.predict import predict

__all__ = [
    "MALA",
    "SGHMC",
    "SGLD",
    "SGNHT",
    "Certificate",
    "DataError",
    "MinibatchError",
    "NonFiniteError",
    "ReplicaExchange",
    "SGLDWarning",
    "SettingError",
    "TrustReport",
    "__version__",
    "certify",
    "compare",
    "diagnose",
    "group_effects",
    "log_likelihood",
    "loo",
    "minibatch",
    "plot_bias",
    "plot_comparison",
    "predict",
    "run_settings",
    "schedules",
    "thin_by_step_size",
]

if not TYPE_CHECKING:  # a type checker would take any name for one of this package

    def __getattr__(name):
        """Import what judges and uses runs where it is used: it takes longer than PyMC."""
        if name in ("diagnostics", "results"):
            return import_module(f"pymc_sgld.{name}")
        if name in __all__:
            folder = "results" if name in ("log_likelihood", "loo", "predict") else "diagnostics"
            return getattr(import_module(f"pymc_sgld.{folder}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
