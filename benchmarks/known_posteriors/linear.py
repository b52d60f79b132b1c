"""Linear regressions with flat priors: the posterior is known in closed form."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from scipy.special import gammaln

from .posterior import Posterior, batches


def linear_regression(
    design: np.ndarray, outcome: np.ndarray, batch_size: int | None = None
) -> pm.Model:
    """Return a regression with flat priors."""
    columns, outcome = design.shape[1], outcome.astype(float)
    with pm.Model() as model:
        beta = pm.Flat("beta", shape=columns)
        sigma = pm.HalfFlat("sigma")
        (design, outcome), total = batches(batch_size, design, outcome)
        pm.Normal("y", pt.dot(design, beta), sigma, observed=outcome, total_size=total)
    return model


def closed_form(design: np.ndarray, outcome: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the means and sds of ``beta`` and ``sigma``.

    With n rows, p columns and the least squares :math:`\hat\beta` with residual sum of squares S,

    .. math::

        \beta \mid \sigma \sim N(\hat\beta, \sigma^2 (X^T X)^{-1}), \qquad
        \sigma^2 \sim \text{InverseGamma}((n - p - 1) / 2, S / 2).
    """
    rows, columns = design.shape
    orthogonal, triangular = np.linalg.qr(design)
    inverse = np.linalg.inv(triangular)
    beta = inverse @ orthogonal.T @ outcome
    half_squares = ((outcome - design @ beta) ** 2).sum() / 2
    shape = (rows - columns - 1) / 2
    variance = half_squares / (shape - 1)
    sigma = np.sqrt(half_squares) * np.exp(gammaln(shape - 0.5) - gammaln(shape))
    sd = np.sqrt(variance) * np.linalg.norm(inverse, axis=1)
    return np.append(beta, sigma), np.append(sd, np.sqrt(variance - sigma**2))


def _posterior(
    design: np.ndarray, coefficients: list[float], rng, batch_size: int | None = None
) -> Posterior:
    outcome = design @ coefficients + rng.standard_normal(len(design))
    model = linear_regression(design, outcome, batch_size)
    return Posterior(model, ["beta", "sigma"], *closed_form(design, outcome))


def badly_scaled() -> Posterior:
    """Three columns with sds of 0.001, 1 and 1,000, and an intercept: 5,000 rows."""
    rng = np.random.default_rng(9)
    columns = rng.standard_normal((5_000, 3)) * [1e-3, 1, 1e3]
    design = np.column_stack([np.ones(5_000), columns])
    return _posterior(design, [1, 500, -0.3, 2e-4], rng)


def correlated(batch_size: int | None = None) -> Posterior:
    """Two columns with a correlation of 0.999, two others and an intercept: 5,000 rows."""
    rng = np.random.default_rng(10)
    first, other, third, fourth = rng.standard_normal((4, 5_000))
    second = 0.999 * first + np.sqrt(1 - 0.999**2) * other
    design = np.column_stack([np.ones(5_000), first, second, third, fourth])
    return _posterior(design, [0.5, 1, -1, 0.3, 0], rng, batch_size)
