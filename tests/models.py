"""A catalogue of models that minibatch themselves, and of models that are refused.

Every function returns a model of ``ROWS`` rows. Names are those of the field; the data are noise.
"""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

ROWS, GROUPS, COLUMNS = 28, 5, 3

_rng = np.random.default_rng(20110628)
X = _rng.normal(size=(ROWS, COLUMNS))
x = _rng.normal(size=ROWS)
y = _rng.normal(size=ROWS)
positive = _rng.gamma(2.0, size=ROWS)
unit = _rng.uniform(0.05, 0.95, size=ROWS)
counts = _rng.poisson(3.0, size=ROWS)
binary = _rng.integers(0, 2, size=ROWS)
classes = _rng.integers(0, 4, size=ROWS)
group = _rng.integers(0, GROUPS, size=ROWS)
second_group = _rng.integers(0, 3, size=ROWS)
exposure = _rng.uniform(1, 5, size=ROWS)


def normal_mean():
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 5)
        pm.Normal("y", mean, 1, observed=y)
    return model


def linear_regression_data():
    with pm.Model() as model:
        design = pm.Data("X", X)
        intercept = pm.Normal("intercept")
        beta = pm.Normal("beta", shape=COLUMNS)
        sigma = pm.HalfNormal("sigma")
        pm.Normal("y", intercept + design @ beta, sigma, observed=pm.Data("outcome", y))
    return model


def linear_regression_transposed():
    with pm.Model() as model:
        design = pm.Data("X", np.ascontiguousarray(X.T))
        beta = pm.Normal("beta", shape=COLUMNS)
        pm.Normal("y", pm.math.dot(beta, design), pm.HalfNormal("sigma"), observed=y)
    return model


def linear_regression_dims():
    coords = {"row": np.arange(ROWS), "feature": list("abc")}
    with pm.Model(coords=coords) as model:
        design = pm.Data("X", X, dims=("row", "feature"))
        beta = pm.Normal("beta", dims="feature")
        mean = pm.Deterministic("mean", design @ beta, dims="row")
        pm.Normal("y", mean, pm.HalfNormal("sigma"), observed=y, dims="row")
    return model


def logistic_regression():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=COLUMNS)
        pm.Bernoulli("y", logit_p=pt.as_tensor(X) @ beta, observed=binary)
    return model


def logistic_regression_integers():
    with pm.Model() as model:
        design = pm.Data("X", (X > 0).astype("uint8"))
        beta = pm.Normal("beta", shape=COLUMNS)
        pm.Bernoulli("y", p=pm.math.sigmoid(design @ beta), observed=binary)
    return model


def logistic_regression_columns():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=COLUMNS)
        design = pt.as_tensor(X)
        eta = beta[0] * design[:, 0] + beta[1] * design[:, 1] + beta[2] * pm.Data("x", x) ** 2
        pm.Bernoulli("y", logit_p=eta, observed=binary)
    return model


def probit_regression():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=COLUMNS)
        pm.Bernoulli("y", p=pm.math.invprobit(X @ beta), observed=binary)
    return model


def poisson_regression():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=COLUMNS)
        pm.Poisson("y", pm.Data("exposure", exposure) * pm.math.exp(X @ beta), observed=counts)
    return model


def negative_binomial_regression():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=COLUMNS)
        alpha = pm.Exponential("alpha", 1)
        pm.NegativeBinomial("y", mu=pm.math.exp(X @ beta), alpha=alpha, observed=counts)
    return model


def binomial_regression():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=COLUMNS)
        pm.Binomial("y", n=counts + 4, logit_p=X @ beta, observed=counts)
    return model


def categorical_regression():
    with pm.Model() as model:
        design = pm.Data("X", X)
        beta = pm.Normal("beta", shape=(COLUMNS, 4))
        pm.Categorical("y", logit_p=design @ beta, observed=classes)
    return model


