r"""The posterior of a sample of rows, made that of all rows by a few passes over them.

A sample of :math:`N_s` of the :math:`N` rows, each of which counts :math:`N / N_s` times, has a
posterior of nearly the right width. Its mean is off by about :math:`\sqrt{N / N_s}` standard
deviations in every direction. So a pair of points :math:`m \pm a` of its Gaussian is evaluated on
all rows, and

.. math::

    \log p_s(\theta) + t^\top \theta, \qquad
    t = \tfrac12 \sum_\pm \left[\nabla \log p - \nabla \log p_s\right](m \pm a),

takes the place of the sampled log density :math:`\log p_s`: there its gradient is that of all
rows. The search goes on from there, on the sample. What is left of the error is a share that
the curvature of the sample is off by, about :math:`2 \sqrt{d / N_s}`.

The same points show the curvature. With :math:`a = W z` and signs :math:`z_i = \pm 1`, the
difference of their gradients along a coordinate of :math:`z` is the curvature along it, up to what
the others add by chance. What two pairs agree on is mended. A direction that is no coordinate shows
in how both densities change along :math:`z`: a last pair lies in the direction of the difference,
where a step of power iteration leads. Where the sample is too far off, because it has too few of
some rare rows, it is not used.

References
----------
Johnson and Zhang (2013), Accelerating stochastic gradient descent using predictive variance
reduction: the linear term. Bekas, Kokiopoulou and Saad (2007), An estimator for the diagonal of a
matrix: the signs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.tuning.posterior.curvature import Curvature
from pymc_sgld.tuning.posterior.variational import NEWS, SPARING, Evaluate, Gaussian, Pair, settle

WORTHWHILE = 5  # times the rows of a sample, from which it saves more than it costs
LEAST, MOST = 32_768, 262_144  # rows of a sample
_A_COORDINATE, _SHARE = 100, 0.01  # the same for each coordinate, and of all rows
_ROUNDS = 6
RIGHT = 0.1  # standard deviations that the mean may be off in any direction
FAR = 0.5  # relative error of the curvature in a direction with which it is not used
_SEED = 20190707  # fixed: what is found is a property of the model, not of a chain


def sample_of(data: FullData, size: int) -> FullData | None:
    """Return a sample of the rows, to look for that many coordinates, or None for too few rows."""
    rows = max(LEAST, _A_COORDINATE * size, min(MOST, int(_SHARE * data.rows)))
    if data.rows < WORTHWHILE * rows:
        return None
    sample = data.sample(rows)
    enough = sample.rows >= _A_COORDINATE * size  # of a source there are as many as were kept
    return sample if enough and data.rows >= WORTHWHILE * sample.rows else None


@dataclass(frozen=True)
class Tilted:
    """A log density with a linear function of the position added to it."""

    evaluate: Evaluate
    tilt: np.ndarray

    def __call__(self, position: np.ndarray) -> tuple[float, np.ndarray]:
        """Return its value and its gradient."""
        value, gradient = self.evaluate(position)
        return value + float(self.tilt @ position), gradient + self.tilt


def complete(
    found: Gaussian, of_sample: Evaluate, curvature: Curvature, of_all: Evaluate
) -> Gaussian | None:
    """Return the Gaussian of all rows, from that of a sample; None where they are too different.

    ``of_all``: the log density of all rows, which each round evaluates twice, and the end twice
    more.
    """
    rng = np.random.default_rng(_SEED)
    tilted = Tilted(of_sample, np.zeros(len(found.mean)))
    moved, bend = 0.0, np.zeros(len(found.mean))
    for _ in range(_ROUNDS):
        if not found.settled:
            return None
        mean, shape, z = found.mean, found.shape, rng.choice([-1.0, 1.0], size=len(found.mean))
        pair, drawn = (Pair.at(mean, shape, each, z) for each in (of_all, tilted))
        if not (pair.is_finite and drawn.is_finite):
            return None
        lacks = pair.bend - drawn.bend
        wrong = np.abs(lacks).max() > FAR or np.mean(lacks**2) > NEWS**2
        if wrong and moved:  # once it may be so because the mean is far off
            return None
        mend = np.zeros(len(z)) if wrong else _agreed(bend, z * pair.bend)
        bend = z * pair.bend - mend
        tilt, shape = pair.gradient - drawn.gradient, shape.updated(mend)
        move = shape.whiten_gradient(tilt)
        mean, distance = mean + shape.unwhiten(move), float(np.linalg.norm(move))
        rate = max(float(np.abs(bend).max()), distance / moved if moved else 0.0)
        if not wrong and distance * rate < RIGHT:  # what is left of it
            if _apart(found, lacks, of_all, tilted) > FAR:
                return None
            divergence = float(np.mean(pair.bend**2 + drawn.move**2))
            divergence = max(found.fisher_divergence, divergence)
            return Gaussian(
                mean,
                shape,
                True,
                divergence,
                found.worst,
                pair.bound,
                pair.known,
                by_sample=True,
            )
        moved, tilted = distance, Tilted(of_sample, tilted.tilt + tilt)
        found = settle(mean, shape, tilted, curvature, SPARING)
    return None


def _apart(found: Gaussian, along: np.ndarray, one: Evaluate, other: Evaluate) -> float:
    """Return how far apart the curvatures of two densities are in a direction, relatively."""
    norm = float(np.linalg.norm(along))
    if not norm:
        return 0.0
    pairs = [Pair.at(found.mean, found.shape, each, along / norm) for each in (one, other)]
    return float(np.linalg.norm(pairs[0].bend - pairs[1].bend))


def _agreed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the mean of two measurements, shrunk by as much as they do not agree.

    Their product estimates the square of what they have in common; their mean has half of the
    noise besides. It is the estimate of Efron and Morris (1973), with the noise from the two.
    """
    mean = (one + other) / 2
    share = max(0.0, float(one @ other)) / max(float(mean @ mean), np.finfo(float).tiny)
    return np.clip(share * mean, -FAR, None)
