"""A regression whose posterior is known nearly enough, and draws of it."""

from types import SimpleNamespace

import arviz as az
import numpy as np
import pymc as pm
import pytest

ROWS, CHAINS, DRAWS = 300, 2, 200


@pytest.fixture(scope="package")
def regression():
    """Rows with heavy tails, and draws of the coefficients around their least squares."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(ROWS, 3))
    y = X @ [1, -1, 0.5] + rng.standard_t(3, size=ROWS)
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 2, shape=3)
        mean = pm.Deterministic("mean", pm.Data("X", X) @ beta)
        pm.StudentT("y", nu=3, mu=mean, sigma=1, observed=y)
    spread = np.linalg.inv(np.linalg.cholesky(X.T @ X * 2 / 3)).T
    draws = np.linalg.lstsq(X, y)[0] + rng.normal(size=(CHAINS, DRAWS, 3)) @ spread.T
    idata = az.from_dict({"posterior": {"beta": draws}})
    with model:
        pm.compute_log_likelihood(idata, progressbar=False, compile_kwargs={"mode": "FAST_COMPILE"})
    return SimpleNamespace(X=X, y=y, model=model, idata=idata, draws=draws)
