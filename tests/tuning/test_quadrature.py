"""How many nodes, and steps to the modes, the integral over the effects of groups takes."""

import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLDWarning
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.tuning.posterior.covariance import Full
from pymc_sgld.tuning.posterior.variational import Gaussian
from pymc_sgld.tuning.quadrature import settle_nodes, steps_to_modes

_rng = np.random.default_rng(3)


def intercepts(groups, each, spread):
    """Return a minibatcher of successes in groups, and a Gaussian like their posterior."""
    group = np.repeat(np.arange(groups), each)
    effects = _rng.normal(0, spread, groups)
    passed = (effects[group] > _rng.logistic(size=len(group))).astype(int)
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 2)
        effect = pm.Normal("effect", 0, spread, shape=groups)
        pm.Bernoulli("y", logit_p=mean + effect[group], observed=passed)
    rows = Minibatcher(model, model.value_vars, model.initial_point(), marginalize=True)
    precision = groups / (spread**2 + 4 / each)
    return rows, Gaussian(np.zeros(1), Full(np.array([[precision]])))


def test_many_rows_of_groups_that_differ_little():
    rows, gaussian = intercepts(50, 40, 0.5)
    nodes, steps = settle_nodes(rows, gaussian, [], "SGLD")
    assert nodes == 3 and steps == 1


def test_nodes_that_are_not_enough_are_told():
    with pm.Model() as model:
        effect = pm.Laplace("effect", 0, pm.HalfNormal("spread"), shape=300)
        pm.Bernoulli("y", logit_p=effect, observed=_rng.integers(0, 2, 300))
    rows = Minibatcher(model, model.value_vars, model.initial_point(), marginalize=True)
    gaussian = Gaussian(np.zeros(1), Full(np.array([[20.0]])))
    with pytest.warns(SGLDWarning, match=r'integral over "effect" by quadrature is not exact'):
        assert settle_nodes(rows, gaussian, [], "SGLD")[0] == 15


def test_steps_to_modes_that_lie_far_apart():
    """Few groups of many rows: their common mean is uncertain, and what they add to it is not.

    One step that leads four standard deviations at most is not enough, and updates with it would
    keep the chain near the center.
    """
    rows, gaussian = intercepts(6, 4000, 1.0)
    rows.effects.settle(gaussian.mean, [])
    steps = steps_to_modes(rows.effects, 3, gaussian, [])
    assert steps > 1
    sd = 1 / np.sqrt(gaussian.shape.precision[0, 0])
    exact = rows.effects.log_likelihoods(np.array([2 * sd]), [], [15])[0]
    found = {}
    for count in (1, steps):
        rows.groups.use_nodes(7, count)
        data = FullData(rows.density(128))
        found[count] = data.gradients(np.array([2 * sd]), [])[0][1:].sum()
    np.testing.assert_allclose(found[steps], exact, atol=0.1)
    assert abs(found[1] - exact) > 10
