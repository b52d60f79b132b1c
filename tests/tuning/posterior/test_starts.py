"""Where a search starts, and what is said of one that does not end well."""

from types import SimpleNamespace

import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLD, SGLDWarning
from pymc_sgld.messages import Reason
from pymc_sgld.tuning.posterior import search as center
from pymc_sgld.tuning.posterior import variational
from pymc_sgld.tuning.posterior.starts import climb, mean_field

QUICK = {"compile_kwargs": {"mode": "FAST_COMPILE"}, "audit": False, "rng": 1}


def correlated(position):
    """A Gaussian of mean (1, -2) whose coordinates depend on each other."""
    precision, away = np.array([[2.0, 0.9], [0.9, 5.0]]), position - [1, -2]
    return float(-away @ precision @ away / 2), -precision @ away


def test_both_find_the_mean_of_a_gaussian():
    for start in (climb, mean_field):
        np.testing.assert_allclose(start(correlated, np.zeros(2)), [1, -2], atol=1e-3)


def funnel(position):
    """A scale with ten effects of variance exp(2 t): the density grows as t falls, the mass not.

    The effects are seen with errors of variance 0.01 around 1, -1, 1, ...
    """
    t, effects = position[0], position[1:]
    seen = np.resize([1.0, -1.0], 10)
    variance = np.exp(2 * t)
    value = -10 * t - effects @ effects / variance / 2 - np.sum((seen - effects) ** 2) / 0.02
    by_t = -10 + effects @ effects / variance
    return float(value), np.r_[by_t, -effects / variance + (seen - effects) / 0.01]


def test_mean_field_stays_where_the_mass_is():
    """Of the marginal density of t: (exp(2t) + .01)^-5 exp(-5 / (exp(2t) + .01)), highest at 0."""
    begin = np.r_[0.5, np.zeros(10)]
    t = mean_field(funnel, begin)[0]
    assert abs(t - np.log(0.99) / 2) < 0.25  # a standard deviation: 1 / sqrt(20)


def test_mean_field_finds_the_scale_of_many_small_groups():
    """Without the hyperparameters held, all of the spread is taken for noise."""
    rng, groups, rows = np.random.default_rng(5), 1_000, 5
    effects = rng.normal(0.5, 0.7, groups)
    y = effects + rng.standard_normal((rows, groups))

    def density(position):
        (spread, mean, noise), group = position[:3], position[3:]
        precision, seen = np.exp(-2 * spread), np.exp(-2 * noise)
        away, residual = group - mean, y - group
        squares = np.sum(away**2) * precision, np.sum(residual**2) * seen
        value = -groups * spread - y.size * noise - sum(squares) / 2
        by_group = residual.sum(axis=0) * seen - away * precision
        by_mean = away.sum() * precision
        return float(value), np.r_[squares[0] - groups, by_mean, squares[1] - y.size, by_group]

    begin, hyper = np.zeros(groups + 3), np.arange(groups + 3) < 2
    begin[2] = np.log(2)
    truth = np.log(effects.std()), effects.mean(), 0.0
    np.testing.assert_allclose(mean_field(density, begin, hyper=hyper)[:3], truth, atol=0.1)
    assert mean_field(density, begin)[0] < np.log(0.2)


def test_a_search_ends_in_time(monkeypatch):
    """With what it has, and a warning."""
    monkeypatch.setattr(center, "SECONDS", 0.0)
    with pm.Model():
        beta = pm.Normal("beta", 0, 1, shape=4)
        X = np.random.default_rng(1).normal(size=(300, 4))
        pm.Poisson("y", pm.math.exp(X @ beta), observed=np.ones(300, int))
        with pytest.warns(SGLDWarning, match="did not settle.*untrusted"):
            step = SGLD(gradient="minibatch", **QUICK)
        idata = pm.sample(30, tune=5, step=step, chains=1, progressbar=False, quiet=True)
    assert idata.sample_stats["untrusted"][0, -1] == 1
    assert idata.sample_stats["reasons"][0, -1] & Reason.GAUSSIAN


def searches(density, start, hyper, monkeypatch):
    """Return what a search ends with, and what it moved Gaussians to."""

    def matrix(position, deviations=None):
        share = 1e-5 * np.eye(len(position))
        found = [density(position - each)[1] - density(position + each)[1] for each in share]
        return np.array(found) / 2e-5

    moved = []

    def settle(*arguments):
        moved.append(variational.settle(*arguments))
        return moved[-1]

    monkeypatch.setattr(center, "settle", settle)
    data = SimpleNamespace(rows=10)
    curvature = SimpleNamespace(data=data, may_have_groups=False, matrix=matrix)
    return center._search(curvature, density, start, hyper), moved


def test_another_start_within_the_same_gaussian_is_not_searched(monkeypatch):
    hyper = np.array([True, False])
    found, moved = searches(correlated, np.zeros(2), hyper, monkeypatch)
    assert len(moved) == 1
    np.testing.assert_allclose(found.mean, [1, -2], atol=0.2)


def test_another_start_elsewhere_is_searched(monkeypatch):
    far = np.array([1.0, 2.0])  # nine standard deviations away in one coordinate
    monkeypatch.setattr(center, "mean_field", lambda *arguments: far)
    found, moved = searches(correlated, np.zeros(2), np.array([True, False]), monkeypatch)
    assert len(moved) == 2
    assert found.elbo == max(each.elbo for each in moved)