def categorical_intercepts():
    with pm.Model() as model:
        pm.Categorical("y", logit_p=pm.Normal("mu", shape=4), observed=classes)
    return model


def categorical_probabilities():
    with pm.Model() as model:
        pm.Categorical("y", p=pm.Dirichlet("p", np.ones(4)), observed=classes)
    return model


def ordered_intercept():
    with pm.Model() as model:
        cutpoints = pm.Normal(
            "cutpoints",
            shape=3,
            transform=pm.distributions.transforms.ordered,
            initval=[-1.0, 0.0, 1.0],
        )
        pm.OrderedLogistic("y", eta=pm.Normal("eta"), cutpoints=cutpoints, observed=classes)
    return model


def ordered_regression():
    with pm.Model() as model:
        cutpoints = pm.Normal(
            "cutpoints",
            shape=3,
            transform=pm.distributions.transforms.ordered,
            initval=[-1.0, 0.0, 1.0],
        )
        eta = pm.Data("X", X) @ pm.Normal("beta", shape=COLUMNS)
        pm.OrderedLogistic("y", eta=eta, cutpoints=cutpoints, observed=classes)
    return model


def missing_values_filled_inside():
    incomplete = np.where(np.arange(ROWS) % 7 == 3, np.nan, x)
    with pm.Model() as model:
        covariate = pt.constant(incomplete)
        fill = pm.Normal("fill")
        filled = pt.switch(pt.isnan(covariate), fill, covariate)
        pm.Normal("y", pm.Normal("slope") * filled, 1, observed=y)
    return model


def as_many_groups_as_rows():
    with pm.Model() as model:
        spread = pm.HalfNormal("spread", shape=ROWS)
        effect = pm.Normal("effect", 0, spread, shape=ROWS)
        pm.Normal("y", effect[np.arange(ROWS) // 2], 1, observed=y)
    return model


def multinomial_regression():
    table = np.stack([counts, binary, classes], axis=1)
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=(COLUMNS, 3))
        p = pm.math.softmax(pm.Data("X", X) @ beta, axis=-1)
        pm.Multinomial("y", n=table.sum(axis=1), p=p, observed=table)
    return model


def student_t_regression():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=COLUMNS)
        nu = pm.Gamma("nu", 2, 0.1)
        pm.StudentT("y", nu=nu, mu=X @ beta, sigma=pm.HalfNormal("sigma"), observed=y)
    return model


def gamma_regression():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=COLUMNS)
        pm.Gamma("y", mu=pm.math.exp(X @ beta), sigma=pm.HalfNormal("sigma"), observed=positive)
    return model


def beta_regression():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=COLUMNS)
        kappa = pm.Exponential("kappa", 0.1)
        pm.Beta("y", mu=pm.math.sigmoid(X @ beta), nu=kappa + 1, observed=unit)
    return model


def weibull_regression():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=COLUMNS)
        shape = pm.HalfNormal("shape")
        pm.Weibull("y", alpha=shape, beta=pm.math.exp(X @ beta), observed=positive)
    return model


def heteroscedastic_regression():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=COLUMNS)
        log_scale = pm.Normal("log_scale", shape=COLUMNS)
        pm.Normal("y", X @ beta, pm.math.exp(X @ log_scale), observed=y)
    return model


def varying_intercepts():
    with pm.Model(coords={"group": np.arange(GROUPS)}) as model:
        index = pm.Data("index", group)
        centre = pm.Normal("centre")
        spread = pm.HalfNormal("spread")
        effect = pm.Normal("effect", centre, spread, dims="group")
        slope = pm.Normal("slope")
        sigma = pm.HalfNormal("sigma")
        pm.Normal("y", effect[index] + slope * pm.Data("x", x), sigma, observed=y)
    return model


def varying_intercepts_non_centred():
    with pm.Model() as model:
        spread = pm.HalfNormal("spread")
        z = pm.Normal("z", shape=GROUPS)
        effect = pm.Deterministic("effect", spread * z)
        pm.Normal("y", effect[group], pm.HalfNormal("sigma"), observed=y)
    return model


