r"""The log density of all rows at many points, by an expansion around one and a few of the rows.

Around a center :math:`c`, with :math:`\delta = \theta - c`, gradients :math:`g` and Hessians
:math:`H` there, all rows :math:`A`, many of them (:math:`B`), or some of them (:math:`C`), where a
row counts as often as it stands for others,

.. math::

    \log p(\theta) \approx \log p_A(c) + g_A^\top \delta + \tfrac12 \delta^\top H_B \delta
        + \left[ \log p_C(\theta) - \log p_C(c) - g_C^\top \delta
        - \tfrac12 \delta^\top H_C \delta \right] .

The mean of the right side over the choice of rows is the left one. Only what is beyond the second
order comes from few rows, and it is small where there are many. Prior and Jacobians are exact. Rows
are picked by what they add at pairs of points :math:`c \pm a`: from there, from half the way and
from the center the second order and the remainder of each row follow; and from three times as far,
as some rows add nothing near the center.

There are several parts :math:`B_k, C_k`, and so several estimates at each point, whose differences
are those of the whole. Where the data are small, all rows are read at each point, and there is one.

References
----------
Quiroz, Kohn, Villani and Tran (2019), Speeding up MCMC by efficient data subsampling, section 3:
the difference estimator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.progress import progress
from pymc_sgld.tuning.importance.rows import pick
from pymc_sgld.tuning.posterior.covariance import Full
from pymc_sgld.tuning.posterior.curvature import Curvature
from pymc_sgld.tuning.posterior.variational import Gaussian

PARTS = 8
"""Estimates from different rows."""

FEW = 20_000
"""Rows of a table that are all read, at each point; of groups, the rows of all of them."""

FOR_HESSIAN = 128
"""Times the rows of the remainder that the second order is taken of."""

_ROWS_A_GROUP = 4  # that count as one group, where groups are picked: a group tells more
_PAIRS, _FAR = 4, 3  # in how many directions rows are looked at, and how many times as far too
_SEED = 20190716  # fixed: what is found is a property of the model, not of a chain


class Expansion:
    """The log density of all rows at many points.

    Parameters
    ----------
    data : FullData
        The log density.
    gaussian : Gaussian
        Near the posterior: its mean is the center.
    others : sequence of ndarray
        Values of the variables that the step does not move.
    rows : int
        How many are read at each point, of large tables; of groups, a quarter as many.

    Attributes
    ----------
    is_exact : bool
        Whether all rows are read at each point.
    passes : float
        What was read so far, in evaluations of the log-likelihood of all rows; a gradient counts
        three.
    """

    def __init__(
        self, data: FullData, gaussian: Gaussian, others: Sequence[np.ndarray], rows: int
    ) -> None:
        self._data, self._others, self._center = data, others, gaussian.mean
        self.passes = 0.0
        size = len(self._center)
        tables = dict(enumerate(data.density.tables, start=1))
        picked = {i: rows // _ROWS_A_GROUP if t.groups else rows for i, t in tables.items()}
        large = {
            i: picked[i] // PARTS
            for i, table in tables.items()
            if not table.full
            and table.total_size * table.rows_each > FEW
            and table.total_size > 2 * picked[i]
        }
        self.is_exact = not large
        parts = 1 if self.is_exact else PARTS
        self._some = self._together = data
        self._parts: list[FullData] = []
        self._weights = {i: np.ones((parts, table.total_size)) for i, table in tables.items()}
        self._level, self._slope = np.zeros(parts), np.zeros((parts, size))
        self._bend = np.zeros((parts, size, size))
        if large:
            self._expand(gaussian, large)

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """Return estimates of the log density at positions (S, d), shape (S, parts)."""
        away = positions - self._center
        found = self._level + away @ self._slope.T
        found += np.einsum("sd,kde,se->sk", away, self._bend, away, optimize=True) / 2
        with progress("evaluating the posterior", len(positions)) as update:
            for s, position in enumerate(positions):
                found[s] += self._values(position)
                update()
        return found

    def of_all_rows(self, positions: np.ndarray) -> np.ndarray:
        """Return the log density itself at positions (S, d), shape (S,)."""
        found = np.array([self._data.log_prior(each, self._others) for each in positions])
        for i in self._weights:
            found += self._data.values_of_rows(i, [*positions], self._others).sum(axis=1)
        self._count(self._data, len(positions))
        return found

    @property
    def share(self) -> float:
        """What is read at a point, as a share of all rows."""
        return self._some.rows / max(1, self._data.rows)

    def gradient(self, position: np.ndarray) -> np.ndarray:
        """Return the gradient of the log density at a position, shape (d,)."""
        if self.is_exact:
            return self._gradient(self._data, position)
        away = position - self._center
        known = self._slope.mean(axis=0) + self._bend.mean(axis=0) @ away
        return known + self._gradient(self._together, position)

    def gradients_of_parts(self, position: np.ndarray) -> np.ndarray:
        """Return estimates of the gradient from the rows of each part, shape (parts, d)."""
        known = self._slope + self._bend @ (position - self._center)
        return known + np.array([self._gradient(part, position) for part in self._parts])

    def _values(self, position: np.ndarray) -> np.ndarray:
        """Return the log density by the rows of each part, shape (parts,)."""
        found = np.full(len(self._level), self._some.log_prior(position, self._others))
        for i, weights in self._weights.items():
            with np.errstate(invalid="ignore"):  # of no density
                found += weights @ self._some.values_of_rows(i, [position], self._others)[0]
        self._count(self._some)
        return found

    def _expand(self, gaussian: Gaussian, large: Mapping[int, int]) -> None:
        """Take derivatives at the center: of all rows, of many and of some.

        ``large``: the tables of which rows are picked, and how many for each part.
        """
        rng = np.random.default_rng(_SEED)
        assert isinstance(gaussian.shape, Full)
        deviations = 1 / np.sqrt(np.diag(gaussian.shape.precision))
        some, many = _Choice(), _Choice()
        level = self._data.log_prior(self._center, self._others)
        for i, table in enumerate(self._data.density.tables, start=1):
            here = self._data.values_of_rows(i, [self._center], self._others)[0]
            level += here.sum()
            if i in large:
                second, remainder = self._sizes(i, here, gaussian, rng)
                some.add(i, remainder, large[i], rng)
                if 2 * PARTS * FOR_HESSIAN * large[i] < table.total_size:
                    many.add(i, second, FOR_HESSIAN * large[i], rng)
        self._some, weights = some.of(self._data)
        self._weights |= weights
        all_rows = self._gradient(self._data, self._center)
        matrices = [self._minus_hessian(part, deviations) for part in many.parts(self._data)]
        matrices = matrices or [self._minus_hessian(self._data, deviations)] * PARTS
        self._level = level - self._values(self._center)
        self._together = self._some.weighted({i: w.mean(axis=0) for i, w in weights.items()})
        self._parts = some.parts(self._data)
        for k, (part, matrix) in enumerate(zip(self._parts, matrices, strict=True)):
            self._slope[k] = all_rows - self._gradient(part, self._center)
            self._bend[k] = self._minus_hessian(part, deviations) - matrix

    def _sizes(
        self, i: int, here: np.ndarray, gaussian: Gaussian, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return how much each row of a table adds of the second order, and beyond it."""
        second = remainder = np.zeros(len(here))
        for _ in range(_PAIRS):
            away = gaussian.shape.unwhiten(rng.standard_normal(len(self._center)))
            shares = (0.5, -0.5, 1, -1, _FAR, -_FAR)
            places = [self._center + share * away for share in shares]
            found = self._data.values_of_rows(i, places, self._others)
            self._count(self._data, len(places))
            even, odd = (found[::2] + found[1::2]) / 2 - here, (found[::2] - found[1::2]) / 2
            second = np.maximum(second, np.abs(4 * even[0]))
            for k, share in ((1, 1), (2, _FAR)):
                beyond = np.abs(even[k] - (2 * share) ** 2 * even[0])
                beyond += np.abs(odd[k] - 2 * share * odd[0])
                remainder = np.maximum(remainder, beyond / share**3)
        return second, remainder

    def _gradient(self, data: FullData, position: np.ndarray) -> np.ndarray:
        self._count(data, 3)
        return data.gradients(position, self._others)[1].sum(axis=0)

    def _minus_hessian(self, data: FullData, deviations: np.ndarray) -> np.ndarray:
        self._count(data, 3 * len(deviations))
        return Curvature(data, self._others).matrix(self._center, deviations)

    def _count(self, data: FullData, times: float = 1) -> None:
        self.passes += times * data.rows / max(1, self._data.rows)


