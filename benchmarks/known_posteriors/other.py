"""A network, a simplex, a covariance matrix and a survival time."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from .posterior import sampled


@sampled
def network() -> tuple[pm.Model, list[str]]:
    """A network of 3 inputs and 8 hidden units: 2,000 rows.

    Hidden units can be exchanged, so that only the curve at ten points and the noise are compared.
    """
    rng = np.random.default_rng(6)
    inputs, points = rng.uniform(-2, 2, (2_000, 3)), rng.uniform(-1.5, 1.5, (10, 3))
    outcome = outcome_of_network(rng, inputs)
    with pm.Model() as model:
        hidden_weights = pm.Normal("hidden_weights", shape=(3, 8))
        hidden_bias = pm.Normal("hidden_bias", shape=8)
        weights = pm.Normal("weights", shape=8)
        bias = pm.Normal("bias")

        def curve(at):
            return bias + pt.dot(pt.tanh(hidden_bias + pt.dot(at, hidden_weights)), weights)

        pm.Deterministic("curve", curve(points))
        noise = pm.HalfNormal("noise", 1)
        pm.Normal("y", curve(pm.Data("inputs", inputs)), noise, observed=outcome)
    return model, ["curve", "noise"]


def outcome_of_network(rng: np.random.Generator, inputs: np.ndarray) -> np.ndarray:
    """Return outcomes of inputs, shape (n, 3)."""
    mean = np.sin(inputs[:, 0]) + inputs[:, 1] * inputs[:, 2] / 4
    return mean + rng.normal(0, 0.5, len(inputs))


@sampled
def simplex() -> tuple[pm.Model, list[str]]:
    """Overdispersed counts of 4 species, with shares on a simplex: 2,000 rows."""
    rng = np.random.default_rng(14)
    counts = rng.multinomial(30, rng.dirichlet(10 * np.array([0.5, 0.3, 0.15, 0.05]), 2_000))
    with pm.Model() as model:
        shares = pm.Dirichlet("shares", np.ones(4))
        concentration = pm.HalfNormal("concentration", 20)
        pm.DirichletMultinomial("y", n=30, a=concentration * shares, observed=counts)
    return model, ["shares", "concentration"]


@sampled
def correlation() -> tuple[pm.Model, list[str]]:
    """Rows of a normal in three dimensions, with a prior on the correlations: 2,000 rows."""
    rng = np.random.default_rng(141)
    truth = np.array([[1, 0.6, -0.3], [0.6, 1, 0.1], [-0.3, 0.1, 1]]) * np.outer(
        [1, 2, 5], [1, 2, 5]
    )
    outcome = rng.multivariate_normal([0.5, -1, 2], truth, size=2_000)
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 5, shape=3)
        sd_dist = pm.HalfNormal.dist(5, shape=3)
        cholesky, matrix, _ = pm.LKJCholeskyCov("covariance", eta=2, n=3, sd_dist=sd_dist)
        pm.Deterministic("correlations", matrix[np.triu_indices(3, 1)])
        pm.MvNormal("y", mu, chol=cholesky, observed=outcome)
    return model, ["mu", "correlations", "covariance_stds"]


@sampled
def skewed() -> tuple[pm.Model, list[str]]:
    """Weibull survival times, those above 12 months censored: 25 rows, a skewed posterior."""
    rng = np.random.default_rng(17)
    months = np.minimum(15 * rng.weibull(1.3, 25), 12)
    with pm.Model() as model:
        shape = pm.Gamma("shape", 2, 1)
        scale = pm.HalfNormal("scale", 50)
        lifetime = pm.Weibull.dist(alpha=shape, beta=scale)
        pm.Censored("y", lifetime, lower=None, upper=12, observed=months)
    return model, ["shape", "scale"]
