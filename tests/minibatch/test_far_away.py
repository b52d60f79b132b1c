"""Gradients where exponentials overflow or underflow, beside their formulas.

A gradient that is taken of the log density as it is written has ``0 * inf`` there. PyMC rewrites
the log density before it takes the gradient, and has numbers.
"""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from scipy.special import expit, log_ndtr, softmax

from pymc_sgld.backends.numpy_mode import QUICK
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.model import Minibatcher

FAR = np.array([-800.0, -40, -3, 0, 3, 40, 800])  # linear predictors, one a row
COUNTS = np.array([1, 0, 2, 1, 0, 3, 2])
YES = np.array([1, 0, 1, 1, 0, 1, 0])
SINGLE = np.finfo("float32").eps
REAL = np.linspace(-1, 1, len(FAR))


def three(eta):
    """Return logits of three categories."""
    return pt.stack([eta, -eta, 0 * eta], axis=1)


def of_three(eta):
    """Return their gradient by ``eta``."""
    p = softmax(np.stack([eta, -eta, 0 * eta], axis=1), axis=1)
    return np.array([1.0, -1, 0])[COUNTS % 3] - p[:, 0] + p[:, 1]


def of_skew_normal(eta):
    z = REAL - eta
    return z - 3 * np.exp(-((3 * z) ** 2) / 2 - log_ndtr(3 * z)) / np.sqrt(2 * np.pi)


CASES = {
    "bernoulli": (
        lambda eta: pm.Bernoulli("y", logit_p=eta, observed=YES),
        lambda x: YES - expit(x),
    ),
    "bernoulli of p": (
        lambda eta: pm.Bernoulli("y", p=pm.math.invlogit(eta), observed=YES),
        lambda x: YES - expit(x),
    ),
    "binomial": (
        lambda eta: pm.Binomial("y", n=5, logit_p=eta, observed=COUNTS),
        lambda x: COUNTS - 5 * expit(x),
    ),
    "negative binomial": (
        lambda eta: pm.NegativeBinomial("y", mu=pm.math.exp(eta), alpha=2.0, observed=COUNTS),
        lambda x: COUNTS - (COUNTS + 2) * expit(x - np.log(2)),
    ),
    "geometric": (
        lambda eta: pm.Geometric("y", p=pm.math.invlogit(eta), observed=COUNTS + 1),
        lambda x: 1 - (COUNTS + 1) * expit(x),
    ),
    "categorical": (
        lambda eta: pm.Categorical("y", logit_p=three(eta), observed=COUNTS % 3),
        of_three,
    ),
    "categorical of p": (
        lambda eta: pm.Categorical("y", p=pm.math.softmax(three(eta), axis=1), observed=COUNTS % 3),
        of_three,
    ),
    "logistic": (
        lambda eta: pm.Logistic("y", mu=eta, s=1.0, observed=REAL),
        lambda x: np.tanh((REAL - x) / 2),
    ),
    "skew normal": (
        lambda eta: pm.SkewNormal("y", mu=eta, sigma=1.0, alpha=3.0, observed=REAL),
        of_skew_normal,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_gradients_of_every_row(case):
    """Each row has a coefficient of its own."""
    observe, formula = CASES[case]
    with pm.Model() as model:
        observe(pt.dot(np.eye(len(FAR)), pm.Flat("eta", shape=len(FAR))))
    rows = Minibatcher(model, model.value_vars, model.initial_point())
    _, (prior, likelihood) = FullData(rows.blocks(len(FAR))).gradients(FAR, [])
    assert not np.any(prior)
    # PyTensor has constants such as 2.0, and their logarithms, in single precision
    np.testing.assert_allclose(likelihood, formula(FAR), rtol=SINGLE, atol=SINGLE)
    theirs = model.compile_dlogp(mode=QUICK)({"eta": FAR})
    np.testing.assert_allclose(likelihood, theirs, rtol=1e-9, atol=1e-12)
