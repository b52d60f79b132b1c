"""The log density of all rows from an expansion and a few of them: no bias, and errors told."""

import dataclasses

import numpy as np
import pymc as pm
import pytest

from pymc_sgld.backends.backend import NUMPY
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.tuning.importance import expansion, weighted
from pymc_sgld.tuning.importance.expansion import PARTS, Expansion
from pymc_sgld.tuning.importance.weighted import weigh
from pymc_sgld.tuning.posterior.covariance import Full
from pymc_sgld.tuning.posterior.search import find_gaussian

ROWS = 400


@pytest.fixture(autouse=True)
def few_rows_are_many(monkeypatch):
    monkeypatch.setattr(expansion, "FEW", 500)
    monkeypatch.setattr(expansion, "FOR_HESSIAN", 2)


def located(model, block=100, **settings):
    rows = Minibatcher(model, model.continuous_value_vars, model.initial_point(), **settings)
    data = FullData(rows.blocks(block), NUMPY)
    return data, find_gaussian(data, rows.inputs.values[rows.inputs.position], [])


@pytest.fixture(scope="module")
def logistic():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4000, 2))
    y = rng.random(4000) < 1 / (1 + np.exp(1 - x @ [0.5, -0.5]))
    with pm.Model() as model:
        b = pm.Normal("b", 0, 2, shape=2)
        c = pm.Normal("c", 0, 2)
        pm.Bernoulli("y", logit_p=c + pm.Data("x", x) @ b, observed=y.astype(int))
    return located(model)


def far(gaussian, count=20):
    z = np.random.default_rng(5).normal(size=(count, len(gaussian.mean)))
    return gaussian.mean + 2 * gaussian.shape.unwhiten(z)


def test_estimates_have_no_bias_and_tell_their_error(logistic, monkeypatch):
    """Over 20 choices of rows. Fails without the gradient, or the Hessian, of the rows picked."""
    data, gaussian = logistic
    places = far(gaussian, 10)
    exact = np.array([data.gradients(place, [])[0].sum() for place in places])
    means, told = [], []
    for seed in range(20):
        monkeypatch.setattr(expansion, "_SEED", seed)
        density = Expansion(data, gaussian, [], ROWS)
        assert not density.is_exact
        estimates = density(places)
        means.append(estimates.mean(axis=1) - exact)
        told.append(estimates.var(axis=1, ddof=1) / PARTS)
    means = np.array(means)
    error = means.std(axis=0, ddof=1) / np.sqrt(len(means))
    assert (np.abs(means.mean(axis=0)) < 4 * error + 1e-6).all()
    ratio = np.mean(told, axis=0) / means.var(axis=0, ddof=1)
    assert 0.4 < np.median(ratio) < 2.2  # of 20 choices: a standard error of 0.3


def test_gradients_are_those_of_the_estimates(logistic):
    """By differences of values: fails without the part of first or of second order."""
    data, gaussian = logistic
    density, step = Expansion(data, gaussian, [], ROWS), 1e-5
    for place in far(gaussian, 3):
        shifts = step * np.eye(len(place))
        ends = [density(place + sign * shifts).mean(axis=1) for sign in (1, -1)]
        differences = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(density.gradient(place), differences, rtol=1e-4, atol=1e-3)
        parts = density.gradients_of_parts(place).mean(axis=0)
        np.testing.assert_allclose(parts, density.gradient(place), rtol=1e-8, atol=1e-6)


def test_a_quadratic_log_likelihood_needs_no_rows():
    y = np.random.default_rng(2).normal(size=4000)
    with pm.Model() as model:
        pm.Normal("y", pm.Normal("mean", 0, 2), 1, observed=y)
    data, gaussian = located(model)
    places = far(gaussian)
    exact = [data.gradients(place, [])[0].sum() for place in places]
    density = Expansion(data, gaussian, [], ROWS)
    np.testing.assert_allclose(density(places).mean(axis=1), exact, rtol=0, atol=0.05)
    apart = density(places) - np.array(exact)[:, None]
    assert np.ptp(apart) < 0.5  # of the Hessian of some rows


GROUPS, EACH = 500, 12


def test_some_groups_stand_for_all(monkeypatch):
    """Of as many groups as there may be rows that are all read: their rows are too many."""
    monkeypatch.setattr(expansion, "FEW", 2 * GROUPS)
    monkeypatch.setattr(expansion, "FOR_HESSIAN", 128)  # all groups
    rng = np.random.default_rng(8)
    group, x = np.repeat(np.arange(GROUPS), EACH), rng.normal(size=GROUPS * EACH)
    y = 1 + 0.5 * x + rng.normal(size=GROUPS)[group] + rng.normal(size=len(x))
    with pm.Model() as model:
        a, b, spread = pm.Normal("a", 0, 5), pm.Normal("b", 0, 5), pm.HalfNormal("spread", 2)
        effect = pm.Normal("effect", 0, spread, shape=GROUPS)
        pm.Normal("y", a + b * x + effect[group], 1, observed=y)
    data, gaussian = located(model, 1200, marginalize=["effect"])
    assert not Expansion(data, gaussian, [], GROUPS).is_exact
    density = Expansion(data, gaussian, [], ROWS)
    assert density.share < 0.3
    places = far(gaussian)
    exact = density.of_all_rows(places)
    estimates = density(places)
    error = estimates.std(axis=1, ddof=1) / np.sqrt(PARTS)
    assert (np.abs(estimates.mean(axis=1) - exact) < 6 * error + 1e-6).all()
    assert 0 < error.max() < np.ptp(exact) / 10


