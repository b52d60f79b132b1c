r"""The Gaussian of an earlier run, made that of these data by a pass over them, or refused.

There may be more rows than there were, or others. So the old Gaussian :math:`N(m, W W^\top)` is
verified: one pass evaluates the gradients of all rows at :math:`m` and at pairs of points
:math:`m \pm W z`. In the coordinates :math:`z` a posterior that it fits has the Hessian
:math:`-I`, and the pairs tell what it has beyond,

.. math::

    E z = \tfrac12 W^\top \left[\nabla \log p(m - W z) - \nabla \log p(m + W z)\right] - z .

More rows make all of it narrower: the growth :math:`c = \operatorname{tr} E / d` is taken into
the width, the mean makes a step of Newton's method, and the rest :math:`E - c I` has to be small.
Signs :math:`z_i = \pm 1` show it on average, and what two of them agree on is that of a coordinate;
the directions where it is greatest are looked for on a sample of the rows, where gradients are
cheap. What the step leaves of the error of the mean is
the share of it that :math:`E - c I` is.

Where the width does not fit, its Hessian is taken again, of the sample if there is one, and where
the mean has moved far, the next pass begins there. What a few passes do not settle is refused, and
so is a posterior that a new Hessian does not fit either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pymc_sgld.minibatch.full_data import Center, FullData
from pymc_sgld.tuning.posterior.covariance import Shape, lanczos
from pymc_sgld.tuning.posterior.curvature import Curvature
from pymc_sgld.tuning.posterior.subsample import FAR, RIGHT, sample_of
from pymc_sgld.tuning.posterior.variational import NEWS, Gaussian, Pair, Value

_PASSES = 4
_PRODUCTS = 8  # with a Hessian of the sample, to find where it is off
_MOVED = 0.5  # standard deviations, root mean square, beyond which a center is not near the mean
_AS_BEFORE = 1.5  # times the Fisher divergence that there was
_LEAST = 0.1  # of the precision that has to be left
_SEED = 20191130  # fixed: what is found is a property of the model, not of a chain


def verified(data: FullData, earlier: Gaussian, others: list[np.ndarray]) -> Gaussian | None:
    """Return the Gaussian of all rows from an earlier one, or None where that does not fit.

    Its ``center`` is a point near the mean, where the gradients of all rows are known.
    """
    rng = np.random.default_rng(_SEED)
    mean, shape = earlier.mean, earlier.shape
    sample = sample_of(data, len(mean))
    part = Curvature(sample or data, others)
    taken_again = False
    for _ in range(_PASSES):
        z = rng.choice([-1.0, 1.0], (2, len(mean)))
        looked = _Look.at(data, mean, shape, z, _directions(part, mean, shape), others)
        if looked is None or (taken_again and not looked.fits(earlier)):
            return None
        center, mean = mean, mean + shape.unwhiten(looked.step)
        taken_again = not looked.fits(earlier)
        if taken_again:
            try:
                shape = type(shape).at(part, mean)
            except np.linalg.LinAlgError:  # no curvature there
                return None
            continue
        grown = shape.updated(np.full(len(mean), looked.growth))
        if looked.is_right:
            drawn = [Pair.at(center, shape, part.evaluate, each) for each in z] if sample else []
            return looked.gaussian(mean, grown, earlier, looked.is_like(drawn))
        shape = grown
    return None


@dataclass(frozen=True)
class _Look:
    """What a pass shows of a Gaussian."""

    center: Center  # its mean
    signs: list[Pair]  # the width on average
    lacks: list[np.ndarray]  # ``(E - c) z`` of these, by the new width
    worst: float  # the same in single directions and coordinates, for ``z`` of the length one
    growth: float  # ``c``

    @classmethod
    @np.errstate(all="ignore")
    def at(
        cls,
        data: FullData,
        mean: np.ndarray,
        shape: Shape,
        z: np.ndarray,
        directions: np.ndarray,
        others: list[np.ndarray],
    ) -> _Look | None:
        """Read all rows once; None where there is no density."""
        every = np.concatenate([z, directions])
        away = shape.unwhiten(every)
        at = mean.astype(data.dtype)
        found = data.gradients_at([at, *(mean + away), *(mean - away)], others)
        center = Center(at, list(others), found[0][1])
        sums: list[Value] = [(float(v.sum()), g.sum(axis=0)) for v, g in found[1:]]
        values = zip(every, sums[: len(every)], sums[len(every) :], strict=True)
        pairs = [Pair.of(mean, shape, *each) for each in values]
        numbers = [found[0][0].sum(), center.gradients.sum(), *[pair.bound for pair in pairs]]
        if not (np.isfinite(numbers).all() and all(pair.is_finite for pair in pairs)):
            return None
        signs, single = pairs[: len(z)], pairs[len(z) :]
        growth = float(np.mean([each @ pair.bend for each, pair in zip(z, signs, strict=True)]))
        growth = max(growth / len(mean), _LEAST - 1)

        def lack(pair: Pair, of: np.ndarray) -> np.ndarray:
            return (pair.bend - growth * of) / (1 + growth)

        worst = [np.linalg.norm(lack(*each)) for each in zip(single, directions, strict=True)]
        lacks = [lack(*each) for each in zip(signs, z, strict=True)]
        one, other = z * lacks  # of a coordinate, and what the others add by chance
        agreed = np.where(one * other > 0, np.minimum(np.abs(one), np.abs(other)), 0.0)
        return cls(center, signs, lacks, float(max(*worst, agreed.max())), growth)

    @property
    def step(self) -> np.ndarray:
        """That of Newton's method, in standard deviations, shape (d,).

        Shrunk by as much as two pairs do not agree: on a Gaussian they do.
        """
        one, other = (pair.move for pair in self.signs)
        mean = (one + other) / 2
        share = max(0.0, float(one @ other)) / max(float(mean @ mean), np.finfo(float).tiny)
        return share * mean / (1 + self.growth)

    def fits(self, earlier: Gaussian) -> bool:
        """Whether the width is right but for its growth, or as right as it was."""
        most = max(NEWS**2, _AS_BEFORE * earlier.fisher_divergence)
        return bool(np.mean(np.square(self.lacks)) <= most and self.worst <= FAR)

    @property
    def is_right(self) -> bool:
        """Whether the mean is right after the step, as where a search ends, and the center near."""
        distance = float(np.linalg.norm(self.step))
        rate = max(self.worst, float(np.abs(self.lacks).max()))
        root = np.sqrt(len(self.step))
        return distance <= _MOVED * root and distance * rate < RIGHT * root

    def is_like(self, drawn: list[Pair]) -> bool:
        """Whether the curvature of a sample of the rows, if there is one, is like that of all."""
        pairs = zip(drawn, self.signs, strict=False)
        apart = np.array([one.bend - other.bend for one, other in pairs])
        return bool(len(apart) and np.abs(apart).max() <= FAR and np.mean(apart**2) <= NEWS**2)

    def gaussian(
        self, mean: np.ndarray, shape: Shape, earlier: Gaussian, by_sample: bool
    ) -> Gaussian:
        """Return the Gaussian that was seen to fit."""
        step = self.step * (1 + self.growth)
        left = [
            pair._replace(bend=lack, move=(pair.move - step) / np.sqrt(1 + self.growth))
            for pair, lack in zip(self.signs, self.lacks, strict=True)
        ]
        worst = np.mean([pair.by_coordinate(shape) for pair in left], axis=0).max()
        divergence = float(np.mean([pair.fisher_divergence for pair in left]))
        return replace(
            earlier,
            mean=mean,
            shape=shape,
            settled=True,
            fisher_divergence=max(earlier.fisher_divergence, divergence),
            worst=max(earlier.worst, float(worst)),
            elbo=float(np.mean([pair.bound for pair in self.signs])),
            known=tuple(known for pair in self.signs[-2:] for known in pair.known),
            by_sample=by_sample,
            center=self.center,
        )


def _directions(part: Curvature, mean: np.ndarray, shape: Shape) -> np.ndarray:
    """Return where the width is most unlike that of a sample: rows of the length one."""

    def product(z: np.ndarray) -> np.ndarray:
        return np.nan_to_num(Pair.at(mean, shape, part.evaluate, z).bend, posinf=0, neginf=0)

    values, vectors = lanczos(product, len(mean), _PRODUCTS)
    ends = {int(np.argmin(values)), int(np.argmax(values))}
    return vectors[:, sorted(ends)].T
