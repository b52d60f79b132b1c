"""The Gaussian of an earlier run, verified on other data: against closed forms."""

import numpy as np
import pymc as pm
import pytest

from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.tuning.posterior.covariance import Full
from pymc_sgld.tuning.posterior.earlier import verified
from pymc_sgld.tuning.posterior.search import find_gaussian
from pymc_sgld.tuning.posterior.variational import Gaussian

ROWS, NEW = 2000, 40
_rng = np.random.default_rng(5)
X = _rng.normal(size=(ROWS, 4)) * [1, 10, 0.1, 1]
y = X @ [1, -0.2, 3, 0] + _rng.normal(size=ROWS)


def posterior(rows=slice(None)):
    """Return the mean and the precision of the coefficients, by some of the rows."""
    precision = X[rows].T @ X[rows] + np.eye(4)
    return np.linalg.solve(precision, X[rows].T @ y[rows]), precision


@pytest.fixture
def data(monkeypatch):
    """All rows; each pass over them is noted."""
    with pm.Model() as model:
        pm.Normal("y", X @ pm.Normal("beta", 0, 1, shape=4), 1, observed=y)
    found = FullData(Minibatcher(model, model.value_vars, model.initial_point()).blocks(256))
    found.passes = []
    gradients_at = found.gradients_at

    def noted(positions, others):
        found.passes.append(len(positions))
        return gradients_at(positions, others)

    monkeypatch.setattr(found, "gradients_at", noted)
    return found


def passes_for_many(data):
    """Passes that evaluate many positions: the others are what a sample would do of more rows."""
    return sum(positions > 1 for positions in data.passes)


def check(found, tolerance):
    """The mean in any direction, and the width, are those of all rows."""
    mean, precision = posterior()
    factor = np.linalg.cholesky(precision)
    assert np.linalg.norm(factor.T @ (found.mean - mean)) < tolerance
    relative = np.linalg.solve(factor, np.linalg.solve(factor, found.shape.precision).T)
    assert np.abs(np.linalg.eigvalsh(relative) - 1).max() < tolerance
    at = found.center.position
    expected = precision @ (mean - at)
    np.testing.assert_allclose(found.center.gradients.sum(axis=0), expected, rtol=1e-8, atol=1e-9)


def test_more_rows_take_one_pass(data):
    mean, precision = posterior(slice(ROWS - NEW))
    found = verified(data, Gaussian(mean, Full(precision)), [])
    check(found, tolerance=0.1)
    assert passes_for_many(data) == 1
    assert np.array_equal(found.center.position, mean)
    assert found.fisher_divergence < 0.01


def test_another_place_and_another_width(data):
    """30 standard deviations away, and 5 times as wide in one direction: two passes more."""
    mean, precision = posterior()
    root = np.linalg.cholesky(precision)
    direction = np.array([0.5, 0.5, 0.5, -0.5])
    other = root @ (np.eye(4) - 0.96 * np.outer(direction, direction)) @ root.T
    away = np.linalg.solve(root.T, 30 * direction)
    check(verified(data, Gaussian(mean + away, Full(other)), []), tolerance=1e-6)
    assert passes_for_many(data) == 3


def test_a_direction_of_many_that_signs_hardly_see():
    """Of 40 coordinates one is narrower by a third than it was: a change of 1 % on average."""
    widths = np.ones(40)
    widths[7] = 0.5
    with pm.Model() as model:
        pm.Normal("x", 0, widths, shape=40)
    density = Minibatcher(model, model.value_vars, model.initial_point()).blocks(256)
    found = verified(FullData(density), Gaussian(np.zeros(40), Full(np.eye(40))), [])
    assert found.shape.variances[7] == pytest.approx(0.25, rel=1e-6)


def test_a_coordinate_that_a_sample_of_the_rows_is_wrong_about(monkeypatch):
    """Rare rows of it have gone, and it is twice as wide: the sample, with none of them, is not."""

    def of(width):
        with pm.Model() as model:
            pm.Normal("x", 0, np.append(np.ones(39), width), shape=40)
        density = Minibatcher(model, model.value_vars, model.initial_point()).blocks(256)
        return FullData(density)

    at = Gaussian(np.zeros(40), Full(np.eye(40)))
    monkeypatch.setattr("pymc_sgld.tuning.posterior.earlier.sample_of", lambda *_: of(1))
    assert verified(of(2), at, []) is None
    assert verified(of(1), at, []).by_sample


def test_what_fits_as_well_as_it_did():
    """A skewed posterior is no worse than it was: where it is found does not hang on two pairs."""
    with pm.Model() as model:
        rate = pm.Exponential("rate", 0.1, shape=4)
        pm.Poisson("y", rate, observed=np.ones((3, 4), int))
    rows = Minibatcher(model, model.value_vars, model.initial_point())
    data = FullData(rows.blocks(64))
    earlier = find_gaussian(data, rows.inputs.values[rows.inputs.position], [])
    assert earlier.fisher_divergence > 0.1
    found = verified(data, earlier, [])
    assert np.abs(found.shape.whiten(found.mean - earlier.mean)).max() < 0.2
    np.testing.assert_allclose(found.shape.variances, earlier.shape.variances, rtol=0.1)


def test_what_no_gaussian_is_like_is_refused():
    with pm.Model() as model:
        scale = pm.Normal("scale", 0, 3)
        pm.Normal("x", 0, pm.math.exp(scale), shape=9)
    density = Minibatcher(model, model.value_vars, model.initial_point()).blocks(256)
    assert verified(FullData(density), Gaussian(np.zeros(10), Full(np.eye(10))), []) is None


def test_where_there_is_no_density():
    with pm.Model() as model:
        x = pm.Normal("x", shape=2)
        pm.Potential("edge", pm.math.log(x.sum()))
    rows = Minibatcher(model, model.value_vars, {"x": np.ones(2)}, potentials={"edge": "prior"})
    at = Gaussian(np.full(2, -3.0), Full(np.eye(2)))
    assert verified(FullData(rows.blocks(256)), at, []) is None
