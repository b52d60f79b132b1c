r"""Minus the Hessian of a log density, by differences of its gradients.

A column takes one gradient. In a model with groups most of the matrix is known to be zero: the
effects of two counties are in no row together. So the entries of a long variable are moved at once
(Curtis, Powell and Reid 1974), which gives the diagonal of its block; its other entries stand in
the columns of the other variables, because the matrix is symmetric. Whether a variable is of this
kind is not read from the model but tried: a product with random numbers must come out right, and
if it does not, each column is found by itself.

A displacement of :math:`h` standard deviations along a coordinate, with
:math:`h = \sqrt[3]{\text{machine epsilon}}`, is large enough that rounding does not matter, and so
small that the curvature hardly changes on the way. It is longer where numbers of the size of the
position are so far apart that it would be lost.

References
----------
Curtis, Powell and Reid (1974), On the estimation of sparse Jacobian matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pymc_sgld.minibatch.full_data import FullData

_LONG = 16  # entries of a variable, from which it may save something to move them together
_RIGHT = 1e-3  # relative error with which a product comes out right
_SPACINGS = 8  # from one number to the next, that a displacement is long at least
_NEAR, _FAR = 1e-8, 0.02  # standard deviations that a displacement may be short and long
_SEED = 20190708  # fixed: what is found is a property of the model, not of a chain


@dataclass
class Curvature:
    """Minus the Hessian of the log density, by passes over the data."""

    data: FullData  # the log density
    others: Sequence[np.ndarray]  # values of the variables that the step does not move
    _candidates: list[list[np.ndarray]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._candidates = _candidates(self.data)

    @property
    def dtype(self) -> Any:
        """Of the positions where gradients are evaluated."""
        return self.data.dtype

    @property
    def may_have_groups(self) -> bool:
        """Whether there is a long variable whose entries do not know of each other, as of now."""
        return bool(self._candidates[0])

    def gradient(self, position: np.ndarray) -> np.ndarray:
        """Return the gradient of the log density, shape (d,)."""
        return self.evaluate(position)[1]

    def evaluate(self, position: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the log density, and its gradient, shape (d,)."""
        values, gradients = self.data.gradients(position, self.others)
        return float(values.sum()), gradients.sum(axis=0)

    def product(self, position: np.ndarray, tangent: np.ndarray) -> np.ndarray:
        """Return the product with a vector of about the size of a standard deviation."""
        share = self._share_of(position, tangent)
        above, below = (position + sign * share * tangent for sign in (1, -1))
        between = _length(above.astype(self.dtype) - below.astype(self.dtype), tangent)
        return (self.gradient(below) - self.gradient(above)) / between

    def matrix(self, position: np.ndarray, deviations: np.ndarray | None = None) -> np.ndarray:
        """Return all of it, shape (d, d).

        ``deviations``, shape (d,): standard deviations of the coordinates given the others, as far
        as they are known: by default they are found.
        """
        with np.errstate(all="ignore"):
            here = self.gradient(position)
            if deviations is not None:
                return self._matrix(position, here, deviations)
            return self._find_deviations(position, here)

    def _find_deviations(self, position: np.ndarray, here: np.ndarray) -> np.ndarray:
        """Return the matrix, by displacements that were made to fit it."""
        deviations = np.maximum(1.0, np.abs(position))
        for _ in range(3):
            found = self._matrix(position, here, deviations)
            right = 1 / np.sqrt(np.abs(np.diag(found)))
            moved = self._share * deviations / right
            wrong = ~((moved > _NEAR) & (moved < _FAR)) & np.isfinite(right) & (right > 0)
            if not wrong.any():
                break
            deviations = np.where(wrong, right, deviations)
        return found

    @property
    def _share(self) -> float:
        """How many standard deviations a displacement is long."""
        return float(np.cbrt(np.finfo(self.dtype).eps))

    def _share_of(self, position: np.ndarray, tangent: np.ndarray) -> float:
        """Return how many times a vector a displacement is that is not lost by rounding."""
        moved = tangent != 0
        spacing = np.spacing(np.abs(position[moved]).astype(self.dtype)).astype(float)
        least = _SPACINGS * spacing / np.abs(tangent[moved])
        return max(self._share, float(least.max(initial=0.0)))

    def _matrix(self, position: np.ndarray, here: np.ndarray, deviations: np.ndarray) -> np.ndarray:
        signs = np.random.default_rng(_SEED).choice([-1.0, 1.0], size=len(position)) * deviations
        expected = None
        while True:
            together = self._candidates[0]
            found = self._by_columns(position, here, deviations, together)
            if not together:
                return found
            expected = self._column(position, here, signs) if expected is None else expected
            apart = deviations * (found @ signs - expected)
            if not np.linalg.norm(apart) > _RIGHT * np.linalg.norm(deviations * expected):
                return found
            self._candidates.pop(0)

    def _by_columns(
        self,
        position: np.ndarray,
        here: np.ndarray,
        deviations: np.ndarray,
        together: Sequence[np.ndarray],
    ) -> np.ndarray:
        """Return the matrix; of variables that are moved together, diagonals of blocks."""
        size = len(position)
        found, alone = np.zeros((size, size)), np.ones(size, bool)
        for entries in together:
            alone[entries] = False
            column = self._column(position, here, _only(entries, deviations))
            for others in together:  # of one length: effects of the same groups
                if len(others) == len(entries):
                    found[others, entries] = column[others] / deviations[entries]
        for i in np.flatnonzero(alone):
            found[:, i] = self._column(position, here, _only(i, deviations)) / deviations[i]
        grouped = ~alone
        found[np.ix_(alone, grouped)] = found[np.ix_(grouped, alone)].T
        return (found + found.T) / 2

    def _column(self, position: np.ndarray, here: np.ndarray, tangent: np.ndarray) -> np.ndarray:
        """Return the product with a vector, by one more gradient; on the other side at an edge."""
        share = self._share_of(position, tangent)
        for sign in (1, -1):
            there = (position + sign * share * tangent).astype(self.dtype)
            column = (here - self.gradient(there)) / _length(there - position, tangent)
            if np.isfinite(column).all():
                break
        return column


def _only(entries: Any, deviations: np.ndarray) -> np.ndarray:
    """Return a vector that is zero elsewhere."""
    found = np.zeros(len(deviations))
    found[entries] = deviations[entries]
    return found


def _length(displacement: np.ndarray, tangent: np.ndarray) -> float:
    """Return how many times a vector a displacement is, with its signs, after rounding."""
    moved = np.argmax(np.abs(tangent))
    return float(displacement[moved] / tangent[moved])


def _candidates(data: FullData) -> list[list[np.ndarray]]:
    """Return which long variables may have entries that do not know of each other: most first."""
    long = [np.arange(c.start, c.start + c.size) for c in data.coordinates if c.size >= _LONG]
    longest = [each for each in long if len(each) == max(map(len, long))]
    found = [long, longest, []]
    return [each for i, each in enumerate(found) if len(each) < len(found[i - 1]) or not i]