def varying_slopes():
    with pm.Model() as model:
        effects = pm.Normal("effects", 0, pm.HalfNormal("spread", shape=2), shape=(GROUPS, 2))
        mean = effects[group, 0] + effects[group, 1] * x
        pm.Normal("y", mean, pm.HalfNormal("sigma"), observed=y)
    return model


def varying_slopes_matrix():
    with pm.Model() as model:
        slopes = pm.Normal("slopes", shape=(GROUPS, COLUMNS))
        mean = (slopes[group] * X).sum(axis=-1)
        pm.Normal("y", mean, pm.HalfNormal("sigma"), observed=y)
    return model


def crossed_effects():
    with pm.Model() as model:
        first = pm.Normal("first", shape=GROUPS)
        second = pm.Normal("second", shape=3)
        interaction = pm.Normal("interaction", shape=(GROUPS, 3))
        mean = first[group] + second[second_group] + interaction[group, second_group]
        pm.Normal("y", mean, pm.HalfNormal("sigma"), observed=y)
    return model


def group_level_predictor():
    uranium = np.linspace(-1, 1, GROUPS)
    with pm.Model() as model:
        gamma = pm.Normal("gamma", shape=2)
        spread = pm.HalfNormal("spread")
        effect = pm.Normal("effect", gamma[0] + gamma[1] * uranium, spread, shape=GROUPS)
        pm.Normal("y", effect[group], pm.HalfNormal("sigma"), observed=y)
    return model


def standardised_inside():
    with pm.Model() as model:
        raw = pm.Data("X", 3 * X + 1)
        scaled = (raw - raw.mean(axis=0)) / raw.std(axis=0)
        beta = pm.Normal("beta", shape=COLUMNS)
        pm.Normal("y", scaled @ beta, pm.HalfNormal("sigma"), observed=y)
    return model


def two_outcomes():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=COLUMNS)
        scale = pm.HalfNormal("scale")
        eta = pm.Data("X", X) @ beta
        pm.Normal("y", eta, scale, observed=y)
        pm.Poisson("events", pm.math.exp(eta / 2), observed=counts)
    return model


def outcome_matrix():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=(2, COLUMNS))
        pm.Normal("y", pm.Data("x", x)[:, None] * beta[0] + beta[1], 1, observed=X)
    return model


def normal_mixture():
    with pm.Model() as model:
        weights = pm.Dirichlet("weights", np.ones(2))
        means = pm.Normal(
            "means", shape=2, transform=pm.distributions.transforms.ordered, initval=[-1.0, 1.0]
        )
        pm.NormalMixture("y", w=weights, mu=means, sigma=pm.HalfNormal("sigma"), observed=y)
    return model


def zero_inflated():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=COLUMNS)
        psi = pm.Beta("psi", 1, 1)
        pm.ZeroInflatedPoisson("y", psi=psi, mu=pm.math.exp(X @ beta), observed=counts)
    return model


def constrained_parameters():
    with pm.Model() as model:
        low = pm.Uniform("low", -3, 3)
        rate = pm.Exponential("rate", 1)
        weights = pm.Dirichlet("weights", np.ones(COLUMNS))
        pm.Laplace("y", low + X @ weights, rate, observed=y)
    return model


def float32_regression():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=COLUMNS, dtype="float32")
        design = pm.Data("X", X.astype("float32"))
        pm.Normal("y", design @ beta, np.float32(1.0), observed=y.astype("float32"))
    return model


def einsum_regression():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=COLUMNS)
        mean = pt.einsum("ij,j->i", pm.Data("X", X), beta)
        pm.Normal("y", mean, pm.HalfNormal("sigma"), observed=y)
    return model