class _Choice:
    """Rows of tables that stand for the others."""

    def __init__(self) -> None:
        self._rows: dict[int, np.ndarray] = {}
        self._weights: dict[int, np.ndarray] = {}

    def add(self, i: int, sizes: np.ndarray, each: int, rng: np.random.Generator) -> None:
        """Pick rows of a table."""
        self._rows[i], self._weights[i] = pick(sizes, PARTS, each, rng)

    def of(self, data: FullData) -> tuple[FullData, dict[int, np.ndarray]]:
        """Return the rows of all parts, and the weights of each part for each table."""
        found = {i: _filled(data, i, *pair) for i, pair in self._items()}
        picked = data.picked({i: rows for i, (rows, _) in found.items()})
        return picked, {i: weights for i, (_, weights) in found.items()}

    def parts(self, data: FullData) -> list[FullData]:
        """Return the rows of each part with their weights; none if no rows were picked."""
        if not self._rows:
            return []
        data, whole = self.of(data)  # of sources once
        found = []
        for k in range(PARTS):
            own = {i: np.flatnonzero(weights[k]) for i, weights in whole.items()}
            filled = {i: _filled(data, i, rows, whole[i][k, rows]) for i, rows in own.items()}
            part = data.picked({i: rows for i, (rows, _) in filled.items()})
            found.append(part.weighted({i: weights for i, (_, weights) in filled.items()}))
        return found

    def _items(self) -> Iterator[tuple[int, tuple[np.ndarray, np.ndarray]]]:
        return ((i, (rows, self._weights[i])) for i, rows in self._rows.items())


def _filled(
    data: FullData, i: int, rows: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of a table that make whole blocks: what is added at the end counts nothing."""
    more = -len(rows) % data.density.tables[i - 1].batch_size
    last = [(0, 0)] * (weights.ndim - 1) + [(0, more)]
    return np.pad(rows, (0, more), mode="edge"), np.pad(weights, last)
