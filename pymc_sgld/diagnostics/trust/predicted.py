"""What the noise of the estimator predicts: the inflation, and what a control variate saves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pymc_sgld.diagnostics.stored import Stored
from pymc_sgld.diagnostics.trust.unconstrained import Gradients
from pymc_sgld.diagnostics.trust.whitened import Array, Sample
from pymc_sgld.dynamics import dynamics_of
from pymc_sgld.dynamics.gaussian_law import GaussianLaw
from pymc_sgld.errors import MinibatchError
from pymc_sgld.gradients.estimators import Center
from pymc_sgld.minibatch.density import LogDensity
from pymc_sgld.minibatch.placing import UNKNOWN
from pymc_sgld.preconditioners import LAPLACE, Identity, Preconditioner, laplace
from pymc_sgld.stats import WORDS
from pymc_sgld.tuning.batch_noise import BATCHES, POSITIONS, BatchGradients, noise_covariances
from pymc_sgld.tuning.estimators import slowest_order
from pymc_sgld.tuning.posterior.covariance import Full
from pymc_sgld.tuning.posterior.variational import Gaussian

STEP_SIZES = 20
"""Step sizes of a schedule that a prediction is averaged over."""


@dataclass(frozen=True)
class Predicted:
    """What is predicted from the noise of the gradient around the draws.

    Attributes
    ----------
    inflation : ndarray, shape (d,), or None
        Relative variance of each coordinate.
    efficiency : float
        Noise of the plain minibatch gradient over that of the estimator, ``tr S V`` with the
        covariance ``S`` of the draws; NaN without noise.
    reason : str
        Why there is no prediction.
    """

    inflation: Array | None = None
    efficiency: float = float("nan")
    reason: str = ""


def predict(
    gradients: Gradients, sample: Sample, precision: Array | None, stored: Stored
) -> Predicted:
    r"""Predict the inflation of the variance from the settings of a run.

    The discrete Lyapunov equation of :mod:`pymc_sgld.dynamics.gaussian_law`, with the precision
    of the posterior, and the gradient noise of batches around the draws. The center of a control
    variate, which a run does not store, is taken to be the mean of the draws, and a Laplace
    preconditioner the inverse of the precision or of its diagonal.

    Parameters
    ----------
    gradients : Gradients
        Of the model.
    sample : Sample
        The draws, with gradients at the temperature of the run.
    precision : ndarray, shape (d, d), or None
        Of the posterior to the power 1/T, where it could be measured.
    stored : Stored
        What the run stored.
    """
    names = ("batch_size", "total_size", *WORDS, "placing")
    settings = {name: stored.setting(name) for name in names}
    if stored.is_compound or gradients.density.others:
        return Predicted(reason="several step methods sampled, and a step sees only its own noise")
    if any(value is None for value in settings.values()):
        return Predicted(reason="idata has not the settings of the run")
    if settings["placing"] == UNKNOWN:
        return Predicted(reason="a run does not store the placing of so many terms")
    if not sample.is_dense:
        return Predicted(reason="there are too few gradients for the covariance of the draws")
    if len(gradients.density.tables) > 1:
        return Predicted(reason="observed variables have rows of their own: batches of several")
    try:
        density = _batches(gradients, settings["batch_size"])
    except MinibatchError as error:
        return Predicted(reason=str(error))
    temperature = stored.temperature
    noise, efficiency = _noise(gradients, sample, density, settings)
    if precision is None:
        return Predicted(None, efficiency, "the precision of the posterior is not known")
    matrix = _preconditioner(settings["preconditioner"], temperature * precision)
    if matrix is None:
        reason = f'a run does not store its preconditioner, "{settings["preconditioner"]}"'
        return Predicted(None, efficiency, reason)
    steps = stored.stats["step_size"].to_numpy().ravel()
    some = np.quantile(steps, (np.arange(STEP_SIZES) + 0.5) / STEP_SIZES)
    dynamics, some = dynamics_of(settings["integrator"], stored.setting("friction")).heated(
        some, temperature
    )
    prediction = GaussianLaw(
        precision,
        noise / temperature**2,
        np.asarray(matrix.factor(np.eye(sample.size)), dtype=float).T,
        dynamics,
        *([] if density.full else [slowest_order(density, settings["batching"]).accumulated]),
    )
    exact = np.diag(np.linalg.inv(precision))
    if dynamics.acceptance is None and not some[-1] < dynamics.limit(4, prediction.rates[-1]):
        return Predicted(None, efficiency, "no law is stationary at its largest step size")
    variances = [np.diag(prediction.covariance(step)) for step in np.unique(some)]
    counts = np.unique(some, return_counts=True)[1]
    return Predicted(np.average(variances, axis=0, weights=counts) / exact, efficiency)


def _batches(gradients: Gradients, batch_size: int) -> LogDensity:
    """Return the log density for the batches of the run."""
    if not gradients.density.tables or batch_size >= gradients.data.rows:
        largest = gradients.rows.tables(None).largest
        return gradients.rows.density(largest or None)
    return gradients.rows.density(batch_size)


def _noise(
    gradients: Gradients, sample: Sample, density: LogDensity, settings: dict
) -> tuple[Array, float]:
    """Return the covariance of the estimator, from two halves, and its efficiency."""
    none = np.zeros((2, sample.size, sample.size))
    if density.full:
        return none, float("nan")
    covariance = sample.factor @ sample.factor.T
    spread = Gaussian(sample.mean, Full(np.linalg.inv(covariance)))
    name, others = settings["gradient"], gradients.others(0, -1)
    center: Center | None = None
    if name != "minibatch":
        position = sample.mean.astype(density.position.dtype)
        center = gradients.data.center(position, others, name == "taylor")

    data = gradients.data.batches(density, 2 * POSITIONS * BATCHES)

    def measure(estimator: str) -> Array:
        batches = BatchGradients(data, estimator, center, others, settings["batching"])
        return noise_covariances(batches, spread)

    noise = measure(name)
    if name == "minibatch":
        return noise, 1.0
    plain = np.einsum("ij,kij->", covariance, measure("minibatch"))
    used = np.einsum("ij,kij->", covariance, noise)
    return noise, float(plain / used) if used > 0 else float("inf")


def _preconditioner(name: str, precision: Array) -> Preconditioner | None:
    if name == "identity":
        return Identity()
    return laplace(name, precision, float) if name in LAPLACE else None
