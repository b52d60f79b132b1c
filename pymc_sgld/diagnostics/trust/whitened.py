"""Draws of a run in the unconstrained space, with gradients at some of them; plain NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from arviz_stats.base.array import array_stats
from numpy.typing import NDArray

LARGEST_SIZE = 1000
"""Coordinates whose covariance is used; with more of them each is looked at on its own."""

DRAWS_A_COORDINATE = 4
"""Gradients for each coordinate that a regression of gradients on positions needs at least."""

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Sample:
    """Draws, and the gradient of the log posterior at the last draw of every stretch of them."""

    position: Array  # shape (chains, stretches * every, d): all draws, in unconstrained coordinates
    # shape (chains, stretches, d): log-Jacobians of the transforms included
    gradient: Array
    every: int  # draws of a stretch

    @property
    def size(self) -> int:
        """Return the number of coordinates."""
        return self.position.shape[-1]

    @property
    def is_dense(self) -> bool:
        """Whether there are gradients enough for all pairs of coordinates."""
        gradients = self.gradient.shape[0] * self.gradient.shape[1]
        return self.size <= LARGEST_SIZE and gradients >= DRAWS_A_COORDINATE * self.size

    @cached_property
    def mean(self) -> Array:
        """Return the mean of all draws, shape (d,)."""
        return self.position.mean(axis=(0, 1))

    @cached_property
    def factor(self) -> Array:
        """Return ``L`` with ``L L'`` the covariance of all draws, or only its diagonal if large."""
        away = (self.position - self.mean).reshape(-1, self.size)
        scale = away.std(axis=0, ddof=1)
        if not self.is_dense:
            return np.diag(scale)
        away = away / scale  # coordinates may differ by many powers of ten
        return scale[:, None] * np.linalg.cholesky(away.T @ away / (len(away) - 1))

    @cached_property
    def white(self) -> Array:
        """Return all draws with mean 0 and covariance I, shape (chains, stretches, every, d)."""
        away = self.position - self.mean
        white = np.linalg.solve(self.factor, away.reshape(-1, self.size).T).T
        return white.reshape(len(away), -1, self.every, self.size)

    @property
    def here(self) -> Array:
        """Return the white draws that have a gradient, shape (chains, stretches, d)."""
        return self.white[:, :, -1]

    @cached_property
    def slope(self) -> Array:
        """Return their gradients with respect to white coordinates, ``L' g``."""
        return self.gradient @ self.factor

    @cached_property
    def directions(self) -> Array:
        """Return the white direction along which each coordinate varies, rows of length 1."""
        return self.factor / np.linalg.norm(self.factor, axis=1, keepdims=True)

    @cached_property
    def effective_of_each(self) -> Array:
        """Return the effective number of draws for each mean or variance, the lesser one."""
        return effective_of_each(self.position)

    @property
    def effective(self) -> float:
        """Return the least of them."""
        return float(self.effective_of_each.min())


def effective_of_each(draws: Array) -> Array:
    """Return effective numbers of draws, shape (chains, draws, d), for means and variances."""
    squares = (draws - draws.mean(axis=(0, 1))) ** 2
    return np.array(
        [
            min(array_stats.ess(v[:, :, i], method="mean") for v in (draws, squares))
            for i in range(draws.shape[2])
        ]
    )


def error_of_mean(series: Array) -> float:
    """Return the Monte-Carlo standard error of the mean of chains, shape (chains, draws)."""
    with np.errstate(all="ignore"):
        return float(array_stats.mcse(series, method="mean"))
