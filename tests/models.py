"""Models that several files of tests sample, with their data."""

import numpy as np
import pymc as pm

_rng = np.random.default_rng(1)
X = _rng.normal(size=(60, 3))
y = _rng.normal(size=60)
labels = _rng.integers(0, 2, size=60)


def mixed():
    """Two observed variables, transforms, and a discrete variable."""
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=3)
        sigma = pm.HalfNormal("sigma")
        shift = pm.Poisson("shift", 2)
        eta = pm.Data("X", X) @ beta
        pm.Normal("y", eta + 0.1 * shift, sigma, observed=y)
        pm.Bernoulli("label", logit_p=eta, observed=labels)
    return model


ROWS = 1000
DATA = np.random.default_rng(2).normal(size=ROWS)


def gaussian_mean():
    """The mean of a Gaussian, whose posterior is known."""
    with pm.Model() as model:
        theta = pm.Normal("theta", 0, 5)
        pm.Normal("x", theta, 1, observed=(DATA - DATA.mean()) / DATA.std())
    return model
