"""Posteriors of data sets that others use too; data and references are in files."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from .linear import linear_regression
from .posterior import DATA, Posterior, batches, load


def _interaction(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.stack([np.ones(len(first)), first, second, first * second], axis=1)


def earnings() -> Posterior:
    """Log earnings on height, sex and their interaction: 1,192 rows."""
    data, mean, sd = load("earnings")
    height = (data["height"] - data["height"].mean()) / data["height"].std(ddof=1)
    model = linear_regression(_interaction(height, data["male"]), np.log(data["earn"]))
    return Posterior(model, ["beta", "sigma"], mean, sd)


def kidiq() -> Posterior:
    """Test scores of children on the mother's schooling and score: 434 rows."""
    data, mean, sd = load("kidiq")
    schooling, score = (
        (data[name] - data[name].mean()) / (2 * data[name].std(ddof=1))
        for name in ("mom_hs", "mom_iq")
    )
    model = linear_regression(_interaction(schooling, score), data["kid_score"])
    return Posterior(model, ["beta", "sigma"], mean, sd)


def nes() -> Posterior:
    """Party identification in an election study: 1,226 rows, 9 coefficients."""
    data, mean, sd = load("nes")
    age = data["age_discrete"]
    columns = [np.ones(len(age)), data["real_ideo"], data["race_adj"], age == 2, age == 3, age == 4]
    columns += [data["educ1"], data["gender"], data["income"]]
    model = linear_regression(np.stack(columns, axis=1).astype(float), data["partyid7"])
    return Posterior(model, ["beta", "sigma"], mean, sd)


def gauss_mix() -> Posterior:
    """A mixture of two normals with ordered means: 1,000 rows."""
    data, mean, sd = load("gauss_mix")
    return Posterior(*mixture(data), mean, sd)


def mixture(data: dict[str, np.ndarray]) -> tuple[pm.Model, list[str]]:
    """Return a mixture of two normals, and the names of its parameters."""
    ordered = pm.distributions.transforms.ordered
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 2, shape=2, transform=ordered, initval=[-1, 1])
        sigma = pm.HalfNormal("sigma", 2, shape=2)
        theta = pm.Beta("theta", 5, 5)
        weights = pt.stack([theta, 1 - theta])
        pm.NormalMixture("y", weights, mu, sigma=sigma, observed=data["y"].astype(float))
    return model, ["mu", "sigma", "theta"]


def sblrc() -> Posterior:
    """A regression with strongly correlated columns: 100 rows."""
    data, mean, sd = load("sblrc")
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 10, shape=5)
        sigma = pm.HalfNormal("sigma", 10)
        pm.Normal("y", pt.dot(data["X"].astype(float), beta), sigma, observed=data["y"])
    return Posterior(model, ["beta", "sigma"], mean, sd)


def a9a(batch_size: int | None = None) -> Posterior:
    """Logistic regression on 32,561 rows of 123 binary features, some of them rare."""
    _, mean, sd = load("a9a")
    arrays = np.load(DATA / "a9a.npz")
    design, outcome = arrays["X"].astype(float), (arrays["y"] > 0).astype(int)
    with pm.Model() as model:
        intercept = pm.Normal("intercept")
        beta = pm.Normal("beta", shape=design.shape[1])
        (rows, observed), total = batches(batch_size, design, outcome)
        eta = intercept + pt.dot(rows, beta)
        pm.Bernoulli("y", logit_p=eta, observed=observed, total_size=total)
    return Posterior(model, ["intercept", "beta"], mean, sd)


def welling_teh() -> Posterior:
    """The toy of Welling and Teh (2011), with two modes: 100 rows."""
    data, mean, sd = load("welling_teh")
    with pm.Model() as model:
        theta1 = pm.Normal("theta1", 0, np.sqrt(10))
        theta2 = pm.Normal("theta2", 0, 1)
        means = pm.math.stack([theta1, theta1 + theta2])
        pm.NormalMixture("x", w=[0.5, 0.5], mu=means, sigma=np.sqrt(2), observed=data["x"])
    return Posterior(model, ["theta1", "theta2"], mean, sd)
