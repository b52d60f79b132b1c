"""What the user left open: the estimate of the gradient, the batch size, the preconditioner."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pymc_sgld.arguments import choice
from pymc_sgld.batching import RowOrder, make_order
from pymc_sgld.errors import SettingError, SGLDWarning
from pymc_sgld.full_data import FullData
from pymc_sgld.gradients import ESTIMATORS, Centre, Estimate
from pymc_sgld.minibatch.density import LogDensity
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.monitor.noise import Reading
from pymc_sgld.monitor.verdict import Judge
from pymc_sgld.preconditioners import LAPLACE, Preconditioner, laplace, make_preconditioner
from pymc_sgld.schedules import Schedule, constant
from pymc_sgld.tuning.centre import Gaussian
from pymc_sgld.tuning.noise import POSITIONS, BatchGradients, noise_covariances
from pymc_sgld.tuning.step_size import Prediction, largest_step

BATCH_SIZE, LARGEST_BATCH_SIZE = 128, 1024
_MOST_OF_THE_ROWS = 1 / 4  # that a larger batch may have


@dataclass(frozen=True)
class Choice:
    """An estimate of the gradient, and the bias that it will have."""

    density: LogDensity
    gradient: str
    estimate: Estimate
    prediction: Prediction


@dataclass(frozen=True)
class Posterior:
    """What is known of the posterior before sampling.

    Attributes
    ----------
    gaussian : Gaussian
        Where it is, and how wide.
    data : FullData
        Passes over the data.
    center : ndarray, shape (d,)
        Where control variates expand.
    others : list of ndarray
        Values of the variables that the step does not move.
    """

    gaussian: Gaussian
    data: FullData
    center: np.ndarray
    others: list[np.ndarray]

    def centre(self, gradient: str) -> Centre:
        """Return what an estimator needs at the centre."""
        return self.data.centre(self.center, self.others, second_order=gradient == "taylor")


INTEGRATORS = ("euler_maruyama", "leimkuhler_matthews")
LARGEST_SIZE = 3000  # coordinates whose covariance is computed: 72 MB a matrix


def check_size(size: int) -> None:
    """Refuse to hold the covariance of very many coordinates."""
    if size > LARGEST_SIZE:
        raise SettingError(
            f"the model has {size} unconstrained coordinates, and the covariance of more than "
            f'{LARGEST_SIZE} is not computed. Pass gradient="minibatch", a step_size, and '
            'preconditioner="identity" or an array.'
        )


def check_center() -> None:
    """Refuse a centre that nothing is computed at."""
    raise SettingError(
        "center= is the point of a control variate and of the covariance, and these settings use "
        'neither: leave it out, or use gradient="control_variate" or preconditioner="laplace". '
        "initvals of pm.sample is where chains start."
    )


def choose_integrator(integrator: str | None, schedule: Schedule | None, gradient: str) -> str:
    """Return the name of an integrator that goes with the step size and the gradient."""
    is_constant = schedule is None or isinstance(schedule, constant)
    if integrator is None:
        averaged = is_constant and gradient != "minibatch"
        return "leimkuhler_matthews" if averaged else "euler_maruyama"
    choice("integrator", integrator, INTEGRATORS)
    if integrator == "leimkuhler_matthews" and not is_constant:
        raise SettingError(
            'integrator="leimkuhler_matthews" is for a constant step size. Pass '
            '"euler_maruyama" with a schedule.'
        )
    return integrator


def slowest_order(density: LogDensity, batching: str) -> RowOrder:
    """Return the order of the rows of the table with the longest epochs."""
    batched = [table for table in density.tables if not table.full]
    longest = max(batched, key=lambda table: table.scale)
    return make_order(batching, longest.total_size, longest.batch_size)


def refine(judge: Judge, reading: Reading, step_size: float, bias_target: float) -> float:
    """Return the factor by which a step size is to be smaller, after what a chain has read."""
    added = float(np.nanmax(judge.added(reading, step_size)))
    if not added > 1.25 * bias_target:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        smaller = float(np.nanmax(judge.added(reading, step_size, middle)))
        low, high = (middle, high) if smaller <= bias_target else (low, middle)
    return max(low, 1e-3)


def choose_preconditioner(
    value: Any, gaussian: Gaussian | None, names: Sequence[str], dtype: Any
) -> Preconditioner:
    """Return the preconditioner that the user named, or gave."""
    if isinstance(value, str) and value in LAPLACE and gaussian is not None:
        return laplace(value, gaussian.precision, dtype)
    return make_preconditioner(value, names, dtype)


def choose_estimate(
    rows: Minibatcher,
    density: LogDensity,
    posterior: Posterior,
    gradient: str,
    preconditioner: Preconditioner,
    batching: str,
    averaged: bool,
    bias_target: float | None,
) -> Choice:
    """Return the estimate of the gradient, with the noise that was measured.

    A control variate that has more noise than the plain minibatch gradient is not used. Where the
    noise is what makes steps small, batches are larger than ``density`` has them.

    Parameters
    ----------
    rows : Minibatcher
        The model.
    density : LogDensity
        With the batches that the user asked for, or with the smallest.
    posterior : Posterior
        Around its centre the noise is measured.
    gradient : str
        The estimator that the user asked for.
    preconditioner : Preconditioner
        ``M``.
    batching : str
        How batches are drawn.
    averaged : bool
        Whether the noise is that of Leimkuhler and Matthews.
    bias_target : float or None
        The tolerated inflation, where the batch size may be chosen for it.

    Warns
    -----
    SGLDWarning
        Where the plain gradient takes the place of a control variate.
    """
    gaussian = posterior.gaussian
    size = len(gaussian.mean)
    factor = np.asarray(preconditioner.factor(np.eye(size)), dtype=float).T

    def predict(density: LogDensity, noise: np.ndarray) -> Prediction:
        accumulated = slowest_order(density, batching).accumulated
        return Prediction(gaussian.precision, noise, factor, averaged, accumulated)

    if density.full:
        estimate, none = ESTIMATORS["minibatch"](density, None), np.zeros((2, size, size))
        prediction = Prediction(gaussian.precision, none, factor, averaged)
        return Choice(density, gradient, estimate, prediction)

    def noise_of(name: str, density: LogDensity, positions: int = POSITIONS) -> np.ndarray:
        estimate = ESTIMATORS[name](density, centre)
        gradients = BatchGradients(density, estimate, posterior.others, batching)
        return noise_covariances(gradients, gaussian, positions)

    centre = posterior.centre(gradient)
    noise = noise_of(gradient, density)
    if gradient != "minibatch":
        plain = noise_of("minibatch", density, POSITIONS // 4)
        ratio = _size(noise, factor) / _size(plain, factor)
        if ratio > 1:
            warnings.warn(
                f'SGLD: the gradient with gradient="{gradient}" has {ratio:.2g} times the variance '
                'of the plain minibatch gradient, which is used instead (gradient="minibatch"). '
                "The posterior is too wide around its centre for the expansion: a "
                "reparametrisation may help, or center= at a point nearer to its mean.",
                SGLDWarning,
                stacklevel=4,
            )
            gradient, noise = "minibatch", noise_of("minibatch", density)
    prediction = predict(density, noise)
    if bias_target is not None and not any(term.declared for term in rows.terms):
        larger = _batch_size(density, prediction, bias_target, largest_step(gaussian.misfit))
        if larger > density.tables[0].batch_size:
            density = rows.density(larger)
            prediction = predict(density, noise_of(gradient, density))
    return Choice(density, gradient, ESTIMATORS[gradient](density, centre), prediction)


def _size(noise: np.ndarray, factor: np.ndarray) -> float:
    """Return the trace of M V."""
    return float(np.trace(factor.T @ noise.mean(axis=0) @ factor)) + np.finfo(float).tiny


def _batch_size(
    density: LogDensity, prediction: Prediction, bias_target: float, largest: float
) -> int:
    """Return the batch size whose noise no longer limits the step, or the largest.

    As long as it does, the step is about proportional to the size: the rows that a draw reads stay
    the same, and the updates become fewer.
    """
    batch_size = max(table.batch_size for table in density.tables if not table.full)
    rows = max(table.total_size for table in density.tables)
    high = largest / prediction.rates[-1]
    short = high / prediction.step_size(bias_target, largest)
    most = min(LARGEST_BATCH_SIZE, int(rows * _MOST_OF_THE_ROWS))
    while short > 1.5 and 2 * batch_size <= most:
        batch_size, short = 2 * batch_size, short / 2
    return batch_size
