"""The models whose updates are timed, with simulated data: the same arrays for every sampler.

A position is a flat vector of the unconstrained coordinates, in the order of ``Problem.shapes``.
The rows are independent and alike, so contiguous blocks of them are as good as shuffled ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pymc as pm
import pytensor

BLOCK = 100_000  # rows that are simulated at once, so that it takes no memory beyond the data


@dataclass(frozen=True)
class Problem:
    """Data, and the coordinates of a model of them.

    Attributes
    ----------
    name : str
        Of the model.
    dtype : str
        Precision of the position and of all real data.
    data : tuple of ndarray
        One row an observation.
    shapes : dict
        The unconstrained variables in the order of the position.
    updates : int
        Updates of a timed run.
    """

    name: str
    dtype: str
    data: tuple[np.ndarray, ...]
    shapes: dict[str, tuple[int, ...]]
    updates: int

    @property
    def rows(self) -> int:
        """How many observations there are."""
        return len(self.data[0])

    @property
    def size(self) -> int:
        """Length of the position."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def title(self) -> str:
        """What a table says above its figures."""
        return f"{self.name}, {self.rows:,} rows, {self.size:,} coordinates, {self.dtype}"

    def split(self, position: np.ndarray) -> dict[str, np.ndarray]:
        """Return the variables of a position, by name: views of it."""
        parts, start = {}, 0
        for name, shape in self.shapes.items():
            stop = start + math.prod(shape)
            parts[name] = position[start:stop].reshape(shape)
            start = stop
        return parts

    def model(self) -> pm.Model:
        """Return it as a PyMC model."""
        with pytensor.config.change_flags(floatX=self.dtype):
            return PYMC[self.name](*self.data)


def in_blocks(rows: int) -> list[slice]:
    return [slice(start, min(start + BLOCK, rows)) for start in range(0, rows, BLOCK)]


def logistic(rows: int = 1_000_000) -> Problem:
    """50 coefficients with standard normal priors."""
    rng = np.random.default_rng(0)
    X, y = np.empty((rows, 50)), np.empty(rows)
    beta = rng.normal(scale=0.2, size=50)
    for block in in_blocks(rows):
        rng.standard_normal(out=X[block])
        y[block] = X[block] @ beta > rng.logistic(size=len(y[block]))
    return Problem("logistic", "float64", (X, y), {"beta": (50,)}, 12_000)


def pymc_logistic(X: np.ndarray, y: np.ndarray) -> pm.Model:
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=X.shape[1])
        pm.Bernoulli("y", logit_p=pm.Data("X", X) @ beta, observed=y.astype("int64"))
    return model


def hierarchical(rows: int = 1_000_000) -> Problem:
    """A regression of 5 columns with varying intercepts of 400 groups and both scales unknown."""
    rng = np.random.default_rng(1)
    X, outcome = np.empty((rows, 5)), np.empty(rows)
    group = rng.integers(0, 400, rows)
    intercept, beta = rng.standard_normal(400), rng.standard_normal(5)
    for block in in_blocks(rows):
        rng.standard_normal(out=X[block])
        mean = intercept[group[block]] + X[block] @ beta
        outcome[block] = mean + rng.standard_normal(len(mean))
    shapes = {"beta": (5,), "log_spread": (), "intercept": (400,), "log_noise": ()}
    return Problem("hierarchical", "float64", (X, group, outcome), shapes, 12_000)


def pymc_hierarchical(X: np.ndarray, group: np.ndarray, outcome: np.ndarray) -> pm.Model:
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=5)
        intercept = pm.Normal("intercept", 0, pm.HalfNormal("spread"), shape=400)
        mean = intercept[pm.Data("group", group)] + pm.Data("X", X) @ beta
        pm.Normal("outcome", mean, pm.HalfNormal("noise"), observed=outcome)
    return model


def network(rows: int = 20_000) -> Problem:
    """A network of 784 inputs, 100 hidden units (tanh) and 10 classes, in single precision."""
    rng = np.random.default_rng(2)
    X = rng.random((rows, 784), dtype="float32")
    label = (X @ rng.standard_normal((784, 10), dtype="float32")).argmax(axis=1)
    shapes = {"first": (784, 100), "first_bias": (100,), "second": (100, 10), "second_bias": (10,)}
    return Problem("network", "float32", (X, label), shapes, 200)


def pymc_network(X: np.ndarray, label: np.ndarray) -> pm.Model:
    with pm.Model() as model:
        first = pm.Normal("first", 0, 0.1, shape=(784, 100))
        first_bias = pm.Normal("first_bias", 0, 0.1, shape=100)
        second = pm.Normal("second", 0, 0.1, shape=(100, 10))
        second_bias = pm.Normal("second_bias", 0, 0.1, shape=10)
        hidden = pm.math.tanh(pm.Data("X", X) @ first + first_bias)
        pm.Categorical("label", logit_p=hidden @ second + second_bias, observed=label)
    return model


MODELS: dict[str, Callable[..., Problem]] = {
    build.__name__: build for build in (logistic, hierarchical, network)
}
PYMC: dict[str, Callable[..., pm.Model]] = {
    "logistic": pymc_logistic,
    "hierarchical": pymc_hierarchical,
    "network": pymc_network,
}
