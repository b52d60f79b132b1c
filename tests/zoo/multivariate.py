"""Rows that are vectors or matrices."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from tests.zoo.catalogue import selectable
from tests.zoo.data import (
    COLUMNS,
    GROUPS,
    ROWS,
    X,
    classes,
    covariances,
    group,
    series,
    shares,
    table,
    walks,
    x,
)


def _cholesky(name="chol"):
    return pm.LKJCholeskyCov(name, n=COLUMNS, eta=2, sd_dist=pm.HalfNormal.dist(1))[0]


@selectable
def multinomial_regression():
    beta = pm.Normal("beta", shape=(COLUMNS, 3))
    p = pm.math.softmax(pm.Data("X", X) @ beta, axis=-1)
    pm.Multinomial("y", n=table.sum(axis=1), p=p, observed=table)


@selectable
def outcome_matrix():
    beta = pm.Normal("beta", shape=(2, COLUMNS))
    pm.Normal("y", pm.Data("x", x)[:, None] * beta[0] + beta[1], 1, observed=X)


@selectable
def multivariate_rows():
    chol, _, _ = pm.LKJCholeskyCov("chol", n=COLUMNS, eta=2, sd_dist=pm.HalfNormal.dist(1))
    pm.MvNormal("y", pm.Normal("mean", shape=COLUMNS), chol=chol, observed=X)


@selectable
def multivariate_rows_by_group():
    scales = pm.HalfNormal("scales", shape=(GROUPS, COLUMNS))
    covariance = pt.eye(COLUMNS) * scales[group][:, :, None]
    pm.MvNormal("y", pm.Normal("mean", shape=COLUMNS), cov=covariance, observed=X)


@selectable
def multivariate_precision_by_group():
    scales = pm.HalfNormal("scales", shape=(GROUPS, COLUMNS))
    precision = pt.eye(COLUMNS) * scales[group][:, :, None]
    pm.MvNormal("y", np.zeros(COLUMNS), tau=precision, observed=X)


@selectable
def multivariate_regression():
    mean = pm.Data("x", x)[:, None] * pm.Normal("slopes", shape=COLUMNS)
    chol = _cholesky()
    pm.MvNormal("y", mean, cov=chol @ chol.T, observed=X)


@selectable
def multivariate_precision():
    chol = _cholesky()
    pm.MvNormal("y", pm.Normal("mean", shape=COLUMNS), tau=chol @ chol.T, observed=X)


@selectable
def multivariate_student_t():
    mean = pm.Normal("means", shape=(GROUPS, COLUMNS))[group]
    pm.MvStudentT("y", nu=5, mu=mean, chol=_cholesky(), observed=X)


@selectable
def covariance_that_depends_on_a_covariate():
    scale = pm.math.exp(pm.Data("x", x) * pm.Normal("slope", 0, 0.1))
    chol = scale[:, None, None] * _cholesky()
    pm.MvNormal("y", np.zeros(COLUMNS), chol=chol, observed=X)


@selectable
def factor_analysis():
    loadings = pm.Normal("loadings", shape=(6, 2))
    covariance = loadings @ loadings.T + pt.diag(pm.HalfNormal("noise", shape=6) + 0.5)
    pm.MvNormal("y", np.zeros(6), cov=covariance, observed=series)


@selectable
def panel_of_gaussian_processes():
    kernel = pm.gp.cov.ExpQuad(1, ls=pm.HalfNormal("scale") + 1)
    covariance = kernel(np.linspace(0, 1, 6)[:, None]) + 0.1 * pt.eye(6)
    pm.MvNormal("y", np.zeros(6), cov=covariance, observed=series)


@selectable
def panel_of_random_walks():
    pm.GaussianRandomWalk(
        "y", sigma=pm.HalfNormal("s"), init_dist=pm.Normal.dist(), observed=series
    )


@selectable
def panel_of_autoregressions():
    rho = pm.Normal("rho", 0, 0.1, shape=2)
    init = pm.Normal.dist(0, 1, shape=2)
    pm.AR("y", rho, sigma=1, init_dist=init, observed=series)


@selectable
def panel_of_walks_in_the_plane():
    init = pm.MvNormal.dist(np.zeros(2), np.eye(2))
    drift = pm.Normal("drift", shape=2)
    pm.MvGaussianRandomWalk("y", mu=drift, cov=np.eye(2), init_dist=init, observed=walks)


@selectable
def panel_of_stochastic_differential_equations():
    def drift_and_noise(state, speed):
        return -speed * state, 1.0

    speed, start = pm.HalfNormal("speed"), pm.Normal.dist(0, 1)
    pm.EulerMaruyama("y", 0.1, drift_and_noise, (speed,), init_dist=start, observed=series)


@selectable
def wishart_rows():
    pm.Wishart("y", nu=5, V=pt.eye(2) * pm.HalfNormal("scale"), observed=covariances)


@selectable
def panel_of_areas():
    neighbours = np.eye(6, k=1) + np.eye(6, k=-1)
    pm.CAR("y", pm.Normal("mean") * np.ones(6), W=neighbours, alpha=0.5, tau=1, observed=series)


@selectable
def zero_sum_rows():
    centered = series - series.mean(axis=1, keepdims=True)
    pm.ZeroSumNormal("y", pm.HalfNormal("sigma"), observed=centered)


@selectable
def dirichlet_regression():
    concentration = pm.math.exp(pt.as_tensor(X) @ pm.Normal("beta", 0, 0.3, shape=(COLUMNS, 4)))
    pm.Dirichlet("y", concentration, observed=shares)


@selectable
def dirichlet_multinomial():
    concentration = pm.math.exp(pt.as_tensor(X) @ pm.Normal("beta", 0, 0.3, shape=(COLUMNS, 3)))
    pm.DirichletMultinomial("y", n=table.sum(axis=1), a=concentration, observed=table)


@selectable
def dirichlet_multinomial_of_one_vector():
    concentration = pm.Exponential("concentration", 1, shape=3)
    pm.DirichletMultinomial("y", n=table.sum(axis=1), a=concentration, observed=table)


@selectable
def multinomial_of_one_vector():
    pm.Multinomial("y", n=table.sum(axis=1), p=pm.Dirichlet("p", np.ones(3)), observed=table)


@selectable
def ordered_multinomial():
    transform = pm.distributions.transforms.ordered
    cutpoints = pm.Normal("cutpoints", shape=2, transform=transform, initval=[-1.0, 1.0])
    eta = X @ pm.Normal("beta", 0, 0.3, shape=COLUMNS)
    pm.OrderedMultinomial("y", eta=eta, cutpoints=cutpoints, n=table.sum(axis=1), observed=table)


@selectable
def stick_breaking_rows():
    alpha = pm.math.exp(pt.as_tensor(X) @ pm.Normal("beta", 0, 0.3, shape=COLUMNS))
    pm.StickBreakingWeights("y", alpha=alpha, K=3, observed=shares)


@selectable
def matrix_rows():
    observed = np.random.default_rng(1).normal(size=(ROWS, 3, 2))
    loadings = pm.Normal("loadings", shape=(COLUMNS, 3, 2))
    pm.Normal("y", pt.tensordot(pt.as_tensor(X), loadings, axes=1), 1, observed=observed)


@selectable
def two_names_for_a_row():
    slopes = pm.Normal("slopes", shape=2)
    mean = pm.Data("x", x) * slopes[0]
    pm.Normal("response", mean, 1, observed=X[:, 0])
    pm.MvNormal("y", pt.stack([mean, slopes[1] * mean], axis=-1), np.eye(2), observed=X[:, 1:])


@selectable
def softmax_with_a_reference_class():
    eta = pt.as_tensor(X) @ pm.Normal("beta", shape=(COLUMNS, 3))
    eta = pt.concatenate([pt.zeros((eta.shape[0], 1)), eta], axis=1)
    pm.Categorical("y", p=pm.math.softmax(eta, axis=1), observed=classes)


@selectable
def covariance_by_solving():
    chol, mean = _cholesky(), pm.Normal("mean", shape=COLUMNS)
    white = pt.linalg.solve_triangular(chol, (pt.as_tensor(X) - mean).T, lower=True).T
    log_det = pm.math.log(pt.diag(chol)).sum()

    def logp(value, white, log_det):
        return -0.5 * (white**2).sum(axis=-1) - log_det

    pm.CustomDist("y", white, log_det, logp=logp, signature="(k),()->(k)", observed=X)


@selectable
def determinant_of_every_row():
    scales = 1 + pm.HalfNormal("scales", shape=2)
    matrices = pt.eye(2) * pt.exp(pt.as_tensor(X)[:, :2, None]) * scales
    log_det = pt.linalg.slogdet(matrices)[1]
    pm.Normal("y", log_det + pt.linalg.det(matrices) / 9, 1, observed=x)


def _matrices():
    scales = 1 + pm.HalfNormal("scales", shape=2)
    return pt.eye(2) * pt.exp(pt.as_tensor(X)[:, :2, None]) * scales + 0.1


@selectable
def eigenvectors_of_every_row():
    values, vectors = pt.linalg.eigh(_matrices())
    pm.Normal("y", (values * vectors[:, 0] ** 2).sum(axis=1), 1, observed=x)


@selectable
def singular_vectors_of_every_row():
    left, values, right = pt.linalg.svd(_matrices())
    pm.Normal("y", values[:, 0] + left[:, 0, 0] * right[:, 0, 1], 1, observed=x)


@selectable
def orthogonal_factors_of_every_row():
    orthogonal, triangular = pt.linalg.qr(_matrices())
    pm.Normal("y", orthogonal[:, 0, 0] * triangular[:, 1, 1], 1, observed=x)
