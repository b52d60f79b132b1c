r"""The centre of the posterior from a sample of rows, made right by a few passes over all of them.

A sample of :math:`N_s` of the :math:`N` rows, each of which counts :math:`N / N_s` times, has a
posterior of nearly the right width, whose mean is off by about :math:`\sqrt{N / N_s}` standard
deviations in each coordinate. The search there costs little. Then a pair of points
:math:`m \pm a` of the Gaussian that it found is evaluated on all rows, and

.. math::

    \log p_s(\theta) + t^\top \theta, \qquad
    t = \tfrac12 \sum_\pm \left[\nabla \log p - \nabla \log p_s\right](m \pm a),

takes the place of the sampled log density :math:`\log p_s`: its gradient is right at these points.
The search goes on from there, and what is left of the error is a factor of about
:math:`2 \sqrt{d / N_s}`. Where the curvature of the sample is far off, because it has too few of
some rare rows, a quadratic term makes it right too, coordinate by coordinate: with signs
:math:`z_i = \pm 1` and :math:`a = W z`, the curvature between the two points is :math:`z_i` times
what the gradients say along coordinate :math:`i`, up to what others add to it.

References
----------
Johnson and Zhang (2013), Accelerating stochastic gradient descent using predictive variance
reduction: the linear term. Bekas, Kokiopoulou and Saad (2007), An estimator for the diagonal of a
matrix, section 2: the signs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pymc_sgld.full_data import FullData
from pymc_sgld.tuning.gaussian import NEWS, SPARING, Evaluate, Gaussian, Pair, settle
from pymc_sgld.tuning.shapes import Curvature, Shape

WORTHWHILE = 5  # times the rows of a sample, from which it saves more than it costs
_LEAST, _MOST = 32_768, 262_144  # rows of a sample
_A_COORDINATE, _SHARE = 100, 0.01  # the same, of each coordinate and of all rows
_ROUNDS = 6
_RIGHT = 0.1  # standard deviations that the mean may be off, root mean square
_FAR = 0.5  # relative error of the curvature along one coordinate that has to be made right
_SEED = 20190707  # fixed: what is found is a property of the model, not of a chain


def sample_of(data: FullData, size: int) -> FullData | None:
    """Return a sample of the rows to look for that many coordinates, or None for too few rows."""
    rows = max(_LEAST, _A_COORDINATE * size, min(_MOST, int(_SHARE * data.rows)))
    if data.rows < WORTHWHILE * rows:
        return None
    sample = data.sample(rows)
    return sample if data.rows >= WORTHWHILE * sample.rows else None


@dataclass(frozen=True)
class Correction:
    """A quadratic function of the position, whose derivatives those of a sample lack.

    Parameters
    ----------
    at : ndarray, shape (d,)
        Where it is zero.
    tilt : ndarray, shape (d,)
        Its gradient there.
    shape : Shape
        In whose coordinates ``z`` its Hessian is diagonal.
    bend : ndarray, shape (d,)
        Minus the diagonal.
    """

    at: np.ndarray
    tilt: np.ndarray
    shape: Shape
    bend: np.ndarray

    def evaluate(self, position: np.ndarray) -> tuple[float, np.ndarray]:
        """Return value and gradient."""
        away = position - self.at
        curved = self.curved(away)
        return float(self.tilt @ away - away @ curved / 2), self.tilt - curved

    def curved(self, tangents: np.ndarray) -> np.ndarray:
        """Return minus the products of the Hessian with vectors, row by row."""
        return self.shape.push(self.bend * self.shape.lengths(tangents))


@dataclass(frozen=True)
class Corrected(Curvature):
    """The log density of a sample of rows with corrections, and its curvature."""

    uncorrected: Evaluate
    corrections: tuple[Correction, ...] = ()

    def evaluate(self, position: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the log density and its gradient."""
        value, gradient = self.uncorrected(position)
        for correction in self.corrections:
            more, tilt = correction.evaluate(position)
            value, gradient = value + more, gradient + tilt
        return value, gradient

    def matrix(self, position: np.ndarray) -> np.ndarray:
        """Return all of the curvature, shape (d, d)."""
        unit = np.eye(len(position))
        return super().matrix(position) + sum(each.curved(unit) for each in self.corrections)

    def product(self, position: np.ndarray, tangent: np.ndarray) -> np.ndarray:
        """Return the product of the curvature with a vector."""
        found = super().product(position, tangent)
        return found + sum(each.curved(tangent) for each in self.corrections)


def correct(found: Gaussian, sample: Corrected, evaluate: Evaluate) -> Gaussian | None:
    """Return the Gaussian of all rows, from that of a sample, or None where they differ too much.

    Parameters
    ----------
    found : Gaussian
        The posterior of the sample.
    sample : Corrected
        Its log density.
    evaluate : callable
        The log density of all rows and its gradient; a round calls it twice.
    """
    rng, before = np.random.default_rng(_SEED), 0.0
    for _ in range(_ROUNDS):
        if not found.settled:
            return None
        mean, shape, z = found.mean, found.shape, rng.choice([-1.0, 1.0], size=len(found.mean))
        pair, drawn = (Pair.at(mean, shape, each, z) for each in (evaluate, sample.evaluate))
        if not (pair.is_finite and drawn.is_finite):
            return None
        tilt, bend = pair.gradient - drawn.gradient, z * (pair.bend - drawn.bend)
        wrong = np.abs(bend).max() > _FAR or np.mean(bend**2) > NEWS**2
        bend = np.where(wrong & (np.abs(bend) > _FAR / 2), np.maximum(bend, -0.9), 0.0)
        bent = shape.bent(bend)
        move = bent.pull(tilt)
        apart, nearer = float(np.sqrt(np.mean(move**2))), mean + bent.away(move)
        # what is left of this, if it is the share that was left of what the last round found
        left = apart * min(1.0, apart / before if before else 1.0)
        if not wrong and left < _RIGHT:
            misfit = float(np.mean(pair.bend**2 + (pair.move - move) ** 2))
            misfit = max(found.misfit, misfit)
            return Gaussian(nearer, shape, True, misfit, pair.bound, pair.known)
        before = apart
        correction = Correction(mean, tilt, shape, bend)
        sample = replace(sample, corrections=(*sample.corrections, correction))
        found = settle(nearer, bent, sample.evaluate, sample, SPARING)
    return None