def column_replaced():
    with pm.Model() as model:
        slope = pm.Normal("slope")
        design = pt.set_subtensor(pt.as_tensor(X)[:, 1], pt.exp(slope * x))
        design = pt.set_subtensor(design[:, 2], slope)
        pm.Normal("y", design @ pm.Normal("beta", shape=COLUMNS), 1, observed=y)
    return model


def joined_rows():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=COLUMNS)
        mean = [X[:9] @ beta + pm.Normal("effect"), [pm.Normal("one")], X[10:] @ beta]
        pm.Normal("y", pt.concatenate(mean), pm.HalfNormal("sigma"), observed=y)
    return model


def joined_by_group():
    """The rows of each group have their own coefficients, and then go back to their places."""
    beta = [f"beta_{g}" for g in range(GROUPS)]
    with pm.Model() as model:
        parts = [X[group == g] @ pm.Normal(beta[g], shape=COLUMNS) for g in range(GROUPS)]
        mean = pt.concatenate(parts)[np.argsort(np.argsort(group, kind="stable"))]
        pm.Normal("y", mean, 1, observed=y)
    return model


def cumulative_effects():
    with pm.Model() as model:
        steps = pt.as_tensor(X) * pm.Normal("beta", shape=COLUMNS)
        pm.Normal("y", pt.cumsum(steps, axis=1).sum(axis=1), 1, observed=y)
    return model


def multivariate_rows():
    with pm.Model() as model:
        chol, _, _ = pm.LKJCholeskyCov("chol", n=COLUMNS, eta=2, sd_dist=pm.HalfNormal.dist(1))
        pm.MvNormal("y", pm.Normal("mean", shape=COLUMNS), chol=chol, observed=X)
    return model


def multivariate_rows_by_group():
    with pm.Model() as model:
        scales = pm.HalfNormal("scales", shape=(GROUPS, COLUMNS))
        covariance = pt.eye(COLUMNS) * scales[group][:, :, None]
        pm.MvNormal("y", pm.Normal("mean", shape=COLUMNS), cov=covariance, observed=X)
    return model


def multivariate_precision_by_group():
    with pm.Model() as model:
        scales = pm.HalfNormal("scales", shape=(GROUPS, COLUMNS))
        precision = pt.eye(COLUMNS) * scales[group][:, :, None]
        pm.MvNormal("y", np.zeros(COLUMNS), tau=precision, observed=X)
    return model


def small_network():
    with pm.Model() as model:
        first = pm.Normal("first", shape=(COLUMNS, 4))
        second = pm.Normal("second", shape=4)
        hidden = pm.math.tanh(pm.Data("X", X) @ first)
        pm.Bernoulli("y", logit_p=hidden @ second, observed=binary)
    return model


WITH_PARAMETERS_BY_THE_ROW = [as_many_groups_as_rows]

SELECTABLE = [
    normal_mean,
    linear_regression_data,
    linear_regression_transposed,
    linear_regression_dims,
    logistic_regression,
    logistic_regression_integers,
    logistic_regression_columns,
    probit_regression,
    poisson_regression,
    negative_binomial_regression,
    binomial_regression,
    categorical_regression,
    categorical_intercepts,
    categorical_probabilities,
    ordered_intercept,
    ordered_regression,
    missing_values_filled_inside,
    multinomial_regression,
    student_t_regression,
    gamma_regression,
    beta_regression,
    weibull_regression,
    heteroscedastic_regression,
    varying_intercepts,
    varying_intercepts_non_centred,
    varying_slopes,
    varying_slopes_matrix,
    crossed_effects,
    group_level_predictor,
    standardised_inside,
    two_outcomes,
    outcome_matrix,
    normal_mixture,
    zero_inflated,
    constrained_parameters,
    float32_regression,
    small_network,
    einsum_regression,
    column_replaced,
    joined_rows,
    joined_by_group,
    cumulative_effects,
    multivariate_rows,
    multivariate_rows_by_group,
    multivariate_precision_by_group,
]
