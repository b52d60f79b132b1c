"""What the user left open: the estimate of the gradient, the batch size, the preconditioner."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from pymc_sgld.arguments import choice
from pymc_sgld.batching import RowOrder, independent, make_order
from pymc_sgld.errors import SettingError, SGLDWarning
from pymc_sgld.full_data import FullData
from pymc_sgld.gradients import ESTIMATORS, Centre, Estimate
from pymc_sgld.minibatch.blocks import BLOCK
from pymc_sgld.minibatch.density import LogDensity
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.monitor.contrast import Bias
from pymc_sgld.monitor.noise import Reading
from pymc_sgld.monitor.verdict import Judge
from pymc_sgld.preconditioners import LAPLACE, Preconditioner, make_preconditioner
from pymc_sgld.schedules import Schedule, constant
from pymc_sgld.tuning.centre import Gaussian, approximate
from pymc_sgld.tuning.noise import (
    POSITIONS,
    BatchGradients,
    missing_in_batches,
    noise_samples,
)
from pymc_sgld.tuning.order import check_order
from pymc_sgld.tuning.shapes import Curvature, Full, Stretched
from pymc_sgld.tuning.step_size import Prediction, WidePrediction, largest_step

BATCH_SIZE, LARGEST_BATCH_SIZE = 128, 1024
_MOST_OF_THE_ROWS = 1 / 4  # that a larger batch may have


INTEGRATORS = ("euler_maruyama", "leimkuhler_matthews")
_LEAST_FACTOR = 0.01  # of a refinement
_MISSING = 0.1  # of a gradient, in posterior standard deviations, that batches may not see
_LARGEST_HESSIAN = 3000  # coordinates: 72 MB a matrix


@dataclass(frozen=True)
class Asked:
    """What the user asked for, by name or by default.

    Attributes
    ----------
    gradient : str
        An estimator.
    preconditioner : str or array
        ``M``.
    batching : str
        How batches are drawn.
    averaged : bool
        Whether the noise is that of Leimkuhler and Matthews.
    bias_target : float
        Tolerated relative inflation of the variance.
    """

    gradient: str
    preconditioner: Any
    batching: str
    averaged: bool
    bias_target: float

    @property
    def by_laplace(self) -> bool:
        """Whether ``M`` comes from the width of the posterior."""
        return isinstance(self.preconditioner, str) and self.preconditioner in LAPLACE


@dataclass(frozen=True)
class Search:
    """Where to look for the posterior.

    Attributes
    ----------
    start : ndarray, shape (d,)
        Where the search begins.
    others : list of ndarray
        Values of the variables that the step does not move.
    center : ndarray, shape (d,), or None
        The point that takes the place of a search.
    names : list of str
        Of the coordinates.
    """

    start: np.ndarray
    others: list[np.ndarray]
    center: np.ndarray | None
    names: list[str]


@dataclass(frozen=True)
class Settings:
    """What a step runs with.

    Attributes
    ----------
    density : LogDensity
        With batches of the size that was chosen.
    gradient : str
    estimate : Estimate
    preconditioner : Preconditioner
    gaussian : Gaussian or None
        The posterior, as far as it is known before sampling.
    step_size : float
        For the bias target.
    updates_apart : int
        Updates after which draws are nearly independent at that step size.
    prediction : Prediction or None
        Of the bias, where ``M`` is not the covariance of the posterior.
    """

    density: LogDensity
    gradient: str
    estimate: Estimate
    preconditioner: Preconditioner
    gaussian: Gaussian | None = None
    step_size: float = np.nan
    updates_apart: int = 1
    prediction: Prediction | None = None


def check_size(size: int, gradient: str) -> None:
    """Refuse to hold the Hessian of very many coordinates."""
    if gradient == "taylor" and size > _LARGEST_HESSIAN:
        raise SettingError(
            f'gradient="taylor" holds a Hessian, and the model has {size} unconstrained '
            f"coordinates: more than {_LARGEST_HESSIAN} would take too much memory. Use the "
            'default, gradient="control_variate".'
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


def refine(judge: Judge, reading: Reading, bias: Bias | None, step_size: float) -> float:
    """Return the factor by which a step size is to be smaller, after what a chain has read.

    The noise is to be within the bias target; what half the step size changed is to be half of
    what would be reported.
    """
    factor = 1.0
    if bias is not None:
        excess = judge.excess(bias)[0]
        factor = min(1.0, 0.5 / excess) if excess > 1 else 1.0
    target = judge.bias_target
    if np.max(judge.added(reading, step_size, factor)) <= 1.25 * target:
        return max(factor, _LEAST_FACTOR)
    low, high = 0.0, factor
    for _ in range(20):
        middle = (low + high) / 2
        within = np.max(judge.added(reading, step_size, middle)) <= target
        low, high = (middle, high) if within else (low, middle)
    return max(low, _LEAST_FACTOR)


def choose(
    rows: Minibatcher,
    density: LogDensity,
    asked: Asked,
    search: Search,
    tunes_step: bool,
    tunes_batch: bool,
) -> Settings:
    """Return the settings of a step: what was asked for, and what was left open.

    A control variate that has more noise than the plain minibatch gradient is not used. Where the
    noise is what makes a chosen step small, batches are larger than ``density`` has them.

    Parameters
    ----------
    rows : Minibatcher
        The model.
    density : LogDensity
        With the batches that the user asked for, or with the smallest.
    asked : Asked
        What the user asked for.
    search : Search
        Where to look for the posterior.
    tunes_step, tunes_batch : bool
        Whether to choose the step size, and the size of a batch.

    Warns
    -----
    SGLDWarning
        Where no centre was found, or the plain gradient takes the place of a control variate.
    """
    dtype = np.dtype(density.position.type.dtype)
    given = None
    if not asked.by_laplace:  # checked before the work begins
        given = make_preconditioner(asked.preconditioner, search.names, dtype)
    expands = asked.gradient != "minibatch" and not density.full
    if given is not None and not tunes_step and not expands:
        if search.center is not None:
            check_center()
        estimate = ESTIMATORS["minibatch"](density, None)
        plain = partial(ESTIMATORS["minibatch"], centre=None)
        check_order(rows, density, plain, search.others, search.start, asked.bias_target)
        return Settings(density, asked.gradient, estimate, given)
    check_size(len(search.start), asked.gradient)
    data = FullData(density if density.full else rows.blocks(BLOCK))
    gaussian = approximate(data, search.start, search.others, search.center)
    matrix = given or gaussian.shape.preconditioner(asked.preconditioner, dtype)
    noise = _Noise(data, gaussian, asked, search, matrix)
    gradient = asked.gradient if density.full else noise.better_estimator(density)
    prediction, estimate = noise.predict(gradient, density)
    largest = largest_step(gaussian.misfit)
    open_size = tunes_batch and not any(term.declared for term in rows.terms)
    if tunes_step and open_size and not density.full:
        larger = _batch_size(density, prediction, asked.bias_target, largest)
        if larger > max(table.batch_size for table in density.tables if not table.full):
            density = rows.density(larger)
            prediction, estimate = noise.predict(gradient, density)
    # a control variate has more noise where draws are spread wider: b becomes b / (1 - b)
    target = asked.bias_target / (1 + asked.bias_target)
    step_size = float(f"{prediction.step_size(target, largest):.3g}")
    apart = prediction.updates_apart(step_size)
    if not density.full:
        noise.check_rare_rows(gradient, density)
        expanded = partial(noise.estimate, gradient)
        check_order(rows, density, expanded, search.others, gaussian, asked.bias_target)
    kept = None if matrix.name == "laplace" else prediction
    return Settings(density, gradient, estimate, matrix, gaussian, step_size, apart, kept)


class _Noise:
    """Measures the noise of estimators around the centre."""

    def __init__(
        self,
        data: FullData,
        gaussian: Gaussian,
        asked: Asked,
        search: Search,
        preconditioner: Preconditioner,
    ) -> None:
        others, self._names = search.others, search.names
        self._data, self._gaussian, self._asked, self._others = data, gaussian, asked, others
        self._preconditioner = preconditioner
        self._rates: np.ndarray | None = None
        self._centre: Centre | None = None

    def better_estimator(self, density: LogDensity) -> str:
        """Return the estimator that was asked for, or the plain one if that has less noise."""
        asked = self._asked.gradient
        if asked == "minibatch":
            return asked
        ratio = self._size(asked, density) / self._size("minibatch", density)
        if ratio <= 1:
            return asked
        warnings.warn(
            f'SGLD: the gradient with gradient="{asked}" has {ratio:.2g} times the variance of the '
            'plain minibatch gradient, which is used instead (gradient="minibatch"). The posterior '
            "is too wide around its centre for the expansion: a reparametrisation may help, or "
            "center= at a point nearer to its mean.",
            SGLDWarning,
            stacklevel=5,
        )
        return "minibatch"

    def predict(self, gradient: str, density: LogDensity) -> tuple[Prediction, Estimate]:
        """Return the bias that an estimator will have, and the estimator."""
        if density.full:
            none = 2 * [np.zeros((1, len(self._gaussian.mean)))]
            return self._prediction(none, independent), ESTIMATORS["minibatch"](density, None)
        noise, estimate = self._measure(gradient, density, POSITIONS)
        accumulated = slowest_order(density, self._asked.batching).accumulated
        return self._prediction(noise, accumulated), estimate

    def _prediction(
        self, noise: list[np.ndarray], accumulated: Callable[[np.ndarray], np.ndarray]
    ) -> Prediction:
        """Return what noise of these samples does."""
        shape, averaged = self._gaussian.shape, self._asked.averaged
        matrix = self._preconditioner
        if isinstance(shape, Full):
            factor = np.asarray(matrix.factor(np.eye(len(shape.precision))), dtype=float).T
            covariances = np.array([half.T @ half for half in noise])
            return Prediction(shape.precision, covariances, factor, averaged, accumulated)
        assert isinstance(shape, Stretched)
        if self._rates is None:
            curvature = Curvature(self._data, self._others, self._gaussian.mean.dtype)
            values = np.abs(shape.spectrum(curvature, self._gaussian.mean, matrix)[0])
            self._rates = np.array([max(values.min(), 1e-6 * values.max()), values.max()])
        pulled = [matrix.pull(half) for half in noise]
        return WidePrediction(self._rates, pulled, averaged, accumulated)

    def check_rare_rows(self, gradient: str, density: LogDensity) -> None:
        """Warn where the batches of the measurement miss rows that the posterior depends on.

        The mean of many estimates is the gradient of all rows, up to its error; rows that are in
        none of the batches are missing in the one and not in the other.
        """
        gaussian = self._gaussian
        gradients = BatchGradients(
            density, self.estimate(gradient, density), self._others, self._asked.batching
        )
        missing = missing_in_batches(self._data, gradients, gaussian, self._others)
        worst = int(np.argmax(missing))
        if missing[worst] > _MISSING:
            warnings.warn(
                f"SGLD: what the data say of {self._names[worst]} is in rows so rare that batches "
                "hardly ever read them: its standard deviation may be far off, and no diagnostic "
                'would see it. Pass gradient="taylor" or a larger batch_size, and compare with '
                "NUTS.",
                SGLDWarning,
                stacklevel=5,
            )

    def _measure(
        self, gradient: str, density: LogDensity, positions: int
    ) -> tuple[list[np.ndarray], Estimate]:
        estimate = self.estimate(gradient, density)
        gradients = BatchGradients(density, estimate, self._others, self._asked.batching)
        return noise_samples(gradients, self._gaussian, positions), estimate

    def estimate(self, gradient: str, density: LogDensity) -> Estimate:
        """Return an estimate, around the centre."""
        if self._centre is None:
            position = self._gaussian.mean.astype(density.position.dtype)
            second_order = self._asked.gradient == "taylor"
            self._centre = self._data.centre(position, self._others, second_order)
        return ESTIMATORS[gradient](density, self._centre)

    def _size(self, gradient: str, density: LogDensity) -> float:
        """Return the trace of M V, from a quick measurement."""
        noise, _ = self._measure(gradient, density, POSITIONS // 4)
        return float(sum((self._preconditioner.pull(half) ** 2).sum() for half in noise)) + 1e-300


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
    size = prediction.size  # as many rows as coordinates cost no more than the coordinates do
    most = min(max(LARGEST_BATCH_SIZE, 2 * size), int(rows * _MOST_OF_THE_ROWS))
    while short > 1.5 and 2 * batch_size <= most:
        batch_size, short = 2 * batch_size, short / 2
    return batch_size
