"""The minibatch gradient is unbiased: its mean over all batches is the full gradient."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pymc as pm
import pytest

from pymc_sgld.gradients import minibatch
from tests.graphs import batch, evaluator, log_density, position_of, random_point

ROWS, BATCH = 6, 2


@pytest.fixture(scope="module")
def model():
    """Two observed variables, transformed parameters, and a discrete parameter."""
    rng = np.random.default_rng(4)
    x, group = rng.normal(size=ROWS), rng.integers(0, 2, size=ROWS)
    with pm.Model() as model:
        spread = pm.HalfNormal("spread")
        effect = pm.Normal("effect", 1, spread, shape=2)
        rate = pm.Uniform("rate", 0, 3)
        weights = pm.Dirichlet("weights", np.ones(3))
        shift = pm.Poisson("shift", 2)
        eta = effect[group] + rate * x + shift
        pm.Normal("y", eta + weights[0], spread, observed=rng.normal(size=ROWS))
        pm.Poisson("count", pm.math.exp(eta / 4), observed=rng.poisson(2, size=ROWS))
    return model


def enumerate_batches(model, names, point, estimator=minibatch):
    """Return the gradient of every batch of two rows, shape (15, d), and the full one."""
    rvs = [model[name] for name in names]
    vars = [model.rvs_to_values[rv] for rv in rvs]
    density = log_density(model, vars, point, BATCH)
    evaluate = evaluator(density, estimator(density))
    position = position_of(density, point)
    others = [point[name] for name in density.others]
    gradients = [
        evaluate(position, *others, *batch(density, list(rows)))
        for rows in combinations(range(ROWS), BATCH)
    ]
    full = model.compile_dlogp(rvs, mode="FAST_COMPILE", on_unused_input="ignore")(point)
    return np.array(gradients), full


ALL = ["spread", "effect", "rate", "weights"]


@pytest.mark.parametrize("seed", [1, 2])
def test_unbiased_by_enumeration(model, seed):
    point = random_point(model, seed) | {"shift": np.array(2)}
    gradients, full = enumerate_batches(model, ALL, point)
    assert gradients.shape == (15, 1 + 2 + 1 + 2)
    assert gradients.std(axis=0).min() > 1e-3
    np.testing.assert_allclose(gradients.mean(axis=0), full, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("names", [["effect"], ["weights", "spread"]])
def test_unbiased_where_other_steps_move_variables(model, names):
    """The estimate follows the variables of other steps, continuous and discrete."""
    before = random_point(model, 1) | {"shift": np.array(2)}
    after = random_point(model, 2) | {"shift": np.array(5)}
    after |= {
        model.rvs_to_values[model[name]].name: before[model.rvs_to_values[model[name]].name]
        for name in names
    }
    for point in (before, after):
        gradients, full = enumerate_batches(model, names, point)
        np.testing.assert_allclose(gradients.mean(axis=0), full, rtol=1e-10, atol=1e-10)
    first, second = (enumerate_batches(model, names, point)[1] for point in (before, after))
    assert np.abs(first - second).max() > 0.1


def test_prior_enters_once_and_whole(model):
    """The defects that the enumeration is for: it sees a scaled prior, and unscaled rows."""
    point = random_point(model) | {"shift": np.array(2)}
    _, full = enumerate_batches(model, ALL, point)

    def prior_scaled(density):
        return minibatch(replace(density, log_prior=ROWS / BATCH * density.log_prior))

    def rows_unscaled(density):
        tables = [replace(table, total_size=BATCH) for table in density.tables]
        return minibatch(replace(density, tables=tables))

    for wrong in (prior_scaled, rows_unscaled):
        gradients, _ = enumerate_batches(model, ALL, point, wrong)
        assert not np.allclose(gradients.mean(axis=0), full, rtol=1e-3)
