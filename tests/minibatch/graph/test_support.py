"""Where the density ends: what a gradient cannot see is an error, never a silent walk."""

import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLD, DataError, NonFiniteError
from tests.graphs import QUICK

rng = np.random.default_rng(8)
positive = rng.gamma(2.0, size=40)


def bad(values, row, value):
    values = np.array(values)
    values[row] = value
    return values


def location():
    return pm.Normal("mu")


OUTSIDE = {
    "exponential": lambda: pm.Exponential(
        "y", pm.math.exp(location()), observed=bad(positive, 33, -1)
    ),
    "lognormal": lambda: pm.LogNormal("y", location(), 1, observed=bad(positive, 33, -1)),
    "poisson": lambda: pm.Poisson(
        "y", pm.math.exp(location()), observed=bad(np.ones(40, int), 33, -1)
    ),
    "bernoulli": lambda: pm.Bernoulli(
        "y", logit_p=location(), observed=bad(np.ones(40, int), 33, 2)
    ),
    "categorical": lambda: pm.Categorical(
        "y", logit_p=pm.Normal("mu", shape=3), observed=bad(np.ones(40, int), 33, 5)
    ),
    "binomial": lambda: pm.Binomial(
        "y", n=3, logit_p=location(), observed=bad(np.ones(40, int), 33, 4)
    ),
    "beta": lambda: pm.Beta("y", pm.math.exp(location()), 1, observed=bad(positive / 99, 33, 1.5)),
    "negative sd": lambda: pm.Normal("y", location(), bad(np.ones(40), 33, -1), observed=positive),
    "nan": lambda: pm.Normal("y", location() * bad(positive, 33, np.nan), 1, observed=positive),
    "inf": lambda: pm.Normal("y", location(), 1, observed=bad(positive, 33, np.inf)),
    "parameter": lambda: pm.Uniform(
        "y", 0, pm.Normal("top", initval=5.0), observed=bad(positive % 4, 33, 6.0)
    ),
}


@pytest.mark.parametrize("batch_size", [5, 40])
@pytest.mark.parametrize("name", list(OUTSIDE))
def test_data_outside_the_support(name, batch_size):
    with pm.Model():
        OUTSIDE[name]()
        with pytest.raises(DataError, match=r'the density of "y" is .* row 33'):
            SGLD(batch_size=batch_size, step_size=1e-4, **QUICK)


@pytest.mark.parametrize("batch_size", [5, 40])
def test_group_out_of_range(batch_size):
    """Groups that are counted from 1."""
    with pm.Model():
        effect = pm.Normal("effect", shape=5)
        pm.Normal("y", effect[1 + np.arange(40) % 5], 1, observed=positive)
        with pytest.raises(DataError, match=r'index of "y" is out of range: .* from 0'):
            SGLD(batch_size=batch_size, step_size=1e-4, **QUICK)


def uniform_end():
    top = pm.Normal("top", 2, 1, initval=2.0)
    pm.Uniform("y", 0, top, observed=np.linspace(0, 1, 40))
    return {"top": np.array(0.9)}


def censoring_bound():
    low = pm.Normal("low", 8, 1, initval=-1.0)
    pm.Censored(
        "y",
        pm.Normal.dist(pm.Normal("mu"), 1),
        lower=low,
        upper=None,
        observed=np.linspace(0, 1, 40),
    )
    return {"low": np.array(0.5)}


def mixture_of_ends():
    top = pm.Normal("top", 0, 1, initval=6.0)
    parts = [pm.Uniform.dist(-9, top), pm.Uniform.dist(-8, top)]
    pm.Mixture("y", w=[0.4, 0.6], comp_dists=parts, observed=np.linspace(0, 5, 40))
    return {"top": np.array(4.0)}


@pytest.mark.parametrize("build", [uniform_end, censoring_bound, mixture_of_ends])
def test_parameter_that_leaves_the_support(build):
    """The gradient outside is zero or smooth; the rows that tell are all met within an epoch."""
    with pm.Model() as model:
        outside = build()
        step = SGLD(batch_size=5, step_size=1e-9, steps_per_draw=1, **QUICK)
    for _ in range(8):
        step.step(model.initial_point())
    with pytest.raises(NonFiniteError, match=r'chain diverged .* density of "y" is zero or not'):
        for _ in range(8):
            step.step(model.initial_point() | outside)


def test_prior_is_checked_whole():
    """A condition of the prior with as many entries as there are rows is not one of the rows."""
    scale = bad(np.ones(30), 7, 3.0)
    with pm.Model() as model:
        t = pm.Normal("t", initval=0.1)
        effect = pm.StudentT("effect", nu=2.5 - scale * t, mu=0, sigma=1, shape=30)
        pm.Normal("y", effect[np.arange(30) // 2], 1, observed=np.zeros(30))
        step = SGLD(batch_size=2, step_size=1e-9, steps_per_draw=1, **QUICK)
    for _ in range(3):
        with pytest.raises(NonFiniteError):
            step.step(model.initial_point() | {"t": np.array(1.0)})


def test_last_position_of_a_draw():
    """The update that leaves the support is caught in its own draw."""
    with pm.Model() as model:
        share = pm.Uniform("share", 0, 1, default_transform=None, initval=0.999)
        pm.Normal("y", 10 * share, 1, observed=np.full(40, 20.0))
        step = SGLD(batch_size=5, step_size=1e-2, temperature=0, steps_per_draw=1, **QUICK)
    with pytest.raises(NonFiniteError, match='"share"'):
        step.step(model.initial_point())