def test_small_tables_are_read_whole(logistic, monkeypatch):
    monkeypatch.setattr(expansion, "FEW", 10_000)
    data, gaussian = logistic
    density = Expansion(data, gaussian, [], ROWS)
    places = far(gaussian, 3)
    exact = [data.gradients(place, [])[0].sum() for place in places]
    assert density.is_exact
    np.testing.assert_allclose(density(places)[:, 0], exact)
    assert density.passes == 3


def test_what_is_left_of_the_budget_is_spent(logistic, monkeypatch):
    """A few more points are enough: no need for as many again."""
    data, gaussian = logistic
    for name, value in {"LITTLE": 1, "FIRST": 400, "_FEW": 100}.items():
        monkeypatch.setattr(weighted, name, value)
    monkeypatch.setattr(expansion, "FEW", 10_000)
    first = weigh(data, gaussian, [], 1.0, 1e6)
    more = weigh(data, gaussian, [], 0.95 * first.by_points, first.passes + 300)
    assert first.by_points * 0.95 >= more.by_points > 0
    assert len(first.weighted.weights) < len(more.weighted.weights) <= 700


@pytest.mark.long
def test_more_rows_where_few_are_not_enough(logistic, monkeypatch):
    data, gaussian = logistic
    monkeypatch.setattr(weighted, "FEWEST_ROWS", 80)
    monkeypatch.setattr(weighted, "FIRST", 400)
    rough = weigh(data, gaussian, [], 0.3, 1e6)
    fine = weigh(data, gaussian, [], 0.02, 1e6)
    assert rough.by_rows <= 0.3 and fine.by_rows <= 0.02 and fine.by_points <= 0.02
    assert fine.passes > rough.passes
    mean = [w.weighted.moments(w.weighted.points.positions).mean for w in (rough, fine)]
    sd = np.sqrt(np.diag(np.linalg.inv(gaussian.shape.precision)))
    assert (np.abs(mean[0] - mean[1]) / sd).max() < 4 * (rough.by_rows + rough.by_points)


RARE = 5


def rare_column(rows=20_000):
    """A covariate of ones in five rows: all that is known of it is there, and its prior."""
    rng = np.random.default_rng(3)
    x = np.zeros((rows, 2))
    x[:, 0] = rng.normal(size=rows)
    x[rng.choice(rows, RARE, replace=False)] = 0, 1
    y = (rng.random(rows) < 1 / (1 + np.exp(-x[:, 0]))).astype(int)
    y[x[:, 1] == 1] = [1, 1, 1, 1, 0]
    with pm.Model() as model:
        b = pm.Normal("b", 0, 3, shape=2)
        pm.Bernoulli("y", logit_p=pm.Data("x", x) @ b, observed=y)
    return model


@pytest.mark.parametrize("is_uniform", [False, pytest.param(True, marks=pytest.mark.long)])
def test_rare_rows_are_not_missed(is_uniform, monkeypatch):
    """By quadrature over the rare coefficient; rows picked at random miss it."""
    data, gaussian = located(rare_column(), 2000)
    if is_uniform:
        own = expansion.pick
        monkeypatch.setattr(
            expansion, "pick", lambda sizes, *others: own(np.ones_like(sizes), *others)
        )
    density = Expansion(data, gaussian, [], ROWS)
    grid = np.linspace(-4, 9, 1001)
    exact = 4 * grid - 5 * np.log1p(np.exp(grid)) - grid**2 / 18
    weights = np.exp(exact - exact.max())
    mean = weights @ grid / weights.sum()
    sd = np.sqrt(weights @ (grid - mean) ** 2 / weights.sum())
    places = np.column_stack([np.full(1001, gaussian.mean[0]), grid])
    found = density(places[::10]).mean(axis=1)
    apart = found - found[45] - (exact[::10] - exact[450])
    inside = np.abs(grid[::10] - mean) < 2.5 * sd
    assert (np.abs(apart[inside]).max() > 0.3) == is_uniform


def cut_off(at=1.5, rows=4000):
    """One row, of large leverage, ends the posterior of a slope: near the center it is 0."""
    rng = np.random.default_rng(6)
    x, start = rng.normal(size=rows), np.zeros(rows)
    y = rng.integers(0, 2, rows)
    sd = 2 / np.sqrt(rows)
    best = ((y - 0.5) * x).sum() * sd**2
    x[-1], start[-1], y[-1] = 1e3, -1e3 * (best - at * sd), 1
    with pm.Model() as model:
        a, b = pm.Normal("a", 0, 2), pm.Normal("b", 0, 2)
        z = np.append(np.ones(rows - 1), 0)
        pm.Bernoulli("y", logit_p=a * z + b * x + start, observed=y)
    return model


@pytest.mark.long
@pytest.mark.parametrize("is_seen", [pytest.param(True, marks=pytest.mark.long), False])
def test_rows_that_matter_only_far_from_the_center(is_seen, monkeypatch):
    """They are picked; and if they were not, a look at all rows tells."""
    data, gaussian = located(cut_off())
    wide = Full(1000 * np.eye(2))
    gaussian = dataclasses.replace(gaussian, shape=wide)
    own = expansion.pick

    def without_the_last(sizes, *others):
        rows, weights = own(sizes, *others)
        weights[:, rows == len(sizes) - 1] = 0
        return rows, weights

    if not is_seen:
        monkeypatch.setattr(expansion, "pick", without_the_last)
    monkeypatch.setattr(weighted, "FEWEST_ROWS", ROWS)
    found = weigh(data, gaussian, [], 0.03, 1e6)
    assert np.isinf(found.by_rows) != is_seen
    if is_seen:
        places = found.weighted.points.positions[::100]
        exact = np.array([data.gradients(place, [])[0].sum() for place in places])
        off = found.weighted.estimates[::100].mean(axis=1) - exact
        known = exact > exact.max() - 10
        assert np.ptp(off[known]) < 0.5
