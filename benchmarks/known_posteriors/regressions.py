"""Regressions other than linear ones, on simulated rows."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from .posterior import batches, sampled


def _predictor(design: np.ndarray, intercept_sd: float = 2.5):
    """Return an intercept plus the columns times coefficients, both with normal priors."""
    intercept = pm.Normal("intercept", 0, intercept_sd)
    beta = pm.Normal("beta", 0, 2.5, shape=design.shape[1])
    return intercept + pt.dot(design, beta)


@sampled
def poisson_counts() -> tuple[pm.Model, list[str]]:
    """Poisson regression with counts in the thousands: 5,000 rows, 5 columns."""
    rng = np.random.default_rng(3)
    design = rng.standard_normal((5_000, 5))
    counts = rng.poisson(np.exp(8 + design @ [0.2, -0.3, 0.1, 0, 0.15]))
    with pm.Model() as model:
        pm.Poisson("y", pt.exp(_predictor(design, 10)), observed=counts)
    return model, ["intercept", "beta"]


@sampled
def negative_binomial() -> tuple[pm.Model, list[str]]:
    """Overdispersed counts in the thousands with a free dispersion: 10,000 rows, 3 columns."""
    rng = np.random.default_rng(31)
    design = rng.standard_normal((10_000, 3))
    mean = np.exp(8 + design @ [0.5, -0.3, 0])
    counts = rng.poisson(mean * rng.gamma(5, 1 / 5, 10_000))
    with pm.Model() as model:
        dispersion = pm.HalfNormal("dispersion", 10)
        mu = pt.exp(_predictor(design, 10))
        pm.NegativeBinomial("y", mu=mu, alpha=dispersion, observed=counts)
    return model, ["intercept", "beta", "dispersion"]


@sampled
def student_t() -> tuple[pm.Model, list[str]]:
    """Robust regression with free degrees of freedom: 5,000 rows, 4 columns."""
    rng = np.random.default_rng(4)
    design = rng.standard_normal((5_000, 4))
    outcome = 1 + design @ [0.5, -1, 0, 2] + 0.7 * rng.standard_t(4, 5_000)
    with pm.Model() as model:
        nu = pm.Gamma("nu", 2, 0.1)
        sigma = pm.HalfNormal("sigma", 2)
        pm.StudentT("y", nu=nu, mu=_predictor(design), sigma=sigma, observed=outcome)
    return model, ["intercept", "beta", "nu", "sigma"]


@sampled
def ordered_logistic() -> tuple[pm.Model, list[str]]:
    """Five ordered categories with free cutpoints: 5,000 rows, 3 columns."""
    rng = np.random.default_rng(5)
    design = rng.standard_normal((5_000, 3))
    latent = design @ [1, -0.5, 0.2] + rng.logistic(size=5_000)
    categories = np.digitize(latent, [-2.5, -0.5, 1, 3])
    ordered = pm.distributions.transforms.ordered
    with pm.Model() as model:
        start = [-2, -1, 1, 2]
        cutpoints = pm.Normal("cutpoints", 0, 5, shape=4, transform=ordered, initval=start)
        beta = pm.Normal("beta", 0, 2.5, shape=3)
        eta = pt.dot(design, beta)
        pm.OrderedLogistic("y", eta=eta, cutpoints=cutpoints, observed=categories)
    return model, ["cutpoints", "beta"]


@sampled
def categorical() -> tuple[pm.Model, list[str]]:
    """Softmax regression with four classes, the first as the baseline: 10,000 rows, 5 columns."""
    rng = np.random.default_rng(13)
    design = rng.standard_normal((10_000, 5))
    logits = np.zeros((10_000, 4))
    logits[:, 1:] = [0.5, 0, -1] + design @ rng.normal(0, 0.7, (5, 3))
    classes = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, 2.5, shape=3)
        beta = pm.Normal("beta", 0, 2.5, shape=(5, 3))
        others = intercept + pt.dot(design, beta)
        logit_p = pt.concatenate([np.zeros((10_000, 1)), others], axis=1)
        pm.Categorical("y", logit_p=logit_p, observed=classes)
    return model, ["intercept", "beta"]


@sampled
def gamma_regression() -> tuple[pm.Model, list[str]]:
    """Positive outcomes with a log link and a free shape: 5,000 rows, 4 columns."""
    rng = np.random.default_rng(15)
    design = rng.standard_normal((5_000, 4))
    mean = np.exp(1 + design @ [0.4, -0.2, 0, 0.1])
    outcome = rng.gamma(2, mean / 2)
    with pm.Model() as model:
        shape = pm.HalfNormal("shape", 5)
        rate = shape / pt.exp(_predictor(design))
        pm.Gamma("y", alpha=shape, beta=rate, observed=outcome)
    return model, ["intercept", "beta", "shape"]


@sampled
def zero_inflated() -> tuple[pm.Model, list[str]]:
    """Zero-inflated Poisson regression: 5,000 rows, 3 columns."""
    rng = np.random.default_rng(16)
    design = rng.standard_normal((5_000, 3))
    counts = rng.poisson(np.exp(0.7 + design @ [0.5, -0.3, 0])) * (rng.random(5_000) < 0.7)
    with pm.Model() as model:
        psi = pm.Beta("psi", 1, 1)
        mu = pt.exp(_predictor(design))
        pm.ZeroInflatedPoisson("y", psi=psi, mu=mu, observed=counts)
    return model, ["intercept", "beta", "psi"]


def _rows(
    rows: int, coefficients: np.ndarray, intercept: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate columns and outcomes of a logistic regression."""
    rng = np.random.default_rng(seed)
    design = rng.standard_normal((rows, len(coefficients)))
    outcome = design @ coefficients + intercept > rng.logistic(size=rows)
    return design, outcome.astype(int)


