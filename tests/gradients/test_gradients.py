"""The minibatch gradient is unbiased: its mean over all batches is the full gradient."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pymc as pm
import pytensor
import pytest

from pymc_sgld.gradients import ESTIMATORS
from pymc_sgld.gradients.control_variates import control_variate, taylor
from pymc_sgld.gradients.minibatch import minibatch
from pymc_sgld.gradients.svrg import svrg
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.model import Minibatcher
from tests.graphs import batch, position_of, random_point

ROWS, BATCH = 6, 2
ANY_BATCH = {name: each.make for name, each in ESTIMATORS.items() if name != "saga"}


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


def enumerate_batches(model, names, point, estimator=minibatch, center=None):
    """Return the gradient of every batch of two rows, shape (15, d), and the full one."""
    rvs = [model[name] for name in names]
    vars = [model.rvs_to_values[rv] for rv in rvs]
    rows = Minibatcher(model, vars, point)
    density = rows.density(BATCH)
    if center is not None:
        there = [center[name] for name in density.others]
        data = FullData(rows.density(4))
        center = data.center(position_of(density, center), there)
    if estimator is svrg:  # at an anchor that is not the first one
        estimate = svrg(density, center, data)
        moved = estimate.memory.refresh(center.position + 0.3, there)
        estimate = replace(estimate, arrays=dict(zip(estimate.arrays, moved, strict=True)))
    else:
        estimate = estimator(density) if center is None else estimator(density, center)
    inputs = [density.position, *density.others.values(), *[d.variable for d in density.data]]
    evaluate = pytensor.function(
        [*inputs, *estimate.arrays],
        estimate.gradient,
        mode="FAST_COMPILE",
        on_unused_input="ignore",
    )
    others = [point[name] for name in density.others]
    gradients = [
        evaluate(
            position_of(density, point),
            *others,
            *batch(density, list(rows)),
            *estimate.arrays.values(),
        )
        for rows in combinations(range(ROWS), BATCH)
    ]
    full = model.compile_dlogp(rvs, mode="FAST_COMPILE", on_unused_input="ignore")(point)
    return np.array(gradients), full


ALL = ["spread", "effect", "rate", "weights"]


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
@pytest.mark.parametrize("estimator", ANY_BATCH.values(), ids=ANY_BATCH)
def test_unbiased_by_enumeration(model, estimator, seed):
    point = random_point(model, seed) | {"shift": np.array(2)}
    center = random_point(model, 7) | {"shift": np.array(3)}
    gradients, full = enumerate_batches(model, ALL, point, estimator, center)
    assert gradients.shape == (15, 1 + 2 + 1 + 2)
    assert gradients.std(axis=0).min() > 1e-3
    np.testing.assert_allclose(gradients.mean(axis=0), full, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "names", [["weights", "spread"], pytest.param(["effect"], marks=pytest.mark.long)]
)
@pytest.mark.parametrize("estimator", ANY_BATCH.values(), ids=ANY_BATCH)
def test_unbiased_where_other_steps_move_variables(model, estimator, names):
    """The estimate follows the variables of other steps, continuous and discrete."""
    before = random_point(model, 1) | {"shift": np.array(2)}
    after = random_point(model, 2) | {"shift": np.array(5)}
    after |= {
        model.rvs_to_values[model[name]].name: before[model.rvs_to_values[model[name]].name]
        for name in names
    }
    center = random_point(model, 7) | {"shift": np.array(3)}
    for point in (before, after):
        gradients, full = enumerate_batches(model, names, point, estimator, center)
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


def spread_of(model, estimator, center, distance=0.3):
    """Return the largest standard deviation of an estimate over batches, away from the center."""
    names = [rv.name for rv in model.free_RVs]
    point = {name: np.asarray(value + distance) for name, value in center.items()}
    gradients, full = enumerate_batches(model, names, point, estimator, center)
    np.testing.assert_allclose(gradients.mean(axis=0), full, rtol=1e-9, atol=1e-9)
    return gradients.std(axis=0).max()


@pytest.mark.parametrize("estimator", [control_variate, taylor])
def test_no_variance_at_the_center(model, estimator):
    center = random_point(model, 7) | {"shift": np.array(3)}
    gradients, full = enumerate_batches(model, ALL, center, estimator, center)
    np.testing.assert_allclose(gradients, np.broadcast_to(full, gradients.shape), rtol=1e-9)


def test_exact_for_a_gaussian_mean_and_a_quadratic_likelihood():
    """Closed forms: no variance is left, with a prior that is neither Gaussian nor expanded."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(ROWS, 2)), rng.normal(size=ROWS)
    with pm.Model() as gaussian_mean:
        pm.Normal("y", pm.StudentT("mean", 3), 0.5, observed=y)
    with pm.Model() as regression:
        slope = pm.StudentT("slope", 3, shape=2)
        shift = pm.Gamma("shift", 2, 1, default_transform=None, initval=1.0)
        pm.Uniform("share", 0, shift)
        pm.Normal("y", x @ slope + shift, 0.5, observed=y)
    for model, exact in ((gaussian_mean, (control_variate, taylor)), (regression, (taylor,))):
        center = random_point(model, 7)
        for estimator in (control_variate, taylor):
            spread = spread_of(model, estimator, center)
            assert (spread < 1e-12) == (estimator in exact)
