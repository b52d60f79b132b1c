"""Which estimate of the gradient to use, and the bias that its noise will have."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import scipy

from pymc_sgld.batching.epochs import make_order
from pymc_sgld.batching.order import RowOrder, independent
from pymc_sgld.dynamics.base import Overdamped
from pymc_sgld.dynamics.gaussian_law import GaussianLaw, WideGaussianLaw
from pymc_sgld.errors import warn
from pymc_sgld.gradients import ESTIMATORS
from pymc_sgld.gradients.base import Estimate
from pymc_sgld.minibatch.density import LogDensity
from pymc_sgld.minibatch.full_data import Center, FullData
from pymc_sgld.preconditioners import Preconditioner
from pymc_sgld.tuning.batch_noise import (
    BATCHES,
    POSITIONS,
    BatchGradients,
    bends,
    errors_where_known,
    missing_in_batches,
    noise_samples,
)
from pymc_sgld.tuning.posterior.covariance import Full, Stretched
from pymc_sgld.tuning.posterior.curvature import Curvature
from pymc_sgld.tuning.posterior.subsample import sample_of
from pymc_sgld.tuning.posterior.variational import Gaussian
from pymc_sgld.tuning.settings import Asked, Search

_PAIRS = 8  # of points
_SEED = 20190710  # fixed: what is measured is a property of the model, not of a chain
_MOST_STORED = 100  # coordinates of a gradient that is stored for each group
_MISSING = 0.1  # of a gradient, in posterior standard deviations, that batches may not see


class EstimatorNoise:
    """Measures the noise of estimators around the center."""

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
        self._batches: FullData | None = None
        self._noise: dict[str, tuple[list[np.ndarray], LogDensity]] = {}
        self._drifts: dict[str, float] = {}
        self._compared: list[np.ndarray] = []

    def better_estimator(self, density: LogDensity) -> str:
        """Return the estimator that was asked for, or the plain one if that has less noise."""
        asked = self._asked.gradient
        if asked == "minibatch":
            return asked
        plain = self._measure("minibatch", density, POSITIONS // 4)
        ratio = self._size(self._noise_of(asked, density)[0]) / self._size(plain)
        if ratio <= 1:
            return asked
        warn(
            f'{self._asked.sampler}: the gradient with gradient="{asked}" has {ratio:.2g} times '
            "the variance of the plain minibatch gradient, which is used instead "
            '(gradient="minibatch"). The posterior is too wide for gradients at its center to '
            "help: reparametrise the model, or pass center= with a point nearer to its mean."
        )
        return "minibatch"

    def predict(self, gradient: str, density: LogDensity) -> GaussianLaw:
        """Return the bias that an estimator will have.

        The noise is measured once. Larger batches have less, by their size: a little less than
        that where they are a good part of the rows, without replacement.
        """
        if density.full:
            none = 2 * [np.zeros((1, len(self._gaussian.mean)))]
            return self._prediction(none, independent)
        accumulated = slowest_order(density, self._asked.batching).accumulated
        return self._prediction(self.errors(gradient, density), accumulated)

    def errors(self, gradient: str, density: LogDensity) -> list[np.ndarray]:
        """Return errors of an estimate: two times those whose squares add up to its covariance."""
        noise, measured = self._noise_of(gradient, density)
        larger = largest_batch(density) / largest_batch(measured)
        return [half / np.sqrt(larger) for half in noise]

    def mean_shift(self, prediction: GaussianLaw, step_size: float) -> float:
        r"""Return how far off means will be because variances are, in the worst coordinate.

        The noise makes a covariance :math:`\Sigma` of :math:`P^{-1}`. Where the density is not
        quadratic, as in the logarithm of the scale of many effects, the mean gradient of draws that
        are spread wider is not zero, and the mean moves by

        .. math::

            P^{-1} \left( E_{N(m, \Sigma)} - E_{N(m, P^{-1})} \right) \nabla \log p ,

        here with the same pairs of random points for both. A little noise in each of many
        effects adds up to much in what all of them have in common.

        In posterior standard deviations.
        """
        gaussian, shape = self._gaussian, self._gaussian.shape
        z = np.random.default_rng(_SEED).standard_normal((_PAIRS, len(gaussian.mean)))
        if isinstance(shape, Full):
            covariances = shape.whitener @ shape.whitener.T, prediction.covariance(step_size)
            exact, wider = (z @ np.linalg.cholesky(each).T for each in covariances)
        else:
            assert isinstance(prediction, WideGaussianLaw)
            factor = self._preconditioner.factor
            exact, wider = factor(z), factor(z * np.sqrt(1 + prediction.added(step_size)))
        curvature = self._curvature

        def mean_gradient(displacements: np.ndarray) -> np.ndarray:
            places = gaussian.mean + np.concatenate([displacements, -displacements])
            return np.mean([curvature.gradient(place) for place in places], axis=0)

        with np.errstate(all="ignore"):
            moved = gaussian.moves(mean_gradient(wider) - mean_gradient(exact))
        return float(np.nan_to_num(np.abs(moved)).max())

    def steady_step(
        self, gradient: str, density: LogDensity, rate: float, tolerance: float
    ) -> float:
        r"""Return the largest step size at which the order of an epoch leaves means where they are.

        The order is random, but no batch comes twice, so that an epoch moves by

        .. math::

            -\tfrac{\varepsilon}{4} E[H_B M \xi_B]
            = -\tfrac{\varepsilon}{8} \nabla \operatorname{tr}(M V)

        an update beside the gradient: to where gradients have less noise (the modified loss of
        Smith, Dherin, Barrett and De 2021, with the learning rate :math:`\varepsilon M / 2`).
        Many group effects pull the scale that they share in one direction. In an epoch of K batches
        that is longer than a chain remembers it is less: with :math:`a = \varepsilon r / 2`, the
        share of where it was that a chain forgets in an update, by the factor

        .. math:: \frac{2}{(K - 1) a} \left(1 - \frac{1 - (1 - a)^K}{K a}\right) .

        Parameters
        ----------
        rate : float
            ``r``, an eigenvalue of ``M P``.
        tolerance : float
            In posterior standard deviations of the worst coordinate.
        """
        overdamped = isinstance(self._asked.dynamics, Overdamped)
        if density.full or self._asked.batching != "reshuffle" or not overdamped:
            return np.inf
        drift = self._drift(gradient, density)
        batches = max(2.0, max(t.total_size / t.batch_size for t in density.tables))

        def moved(step_size: float) -> float:
            forgets = min(1.0, step_size * rate / 2)
            left = (1 - (1 - forgets) ** batches) / (batches * forgets)
            return drift * step_size * 2 / (batches - 1) / forgets * (1 - left)

        high = 2 / rate
        if moved(high) <= tolerance:
            return np.inf
        return float(scipy.optimize.brentq(lambda x: moved(x) - tolerance, 1e-6 * high, high))

    def _drift(self, gradient: str, density: LogDensity) -> float:
        """Return how far the mean of the worst coordinate moves, for a step size of one.

        In posterior standard deviations; with epochs that are short beside what a chain remembers.
        """
        measured = self._noise_of(gradient, density)[1]
        if gradient not in self._drifts:
            batches = self._gradients(gradient, measured)
            found = bends(batches, self._gaussian, self._preconditioner)
            moved = np.nan_to_num(self._gaussian.moves(found) / 4)
            # the coordinate that is the worst in one half is judged by the other
            worst = np.argmax(np.abs(moved), axis=1)
            judged = [np.sign(moved[i, k]) * moved[1 - i, k] for i, k in enumerate(worst)]
            self._drifts[gradient] = max(0.0, float(np.mean(judged)))
        return self._drifts[gradient] * largest_batch(measured) / largest_batch(density)

    def with_rows_at_center(self, gradient: str, density: LogDensity) -> LogDensity:
        """Return a density whose groups have their gradients at the center stored.

        They are a control variate whatever their error is: what is subtracted from a batch is added
        again for all of them. Where there are many coordinates, they are computed in every update.
        """
        if gradient != "control_variate" or len(self._gaussian.mean) > _MOST_STORED:
            return density
        center, found = self.center, {}
        for i, table in enumerate(density.tables):
            if table.groups and not table.full:
                found[i] = self._data.gradients_of_rows(1 + i, center.position, center.others)
        return density.with_rows_at_center(found)

    def estimate(self, gradient: str, density: LogDensity) -> Estimate:
        """Return an estimate, around the center."""
        return ESTIMATORS[gradient](density, None if density.full else self.center, self._data)

    def _prediction(
        self, noise: list[np.ndarray], accumulated: Callable[[np.ndarray], np.ndarray]
    ) -> GaussianLaw:
        """Return what noise of these samples does."""
        shape, dynamics = self._gaussian.shape, self._asked.dynamics
        matrix = self._preconditioner
        if isinstance(shape, Full):
            factor = np.asarray(matrix.factor(np.eye(len(shape.precision))), dtype=float).T
            covariances = np.array([half.T @ half for half in noise])
            return GaussianLaw(shape.precision, covariances, factor, dynamics, accumulated)
        assert isinstance(shape, Stretched)
        if self._rates is None:
            spectrum = shape.spectrum(self._curvature, self._gaussian.mean, matrix)
            values = np.abs(spectrum[0])
            self._rates = np.array([max(values.min(), 1e-6 * values.max()), values.max()])
        pulled = [matrix.whiten_gradient(half) for half in noise]
        return WideGaussianLaw(self._rates, pulled, dynamics, accumulated)

    def check_rare_rows(self, gradient: str, density: LogDensity) -> None:
        """Warn where the batches of the measurement miss rows that the posterior depends on.

        The mean of many estimates is the gradient of all rows, up to its error; rows that are in
        none of the batches are missing in the one and not in the other.
        """
        found = self._compared
        if gradient in self._noise or not found:
            measured = self._noise_of(gradient, density)[1]
            batches = BATCHES * largest_batch(density) // largest_batch(measured)  # as many rows
            found = self._compare(gradient, measured, batches)
        missing = missing_in_batches(found, self._gaussian)
        worst = int(np.argmax(missing))
        if missing[worst] > _MISSING:
            warn(
                f"{self._asked.sampler}: {self._names[worst]} depends on rows so rare that "
                "batches hardly ever read them: its standard deviation may be far off, "
                'and no diagnostic would see it. Pass gradient="taylor" or a larger batch_size, '
                "and compare with NUTS."
            )

    def size(self, gradient: str, density: LogDensity) -> float:
        """Return the trace of M V for an estimator that was measured."""
        return self._size(self.errors(gradient, density)) / 2

    def size_where_known(self, gradient: str, density: LogDensity) -> float:
        """Return the same where the gradient of all rows is known, by much less work."""
        self._compared = self._compare(gradient, density, BATCHES)
        count = sum(len(each) for each in self._compared)
        estimator = ESTIMATORS[gradient]
        return estimator.noise * self._size(self._compared) / count

    def inflation_where_known(self, gradient: str, density: LogDensity, step_size: float) -> float:
        """Return how much the variance of the worst direction is inflated, by the same errors.

        Where M is the covariance of the posterior, so that all directions have one rate.
        """
        middle, root = len(self._compared) // 2, np.sqrt(ESTIMATORS[gradient].noise)
        noise = [
            np.concatenate([self._preconditioner.whiten_gradient(each) for each in half])
            for half in (self._compared[:middle], self._compared[middle:])
        ]
        noise = [root * half / np.sqrt(len(half)) for half in noise]
        accumulated = slowest_order(density, self._asked.batching).accumulated
        law = WideGaussianLaw(np.ones(2), noise, self._asked.dynamics, accumulated)
        return law.inflation(step_size)

    def _compare(self, gradient: str, density: LogDensity, batches: int) -> list[np.ndarray]:
        gradients = self._gradients(gradient, density)
        return errors_where_known(self._data, gradients, self._gaussian, self._others, batches)

    def _noise_of(self, gradient: str, density: LogDensity) -> tuple[list[np.ndarray], LogDensity]:
        """Return the noise of an estimator, and the batches that it was measured with."""
        if gradient not in self._noise:
            noise = self._measure(gradient, density, POSITIONS)
            estimator, shape = ESTIMATORS[gradient], self._gaussian.shape
            noise = [np.sqrt(estimator.noise) * half for half in noise]
            if estimator.own and isinstance(shape, Full):  # of more coordinates a chain will tell
                roots = shape.preconditioner("laplace", np.dtype(float)).dual(
                    np.eye(noise[0].shape[1])
                )
                noise = [np.concatenate([half, np.sqrt(estimator.own) * roots]) for half in noise]
            self._noise[gradient] = noise, density
        return self._noise[gradient]

    def _measure(self, gradient: str, density: LogDensity, positions: int) -> list[np.ndarray]:
        return noise_samples(self._gradients(gradient, density), self._gaussian, positions)

    def _gradients(self, gradient: str, density: LogDensity) -> BatchGradients:
        """Return what evaluates an estimate batch by batch."""
        if self._batches is None:
            calls = 2 * POSITIONS * BATCHES
            self._batches = self._data.batches(density, calls)
        return BatchGradients(
            self._batches, gradient, self.center, self._others, self._asked.batching
        )

    @property
    def _curvature(self) -> Curvature:
        """Of all rows, or of the sample that the Gaussian comes from."""
        data = self._data
        if self._gaussian.by_sample:
            data = sample_of(data, len(self._gaussian.mean)) or data
        return Curvature(data, self._others)

    @cached_property
    def center(self) -> Center:
        """The center, with what estimators need there."""
        known = self._gaussian.center
        if known is not None and self._asked.gradient != "taylor":  # which needs Hessians there
            return known
        position = self._gaussian.mean.astype(self._data.dtype)
        return self._data.center(position, self._others, self._asked.gradient == "taylor")

    def _size(self, noise: list[np.ndarray]) -> float:
        """Return the trace of M V."""
        return (
            float(sum((self._preconditioner.whiten_gradient(half) ** 2).sum() for half in noise))
            + 1e-300
        )


def largest_batch(density: LogDensity) -> int:
    """Return the rows of the largest batch, the rows of groups counted together."""
    of_groups = sum(t.batch_size * t.rows_each for t in density.tables if t.groups)
    others = [t.batch_size for t in density.tables if not t.full and not t.groups]
    return max([round(of_groups), *others])


def slowest_order(density: LogDensity, batching: str) -> RowOrder:
    """Return the order of the rows of the table with the longest epochs."""
    batched = [table for table in density.tables if not table.full]
    longest = max(batched, key=lambda table: table.scale)
    return make_order(batching, longest.total_size, longest.batch_size)
