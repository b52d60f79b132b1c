"""How many nodes, and steps to the modes, the integral over the effects of groups takes."""

from dataclasses import replace

import numpy as np
import pymc as pm
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, logsumexp

from pymc_sgld import SGLD, SGLDWarning
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.tuning import quadrature
from pymc_sgld.tuning.posterior.covariance import Full
from pymc_sgld.tuning.posterior.variational import Gaussian
from pymc_sgld.tuning.quadrature import ERROR, PoorIntegral, errors, settle_nodes, steps_to_modes

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
    return rows, Gaussian(np.zeros(1), Full(np.array([[precision]]))), passed


def test_many_rows_of_groups_that_differ_little():
    rows, gaussian, _ = intercepts(50, 40, 0.5)
    nodes, steps = settle_nodes(rows, gaussian, [], "SGLD")
    assert nodes == 3 and steps == 1


def log_integral(mean, sign, spread, count):
    """Return log E p(y | mean + b), b ~ N(0, spread), by ``count`` nodes around the mode."""

    def log_density(b):
        return log_expit(sign * (mean + b)) - (b / spread) ** 2 / 2

    mode = minimize_scalar(lambda b: -log_density(b), method="golden", tol=1e-12).x
    inside = expit(mean + mode)
    sd = 1 / np.sqrt(inside * (1 - inside) + 1 / spread**2)
    z, weights = np.polynomial.hermite.hermgauss(count)
    values = np.log(weights) + z**2 + log_density(mode + np.sqrt(2) * sd * z)
    return np.log(np.sqrt(2) * sd) + logsumexp(values)


def test_what_few_nodes_do_to_a_mean():
    """Groups of one row that differ much: beside the slope of the error, computed by itself."""
    spread, share, center = 2.0, 1e-3, 2.0  # at 0 the errors of both outcomes cancel
    rows, gaussian, outcome = intercepts(4000, 1, spread)
    gaussian = replace(gaussian, mean=np.array([center]))
    rows.effects.settle(gaussian.mean, [])
    found = errors(rows.effects, 1, gaussian, [])
    passed = int(outcome.sum())
    for count in (3, 5):
        slope = 0.0
        for sign, groups in ((1, passed), (-1, 4000 - passed)):
            above, below = (
                log_integral(mean, sign, spread, count) - log_integral(mean, sign, spread, 101)
                for mean in (center + share, center - share)
            )
            slope += groups * (above - below) / (2 * share)
        moved = abs(slope) / np.sqrt(gaussian.shape.precision[0, 0])
        assert 0.3 < found[count] / moved < 3  # of four normal numbers, root mean square
    assert found[15] < ERROR < found[3]
    nodes = settle_nodes(rows, gaussian, [], "SGLD")[0]
    assert nodes == min(count for count, error in found.items() if error < ERROR) > 3


@pytest.mark.long
def test_nodes_that_are_not_enough_are_told():
    with pm.Model() as model:
        effect = pm.Laplace("effect", 0, pm.HalfNormal("spread"), shape=300)
        pm.Bernoulli("y", logit_p=effect, observed=_rng.integers(0, 2, 300))
    rows = Minibatcher(model, model.value_vars, model.initial_point(), marginalize=True)
    gaussian = Gaussian(np.zeros(1), Full(np.array([[20.0]])))
    with pytest.warns(SGLDWarning, match=r'integral over "effect" by quadrature is not exact'):
        assert settle_nodes(rows, gaussian, [], "SGLD")[0] == 15
    rows.groups.by_default = True
    with pytest.raises(PoorIntegral, match='integral over "effect"'):
        settle_nodes(rows, gaussian, [], "SGLD")


def test_steps_to_modes_that_lie_far_apart():
    """Few groups of many rows: their common mean is uncertain, and what they add to it is not.

    One step that leads four standard deviations at most is not enough, and updates with it would
    keep the chain near the center.
    """
    rows, gaussian, _ = intercepts(6, 4000, 1.0)
    rows.effects.settle(gaussian.mean, [])
    steps = steps_to_modes(rows.effects, 3, gaussian, [])
    assert steps > 1 and settle_nodes(rows, gaussian, [], "SGLD") == (3, steps)
    sd = 1 / np.sqrt(gaussian.shape.precision[0, 0])
    exact = rows.effects.log_likelihoods(np.array([2 * sd]), [], [15])[0]
    found = {}
    for count in (1, steps):
        rows.groups.use_nodes(7, count)
        data = FullData(rows.density(128))
        found[count] = data.gradients(np.array([2 * sd]), [])[0][1:].sum()
    np.testing.assert_allclose(found[steps], exact, atol=0.1)
    assert abs(found[1] - exact) > 10


def build():
    with pm.Model() as model:
        mean = pm.Normal("mean")
        effect = pm.Normal("effect", 0, 1, shape=60)
        passed = np.random.default_rng(5).integers(0, 2, 600)
        pm.Bernoulli("y", logit_p=mean + effect[np.arange(600) % 60], observed=passed)
    return model


@pytest.mark.long
def test_effects_whose_integral_is_poor_are_sampled_as_other_variables(monkeypatch):
    """What nobody asked for is not done at the price of an error; what was asked for is told."""
    monkeypatch.setattr(quadrature, "ERROR", 0.0)
    settings = {
        "compile_kwargs": {"mode": "FAST_COMPILE"},
        "model": build(),
        "batch_size": 600,  # all: no noise to be measured
    }
    with pytest.warns(SGLDWarning, match=r"is not exact.*These effects are sampled like"):
        step = SGLD(**settings)
    assert len(step.coordinate_names) == 61 and step._effects is None
    with pytest.warns(SGLDWarning, match=r"is not exact.*Pass marginalize=False"):
        step = SGLD(marginalize="effect", **settings)
    assert step.coordinate_names == ["mean"]


def test_updates_take_what_was_chosen(monkeypatch):
    """The density of the updates is made after the choice, with its nodes and Newton steps."""
    chosen, made, density = [], [], Minibatcher.density

    def choose(*args):
        chosen.append(len(made))
        return 5, 3

    def noted(self, *args, **settings):
        made.append((self.groups.nodes_each, self.groups.newton))
        return density(self, *args, **settings)

    monkeypatch.setattr("pymc_sgld.tuning.locate.settle_nodes", choose)
    monkeypatch.setattr(Minibatcher, "density", noted)
    SGLD(model=build(), batch_size=600, compile_kwargs={"mode": "FAST_COMPILE"})
    assert len(made) > chosen[-1] and made[-1] == (5, 3)


@pytest.mark.long
@pytest.mark.parametrize(
    "preconditioner", ["identity", pytest.param("adaptive", marks=pytest.mark.long)]
)
def test_nothing_is_integrated_out_unseen(preconditioner):
    """Where no posterior is looked for, nothing tells how many nodes are enough: only if asked."""
    settings = {
        "model": build(),
        "gradient": "minibatch",
        "step_size": 1e-4,
        "preconditioner": preconditioner,
        "compile_kwargs": {"mode": "FAST_COMPILE"},
    }
    assert len(SGLD(**settings).coordinate_names) == 61
    step = SGLD(marginalize=True, **settings)
    assert step.coordinate_names == ["mean"] and "7 nodes" not in repr(step)