def _logistic(rows: int, coefficients: np.ndarray, intercept: float, seed: int) -> pm.Model:
    """Return a logistic regression on simulated rows."""
    design, outcome = _rows(rows, coefficients, intercept, seed)
    with pm.Model() as model:
        pm.Bernoulli("y", logit_p=_predictor(design), observed=outcome)
    return model


@sampled
def rare_events() -> tuple[pm.Model, list[str]]:
    """Logistic regression with 15 positives in 100,000 rows, 3 columns."""
    return _logistic(100_000, np.array([0.8, -0.5, 0]), -9, seed=8), ["intercept", "beta"]


@sampled
def few_rows() -> tuple[pm.Model, list[str]]:
    """Logistic regression on 40 rows, 3 columns."""
    return _logistic(40, np.array([1, -0.5, 0]), 0.3, seed=11), ["intercept", "beta"]


@sampled
def wide() -> tuple[pm.Model, list[str]]:
    """Logistic regression with 500 columns: 20,000 rows."""
    coefficients = np.random.default_rng(12).normal(0, 0.1, 500)
    return _logistic(20_000, coefficients, -0.5, seed=121), ["intercept", "beta"]


def million_rows() -> tuple[np.ndarray, np.ndarray]:
    """Simulate a million rows with 20 columns, of which a third are positive."""
    return _rows(1_000_000, np.linspace(-0.5, 0.5, 20), -1, seed=18)


@sampled
def million(batch_size: int | None = None) -> tuple[pm.Model, list[str]]:
    """Logistic regression with 20 columns: a million rows."""
    design, outcome = million_rows()
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, 2.5)
        beta = pm.Normal("beta", 0, 2.5, shape=20)
        (rows, observed), total = batches(batch_size, design, outcome)
        eta = intercept + pt.dot(rows, beta)
        pm.Bernoulli("y", logit_p=eta, observed=observed, total_size=total)
    return model, ["intercept", "beta"]
