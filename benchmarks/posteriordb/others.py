"""Models of posteriordb other than linear regressions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from .linear import Data, _centered

Named = tuple[pm.Model, list[str]]


def eight_schools(data: Data) -> Named:
    """Effects of coaching, non-centered."""
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 5)
        tau = pm.HalfCauchy("tau", 5)
        offset = pm.Normal("theta_trans", shape=len(data["y"]))
        theta = pm.Deterministic("theta", mu + tau * offset)
        pm.Normal("y", theta, data["sigma"], observed=data["y"])
    return model, ["theta", "mu", "tau"]


def _covariance(data: Data, added: object) -> tuple[object, list[str]]:
    """Return the Cholesky factor of a Gaussian process, and the names of its parameters."""
    x = data["x"].astype(float)
    rho, alpha = pm.Gamma("rho", 25, 4), pm.HalfNormal("alpha", 2)
    squares = (x[:, None] - x) ** 2
    covariance = alpha**2 * pt.exp(-squares / (2 * rho**2)) + added * np.eye(len(x))
    return pt.linalg.cholesky(covariance), ["rho", "alpha"]


def gp_pois_regr(data: Data) -> Named:
    """Counts whose log mean is a Gaussian process, a value of which belongs to each row."""
    with pm.Model() as model:
        factor, names = _covariance(data, 1e-10)
        f = pm.Deterministic("f", factor @ pm.Normal("f_tilde", shape=len(data["x"])))
        pm.Poisson("k", pt.exp(f), observed=data["k"])
    return model, [*names, "f"]


def gp_regr(data: Data) -> Named:
    """A Gaussian process with noise, integrated out: all outcomes are one draw."""
    with pm.Model() as model:
        sigma = pm.HalfNormal("sigma", 1)
        factor, names = _covariance(data, sigma)
        pm.MvNormal("y", np.zeros(len(data["x"])), chol=factor, observed=data["y"])
    return model, [*names, "sigma"]


def _avoided_and_shocked(data: Data) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return of each trial how often the dog avoided a shock before, how often not, and whether."""
    shocks = data["y"].astype(int)
    before = np.cumsum(shocks, axis=1) - shocks
    avoided = np.arange(shocks.shape[1]) - before
    return avoided.ravel().astype(float), before.ravel().astype(float), shocks.ravel()


def dogs(data: Data) -> Named:
    """Dogs that learn to avoid a shock: a logistic regression on what happened before."""
    avoided, shocked, outcome = _avoided_and_shocked(data)
    design = np.column_stack([np.ones(len(outcome)), avoided, shocked])
    with pm.Model() as model:
        coefficients = pm.Normal("beta", 0, 100, shape=3)
        pm.Bernoulli("y", logit_p=pt.dot(design, coefficients), observed=outcome)
    return model, ["beta"]


def dogs_log(data: Data) -> Named:
    """The same without an intercept, and with coefficients of known signs."""
    avoided, shocked, outcome = _avoided_and_shocked(data)
    design = np.column_stack([avoided, shocked])
    with pm.Model() as model:
        coefficients = pm.Uniform("beta", [-100, 0], [0, 100])
        pm.Bernoulli("y", logit_p=pt.dot(design, coefficients), observed=outcome)
    return model, ["beta"]


def logistic(outcome: str, prepare: Callable[[Data], list[np.ndarray]], one: bool) -> Callable:
    """Return a logistic regression with flat priors; ``one``: in one vector with the intercept."""

    def build(data: Data) -> Named:
        columns = np.column_stack(prepare(data)).astype(float)
        observed = data[outcome].astype(int)
        with pm.Model() as model:
            if one:
                coefficients = pm.Flat("beta", shape=1 + columns.shape[1])
                logit = coefficients[0] + pt.dot(columns, coefficients[1:])
            else:
                logit = pm.Flat("alpha") + pt.dot(columns, pm.Flat("beta", shape=columns.shape[1]))
            pm.Bernoulli("y", logit_p=logit, observed=observed)
        return model, ["beta"] if one else ["alpha", "beta"]

    return build


def wells_interaction(data: Data) -> list[np.ndarray]:
    """Return the centered distance, the centered arsenic and their product."""
    distance, arsenic = _centered(data["dist"]) / 100, _centered(data["arsenic"])
    return [distance, arsenic, distance * arsenic]


def diamonds(data: Data) -> Named:
    """Prices of diamonds on 24 columns; the intercept is that of centered columns."""
    columns = data["X"][:, 1:] - data["X"][:, 1:].mean(axis=0)
    with pm.Model() as model:
        b = pm.Normal("b", 0, 1, shape=columns.shape[1])
        intercept = pm.StudentT("Intercept", nu=3, mu=8, sigma=10)
        sigma = pm.HalfStudentT("sigma", nu=3, sigma=10)
        pm.Normal("y", intercept + pt.dot(columns, b), sigma, observed=data["Y"])
    return model, ["b", "Intercept", "sigma"]
