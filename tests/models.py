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


# 35 rows of eight groups whose sizes ask for several classes, or of seven of about one size;
# in both, one group has no rows
UNEQUAL = _rng.permutation(np.repeat(np.arange(8), [2, 1, 12, 0, 3, 11, 2, 4]))
EVEN = np.append(np.arange(34), 0) % 6
LEVELS = {"unequal": (UNEQUAL, 8), "even": (EVEN, 7)}
COVARIATE = _rng.normal(size=35)
SCORE = _rng.normal(size=35) + np.linspace(-1, 1, 7)[EVEN]
PASSED = (SCORE > 0.3).astype(int)
COUNT = np.floor(np.exp(SCORE / 2 + 0.5)).astype(int)


def effects_of_groups(family="bernoulli", centered=True, sizes="even"):
    """An intercept, a slope, and an effect of each group."""
    group, levels = LEVELS[sizes]
    with pm.Model() as model:
        mean, slope = pm.Normal("mean", 0, 2), pm.Normal("slope")
        spread = pm.HalfNormal("spread")
        if centered:
            effect = pm.Normal("effect", mean, spread, shape=levels)
        else:
            effect = pm.Deterministic("effect", mean + spread * pm.Normal("z", shape=levels))
        eta = effect[group] + slope * COVARIATE
        if family == "bernoulli":
            pm.Bernoulli("y", logit_p=eta, observed=PASSED)
        elif family == "poisson":
            pm.Poisson("y", pm.math.exp(eta), observed=COUNT)
        else:
            pm.Normal("y", eta, pm.HalfNormal("noise"), observed=SCORE)
    return model
