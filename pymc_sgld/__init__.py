"""Stochastic gradient Langevin dynamics as a step method for PyMC.

What users import:

``step``              SGLD
``samplers``          SGHMC, SGNHT, MALA
``networks``          NetworkSGHMC
``replica_exchange``  ReplicaExchange
``schedules``         step sizes that change
``minibatch``         a PyMC model in, a log density of batches of rows out; ``report``
``sources``           rows that stay on disk
``diagnostics``       how far a run is from the posterior
``results``           cross-validation and predictions from a run, at any number of rows
``distributed``       chains on a cluster

What a step does before it samples, and what it samples with, in this order:

``setup``            all of it, from the arguments to the transition from draw to draw
``batching``         the order in which rows are read
``gradients``        estimators of the gradient
``dynamics``         updates
``preconditioners``  their matrix
``tuning``           where the posterior is, and what is chosen by that
``compiled``         updates in compiled code
``backends``         how graphs are run
``workers``          passes over rows that other processes share
``chain``            from draw to draw, and the bias that is measured on the way
``storage``          values that go to files
``checkpoint``       a run that is interrupted and resumed

What all of them use:

``arguments``  what users pass, checked
``errors``     exceptions, and the warning
``tolerance``  what counts as a bias
``messages``   what chains say at their end
``stats``      the stats of a draw
``progress``   the line that says what is being done
``wording``    numbers in sentences
``equality``   equality of states
``recorded``   which variables a run records
``orphans``    worker processes that end with their parent
``version``    the version
"""

from importlib import import_module
from typing import TYPE_CHECKING

from pymc_sgld import minibatch, schedules
from pymc_sgld.errors import DataError, MinibatchError, NonFiniteError, SettingError, SGLDWarning
from pymc_sgld.networks import NetworkSGHMC
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
    from pymc_sgld.distributed.sampling import sample_on
    from pymc_sgld.results.log_likelihood import log_likelihood
    from pymc_sgld.results.loo import loo
    from pymc_sgld.results.predict import predict
    from pymc_sgld.results.predictive import PredictiveReport, diagnose_predictions

__all__ = [
    "MALA",
    "SGHMC",
    "SGLD",
    "SGNHT",
    "Certificate",
    "DataError",
    "MinibatchError",
    "NetworkSGHMC",
    "NonFiniteError",
    "PredictiveReport",
    "ReplicaExchange",
    "SGLDWarning",
    "SettingError",
    "TrustReport",
    "__version__",
    "certify",
    "compare",
    "diagnose",
    "diagnose_predictions",
    "group_effects",
    "log_likelihood",
    "loo",
    "minibatch",
    "plot_bias",
    "plot_comparison",
    "predict",
    "run_settings",
    "sample_on",
    "schedules",
    "thin_by_step_size",
]

_OF_RESULTS = "PredictiveReport diagnose_predictions log_likelihood loo predict".split()
_FOLDERS = dict.fromkeys(_OF_RESULTS, "results") | {"sample_on": "distributed"}

if not TYPE_CHECKING:  # a type checker would take any name for one of this package

    def __getattr__(name):
        """Import what judges and uses runs where it is used: it takes longer than PyMC."""
        if name in ("diagnostics", "distributed", "results"):
            return import_module(f"pymc_sgld.{name}")
        if name in __all__:
            folder = _FOLDERS.get(name, "diagnostics")
            return getattr(import_module(f"pymc_sgld.{folder}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
