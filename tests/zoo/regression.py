"""Regressions: one outcome (or two), a linear predictor or another function of the columns."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from tests.zoo.catalogue import selectable
from tests.zoo.data import COLUMNS, X, binary, classes, counts, exposure, positive, unit, x, y


@selectable
def normal_mean():
    mean = pm.Normal("mean", 0, 5)
    pm.Normal("y", mean, 1, observed=y)


@selectable
def linear_regression_data():
    design = pm.Data("X", X)
    intercept = pm.Normal("intercept")
    beta = pm.Normal("beta", shape=COLUMNS)
    sigma = pm.HalfNormal("sigma")
    pm.Normal("y", intercept + design @ beta, sigma, observed=pm.Data("outcome", y))


@selectable
def logistic_regression():
    beta = pm.Normal("beta", shape=COLUMNS)
    pm.Bernoulli("y", logit_p=pt.as_tensor(X) @ beta, observed=binary)


@selectable
def probit_regression():
    beta = pm.Normal("beta", shape=COLUMNS)
    pm.Bernoulli("y", p=pm.math.invprobit(X @ beta), observed=binary)


@selectable
def poisson_regression():
    beta = pm.Normal("beta", shape=COLUMNS)
    pm.Poisson("y", pm.Data("exposure", exposure) * pm.math.exp(X @ beta), observed=counts)


@selectable
def negative_binomial_regression():
    beta = pm.Normal("beta", shape=COLUMNS)
    alpha = pm.Exponential("alpha", 1)
    pm.NegativeBinomial("y", mu=pm.math.exp(X @ beta), alpha=alpha, observed=counts)


@selectable
def binomial_regression():
    beta = pm.Normal("beta", shape=COLUMNS)
    pm.Binomial("y", n=counts + 4, logit_p=X @ beta, observed=counts)


@selectable
def categorical_regression():
    design = pm.Data("X", X)
    beta = pm.Normal("beta", shape=(COLUMNS, 4))
    pm.Categorical("y", logit_p=design @ beta, observed=classes)


@selectable
def categorical_intercepts():
    pm.Categorical("y", logit_p=pm.Normal("mu", shape=4), observed=classes)


@selectable
def categorical_probabilities():
    pm.Categorical("y", p=pm.Dirichlet("p", np.ones(4)), observed=classes)


@selectable
def ordered_intercept():
    cutpoints = pm.Normal(
        "cutpoints",
        shape=3,
        transform=pm.distributions.transforms.ordered,
        initval=[-1.0, 0.0, 1.0],
    )
    pm.OrderedLogistic("y", eta=pm.Normal("eta"), cutpoints=cutpoints, observed=classes)


@selectable
def ordered_regression():
    cutpoints = pm.Normal(
        "cutpoints",
        shape=3,
        transform=pm.distributions.transforms.ordered,
        initval=[-1.0, 0.0, 1.0],
    )
    eta = pm.Data("X", X) @ pm.Normal("beta", shape=COLUMNS)
    pm.OrderedLogistic("y", eta=eta, cutpoints=cutpoints, observed=classes)


@selectable
def student_t_regression():
    beta = pm.Normal("beta", shape=COLUMNS)
    nu = pm.Gamma("nu", 2, 0.1)
    pm.StudentT("y", nu=nu, mu=X @ beta, sigma=pm.HalfNormal("sigma"), observed=y)


@selectable
def gamma_regression():
    beta = pm.Normal("beta", shape=COLUMNS)
    pm.Gamma("y", mu=pm.math.exp(X @ beta), sigma=pm.HalfNormal("sigma"), observed=positive)


@selectable
def beta_regression():
    beta = pm.Normal("beta", shape=COLUMNS)
    kappa = pm.Exponential("kappa", 0.1)
    pm.Beta("y", mu=pm.math.sigmoid(X @ beta), nu=kappa + 1, observed=unit)


@selectable
def weibull_regression():
    beta = pm.Normal("beta", shape=COLUMNS)
    shape = pm.HalfNormal("shape")
    pm.Weibull("y", alpha=shape, beta=pm.math.exp(X @ beta), observed=positive)


@selectable
def heteroscedastic_regression():
    beta = pm.Normal("beta", shape=COLUMNS)
    log_scale = pm.Normal("log_scale", shape=COLUMNS)
    pm.Normal("y", X @ beta, pm.math.exp(X @ log_scale), observed=y)


@selectable
def two_outcomes():
    beta = pm.Normal("beta", shape=COLUMNS)
    scale = pm.HalfNormal("scale")
    eta = pm.Data("X", X) @ beta
    pm.Normal("y", eta, scale, observed=y)
    pm.Poisson("events", pm.math.exp(eta / 2), observed=counts)


@selectable
def constrained_parameters():
    low = pm.Uniform("low", -3, 3)
    rate = pm.Exponential("rate", 1)
    weights = pm.Dirichlet("weights", np.ones(COLUMNS))
    pm.Laplace("y", low + X @ weights, rate, observed=y)


@selectable
def small_network():
    first = pm.Normal("first", shape=(COLUMNS, 4))
    second = pm.Normal("second", shape=4)
    hidden = pm.math.tanh(pm.Data("X", X) @ first)
    pm.Bernoulli("y", logit_p=hidden @ second, observed=binary)


@selectable
def ordered_probit():
    transform = pm.distributions.transforms.ordered
    cutpoints = pm.Normal("cutpoints", shape=3, transform=transform, initval=[-1.0, 0.0, 1.0])
    eta = X @ pm.Normal("beta", shape=COLUMNS)
    pm.OrderedProbit("y", eta=eta, cutpoints=cutpoints, observed=classes)


@selectable
def complementary_log_log():
    eta = X @ pm.Normal("beta", shape=COLUMNS)
    pm.Bernoulli("y", p=-pm.math.expm1(-pm.math.exp(eta)), observed=binary)


@selectable
def quantile_regression():
    eta = X @ pm.Normal("beta", shape=COLUMNS)
    scale = pm.HalfNormal("scale")
    pm.AsymmetricLaplace("y", mu=eta, b=scale, q=0.9, observed=y)


@selectable
def polynomial_inside():
    covariate = pm.Data("x", x)
    design = pt.stack([covariate**power for power in range(4)], axis=1)
    pm.Normal("y", design @ pm.Normal("beta", shape=4), 1, observed=y)


@selectable
def interactions_inside():
    design = pm.Data("X", X)
    products = (design[:, :, None] * design[:, None, :]).reshape((-1, COLUMNS**2))
    pm.Normal("y", products @ pm.Normal("beta", shape=COLUMNS**2), 1, observed=y)


@selectable
def spline_as_data():
    basis = np.maximum(x[:, None] - np.linspace(-1, 1, 6), 0) ** 3
    pm.Normal("y", pt.as_tensor(basis) @ pm.Normal("weights", shape=6), 1, observed=y)


@selectable
def spline_inside():
    knots = np.linspace(-1, 1, 6)
    basis = pt.maximum(pm.Data("x", x)[:, None] - knots, 0) ** 3
    pm.Normal("y", pm.math.dot(basis, pm.Normal("weights", shape=6)), 1, observed=y)


@selectable
def spline_with_free_knots():
    knots = pm.Normal("knots", shape=4)
    basis = pm.math.maximum(pm.Data("x", x)[:, None] - knots, 0)
    pm.Normal("y", basis @ pm.Normal("weights", shape=4), 1, observed=y)


@selectable
def fourier_features():
    phase = 2 * np.pi * pm.Data("t", x)[:, None] * np.arange(1, 4)
    basis = pm.math.concatenate([pt.sin(phase), pt.cos(phase)], axis=1)
    pm.Normal("y", basis @ pm.Normal("weights", shape=6), 1, observed=y)


@selectable
def michaelis_menten():
    top, half = pm.HalfNormal("top"), pm.HalfNormal("half")
    pm.Normal("y", top * positive / (half + positive), pm.HalfNormal("sigma"), observed=y)


@selectable
def power_law():
    scale, power = pm.HalfNormal("scale"), pm.Normal("power")
    pm.LogNormal("y", pm.math.log(scale * positive**power), 1, observed=exposure)


@selectable
def single_index():
    direction = pm.Normal("direction", shape=COLUMNS)
    index = X @ (direction / pm.math.sqrt((direction**2).sum() + 1))
    pm.Normal("y", pm.math.sin(index) + pm.Normal("slope") * index, 1, observed=y)


@selectable
def deep_network():
    layer = pm.Data("X", X)
    activations = [pt.tanh, lambda a: pt.maximum(a, 0), pm.math.softplus, pt.sigmoid]
    for i, activation in enumerate([*activations, lambda a: pt.switch(a > 0, a, pt.expm1(a))]):
        weights = pm.Normal(f"weights_{i}", shape=(COLUMNS, COLUMNS))
        layer = activation(layer @ weights + pm.Normal(f"bias_{i}", shape=COLUMNS))
    pm.Normal("y", layer.sum(axis=-1), pm.HalfNormal("sigma"), observed=y)


@selectable
def residual_network():
    layer = pt.as_tensor(X)
    for i in range(2):
        step = pt.erf(layer @ pm.Normal(f"inner_{i}", shape=(COLUMNS, 4)))
        layer = layer + step @ pm.Normal(f"outer_{i}", shape=(4, COLUMNS))
        layer = (layer - layer.mean(axis=1, keepdims=True)) / (1 + layer.std(axis=1, keepdims=True))
    pm.Categorical("y", logit_p=layer @ pm.Normal("last", shape=(COLUMNS, 4)), observed=classes)


@selectable
def attention():
    tokens = pt.as_tensor(X)[:, :, None] * pm.Normal("embedding", shape=(COLUMNS, 2))
    scores = pt.matmul(tokens, pt.matrix_transpose(tokens))
    mixed = pt.matmul(pm.math.softmax(scores, axis=-1), tokens)
    pm.Normal("y", mixed.sum(axis=(1, 2)), 1, observed=y)


@selectable
def radial_basis_network():
    centers = pm.Normal("centers", shape=(4, COLUMNS))
    distance = ((pt.as_tensor(X)[:, None, :] - centers) ** 2).sum(axis=-1)
    pm.Normal("y", pm.math.exp(-distance) @ pm.Normal("weights", shape=4), 1, observed=y)


@selectable
def soft_decision_tree():
    gates = pm.math.sigmoid(pt.as_tensor(X) @ pm.Normal("gates", shape=(COLUMNS, 2)))
    first, second = gates[:, 0], gates[:, 1]
    leaves = pt.stack([first * second, first * (1 - second), 1 - first], axis=-1)
    pm.Normal("y", pt.dot(leaves, pm.Normal("values", shape=3)), 1, observed=y)
