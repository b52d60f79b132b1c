"""Hessians by differences of gradients, and the zeros that groups leave in them."""

import numpy as np
import pymc as pm
import pytest

from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.tuning.posterior.curvature import Curvature
from tests.graphs import random_point

GROUPS = 20
_rng = np.random.default_rng(5)
group = np.repeat(np.arange(GROUPS), 6)
other = _rng.integers(0, 17, size=len(group))
x = _rng.normal(size=len(group))
outcome = _rng.normal(size=len(group))


def intercepts_and_slopes():
    spread = pm.HalfNormal("spread", shape=2)
    intercept = pm.Normal("intercept", pm.Normal("mean"), spread[0], shape=GROUPS)
    slope = pm.Normal("slope", 0, spread[1], shape=GROUPS)
    pm.Logistic("y", intercept[group] + slope[group] * x, 1, observed=outcome)


def crossed():
    first, second = pm.Normal("first", shape=GROUPS), pm.Normal("second", shape=17)
    spread = pm.HalfNormal("spread")
    pm.Poisson("y", pm.math.exp(spread * first[group] + second[other]), observed=group)


def regression():
    pm.Normal("y", _rng.normal(size=(120, 30)) @ pm.Normal("beta", shape=30), 1, observed=outcome)


def shared_sum():
    """Entries that know of each other though no two are in a row together."""
    effect = pm.Normal("effect", shape=GROUPS)
    pm.Potential("sum", -(effect.sum() ** 2))
    pm.Normal("y", effect[group], 1, observed=outcome)


def curvature_of(build):
    with pm.Model() as model:
        build()
    placed = {"sum": "prior"} if build is shared_sum else {}
    point = random_point(model)
    rows = Minibatcher(model, model.value_vars, point, placed)
    return Curvature(FullData(rows.blocks(64)), []), rows.inputs.values[rows.inputs.position]


class Counted:
    """Counts the gradients of a log density."""

    def __init__(self, data):
        self.data, self.dtype, self.coordinates = data, data.dtype, data.coordinates
        self.gradients_taken = 0

    def gradients(self, position, others):
        self.gradients_taken += 1
        return self.data.gradients(position, others)


@pytest.mark.parametrize(
    ("build", "gradients"),
    [
        # the position, one for each variable alone, and one to see whether it is right
        (intercepts_and_slopes, 1 + 3 + 2 + 1),
        # both variables together do not come out right; the longer one alone does
        (crossed, 1 + (1 + 2 + 1) + (18 + 1)),
        (regression, 1 + (1 + 1) + 30),
        (shared_sum, 1 + (1 + 1) + GROUPS),
    ],
)
def test_matrix_in_few_gradients(build, gradients):
    """That of second derivatives, in as many gradients as the groups leave."""
    curvature, at = curvature_of(build)
    expected = -curvature.data.hessians(at, []).sum(axis=0)
    deviations = 1 / np.sqrt(np.abs(np.diag(expected)))
    curvature.data = counted = Counted(curvature.data)
    found = curvature.matrix(at, deviations)
    # a displacement of 6e-6 standard deviations, on which the curvature changes by about as much
    scale = np.outer(deviations, deviations)
    np.testing.assert_allclose(found * scale, expected * scale, atol=1e-4)
    assert counted.gradients_taken == gradients
    assert curvature.may_have_groups == (build in (intercepts_and_slopes, crossed))


def test_scales_are_found():
    """Coordinates whose standard deviations differ by fifteen powers of ten."""
    precisions = 10.0 ** np.array([10, -20, 0, 4])

    class Quadratic:
        coordinates, dtype = (), "float64"

        def gradients(self, position, others):
            return np.zeros(1), -(precisions * position)[None]

    found = Curvature(Quadratic(), []).matrix(np.array([1e-6, 3e9, 0.5, -2]))
    np.testing.assert_allclose(np.diag(found), precisions, rtol=1e-5)
    np.testing.assert_allclose(found - np.diag(np.diag(found)), 0, atol=1e-12)


def test_displacements_are_not_lost_in_single_precision():
    """Near 10,000 numbers are 0.001 apart: with a sd of 0.01, half a hundredth of it is nothing."""
    center, precisions = np.array([1e4, 1.0]), np.array([1e4, 4.0])

    class Quadratic:
        coordinates, dtype = (), "float32"

        def gradients(self, position, others):
            return np.zeros(1), -(precisions * (position - center))[None]

    curvature = Curvature(Quadratic(), [])
    np.testing.assert_allclose(np.diag(curvature.matrix(center)), precisions, rtol=1e-3)
    product = curvature.product(center, np.array([0.01, 0.0]))
    np.testing.assert_allclose(product, [100, 0], rtol=1e-3)
