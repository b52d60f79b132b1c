"""Covariances that are given by a Cholesky factor: no factor is computed, the density is PyMC's."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pymc.blocking import DictToArrayBijection
from pytensor.graph.traversal import ancestors
from pytensor.tensor.linalg.decomposition.cholesky import Cholesky

from pymc_sgld.backends.numpy_mode import QUICK
from pymc_sgld.gradients.minibatch import minibatch
from pymc_sgld.minibatch.model import Minibatcher

y = np.random.default_rng(1).normal(size=(30, 3))


def lkj():
    return pm.LKJCholeskyCov("chol", n=3, eta=2, sd_dist=pm.Exponential.dist(1, size=3))[0]


def effects():
    effect = pm.MvNormal("effect", np.zeros(3), chol=lkj(), shape=(5, 3))
    pm.Normal("y", effect[np.arange(30) % 5], 1, observed=y)


def observed():
    pm.MvNormal("y", pm.Normal("mean", shape=3), chol=lkj(), observed=y)


def upper():
    pm.MvNormal("y", pm.Normal("mean", shape=3), chol=lkj().T, lower=False, observed=y)


def student():
    pm.MvStudentT("y", nu=4, mu=pm.Normal("mean", shape=3), chol=lkj(), observed=y)


def one_for_each_row():
    chol = pm.HalfNormal("scale", shape=(30, 1, 1)) * lkj()
    pm.MvNormal("y", np.zeros(3), chol=chol, observed=y)


def covariance():
    spread = pm.HalfNormal("spread")
    pm.MvNormal("y", np.zeros(3), cov=spread * pt.eye(3) + 0.5, observed=y)


def factors(outputs):
    nodes = {v.owner for v in ancestors(outputs) if v.owner is not None}
    return sum(isinstance(getattr(node.op, "core_op", node.op), Cholesky) for node in nodes)


@pytest.mark.parametrize(
    ("build", "left"),
    [
        (effects, False),
        (observed, False),
        (upper, False),
        (student, False),
        (one_for_each_row, False),
        (covariance, True),
    ],
)
def test_a_factor_that_is_given_is_not_computed(build, left):
    with pm.Model() as model:
        build()
    point = model.initial_point()
    moved = {name: value + 0.1 for name, value in point.items()}
    density = Minibatcher(model, model.value_vars, point).density(30)
    estimate = minibatch(density)
    assert bool(factors([estimate.gradient])) == left
    values = [density.log_prior + sum(density.log_likelihoods), estimate.gradient]
    function = pytensor.function(
        [density.position, *[item.variable for item in density.data]],
        values,
        mode=QUICK,
        on_unused_input="ignore",
    )
    position = DictToArrayBijection.map(moved).data
    found, gradient = function(position, *[item.array for item in density.data])
    expected = model.compile_logp(mode=QUICK)(moved)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    np.testing.assert_allclose(gradient, model.compile_dlogp(mode=QUICK)(moved), rtol=1e-8)
