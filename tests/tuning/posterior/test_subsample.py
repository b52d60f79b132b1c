"""A sample of rows to begin the search with: what is found is the posterior of all rows."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pymc as pm
import pytest

from pymc_sgld.minibatch.density import LogDensity
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.sources.bind import bind
from pymc_sgld.tuning.posterior import search as center
from pymc_sgld.tuning.posterior import subsample as sample
from pymc_sgld.tuning.posterior.covariance import Full, Stretched
from pymc_sgld.tuning.posterior.curvature import Curvature
from pymc_sgld.tuning.posterior.variational import SPARING, Gaussian, Pair, settle

N, SIZE, LEAST, BLOCK = 200_000, 5, 8192, 8192
_rng = np.random.default_rng(21)
X = _rng.normal(size=(N, SIZE))
Y = (X @ _rng.normal(0, 0.5, SIZE) > _rng.logistic(size=N)).astype("int8")


@pytest.fixture(autouse=True)
def small_samples(monkeypatch):
    """Of few rows, so that few rows have one."""
    monkeypatch.setattr(sample, "LEAST", LEAST)


def logistic(X, y):
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=X.shape[1])
        pm.Bernoulli("y", logit_p=pm.Data("X", X) @ beta, observed=y)
    return model


def data_of(model, block=BLOCK, sources=None):
    rows = Minibatcher(model, model.value_vars, model.initial_point(), sources=bind(sources))
    rows.check_sources()
    return FullData(rows.blocks(block)), rows.inputs.values[rows.inputs.position]


def search(data, start):
    """Return what is found, and how many passes over all rows that took."""
    told = []
    found = center.find_gaussian(data, start, [], told.append)
    return found, sum("all rows" in message for message in told)


def searched_in_full(data, start):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(center, "sample_of", lambda data, size: None)
        return search(data, start)


@pytest.fixture(scope="module")
def of_logistic():
    data, start = data_of(logistic(X, Y))
    return data, start, searched_in_full(data, start)


def apart(found, expected):
    """Return the distance of the means along each direction, in standard deviations."""
    return expected.shape.whiten(found.mean - expected.mean)


def rates(found, expected):
    """Return the eigenvalues of one precision matrix by the other."""
    whitener = expected.shape.whitener
    return np.linalg.eigvalsh(whitener.T @ found.shape.precision @ whitener)


def edges(size, rows, weights):
    """Return between which values they are, of a sample of Gaussian rows with such weights.

    Davidson and Szarek (2001), theorem II.13, with a probability of one in a million of the
    contrary; weights make as many rows as count as their effective number.
    """
    effective = rows * weights.mean() ** 2 / np.mean(weights**2)
    off = np.sqrt(size / effective) + np.sqrt(2 * np.log(1e6) / effective)
    return (1 - off) ** 2, (1 + off) ** 2


def weights_at(position):
    p = 1 / (1 + np.exp(-X @ position))
    return p * (1 - p)


class Constant(Curvature):
    """That of a quadratic function."""

    def __init__(self, precision):
        super().__init__(SimpleNamespace(coordinates=(), dtype="float64"), [])
        self.precision = precision

    def matrix(self, position, deviations=None):
        return self.precision


def part_of(data, size):
    found = sample.sample_of(data, size)
    assert found is not None
    return found


# samples


def two_tables():
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 2, shape=2)
        pm.Normal("y", X[:3000, 0] * beta[0], 1, observed=X[:3000, 1])
        pm.Poisson("z", np.exp(0.1) * pm.math.exp(beta[1] * X[:100, 2]), observed=Y[:100])
    return model


def test_sampled_rows_count_for_all_of_them():
    """Some rows N / N_s times, the prior once, and all rows of a table that is small."""
    data, _ = data_of(two_tables(), 64)
    part = data.sample(500)
    assert (data.rows, part.rows) == (3100, 612)  # blocks of 64
    at = np.array([0.3, -0.2])
    (whole, exact), (some, found) = data.gradients(at, []), part.gradients(at, [])
    of_prior_and_small = [0, 2]
    np.testing.assert_allclose(some[of_prior_and_small], whole[of_prior_and_small], rtol=1e-12)
    np.testing.assert_allclose(found[of_prior_and_small], exact[of_prior_and_small], rtol=1e-12)
    density: LogDensity = part.density
    rows = {item.array.tobytes() for item in density.tables[0].data}
    assert len(rows) == 2 and all(len(item.array) == 512 for item in density.tables[0].data)
    x, y = (item.array.ravel() for item in density.tables[0].data)
    if not np.isin(x, X[:3000, 0]).all():
        x, y = y, x
    assert np.isin(x, X[:3000, 0]).all() and len(np.unique(x)) == 512  # each of them once
    expected = 3000 / 512 * np.sum(x * (y - x * 0.3))
    np.testing.assert_allclose(found[1], [expected, 0], rtol=1e-10)
    np.testing.assert_allclose(
        part.hessians(at, [])[1, 0, 0], -3000 / 512 * np.sum(x**2), rtol=1e-10
    )
    np.testing.assert_array_equal(data.gradients(at, [])[1], exact)  # it is as it was


def test_few_rows_are_not_sampled(of_logistic):
    data, _, _ = of_logistic
    assert part_of(data, SIZE).rows == LEAST
    assert sample.sample_of(data, 500) is None  # 50,000 rows would be a quarter
    few, _ = data_of(logistic(X[: 4 * LEAST], Y[: 4 * LEAST]))
    assert sample.sample_of(few, SIZE) is None


def test_a_source_of_which_too_few_rows_were_kept_is_not_sampled():
    kept = SimpleNamespace(rows=10_000)
    wide = SimpleNamespace(rows=10**7, sample=lambda rows: kept)
    assert sample.sample_of(wide, 100) is kept
    assert sample.sample_of(wide, 101) is None


# the posterior


def test_logistic_regression_by_a_sample(of_logistic):
    """The same Gaussian in a few passes; without them, its mean is off as theory says."""
    data, start, (full, passes_of_full) = of_logistic
    found, passes = search(data, start)
    assert found.by_sample and not full.by_sample and found.settled
    assert passes <= 6 < 30 < passes_of_full
    assert np.sqrt(np.mean(apart(found, full) ** 2)) < 0.1
    low, high = edges(SIZE, LEAST, weights_at(full.mean))
    assert low < rates(found, full)[0] and rates(found, full)[-1] < high
    assert found.fisher_divergence < (high - 1) ** 2 + 0.01
    # the sample alone: a mean of variance N / N_s - 1, by chi-squared of 5 degrees
    part = part_of(data, SIZE)
    alone = searched_in_full(part, start)[0]
    off = np.mean(apart(alone, full) ** 2) / (N / LEAST - 1)
    assert 0.03 < off < 6  # with a probability of a millionth each of the contrary
    assert low < rates(alone, full)[0] and rates(alone, full)[-1] < high
    # it would not be right with its rows counted once
    assert rates(alone, full)[0] > 2 * LEAST / N


def test_points_whose_gradients_are_known(of_logistic):
    """They need no passes for the check of rare rows."""
    data, start, (full, _) = of_logistic
    found = search(data, start)[0]
    for gaussian, points in ((found, 2), (full, 4)):
        assert len(gaussian.known) == points
        for position, gradient in gaussian.known:
            exact = data.gradients(position, [])[1].sum(axis=0)
            np.testing.assert_allclose(gradient, exact, rtol=1e-9, atol=1e-6)
            lengths = gaussian.shape.whiten(position - gaussian.mean)
            assert np.sum(lengths**2) < 60  # chi-squared of 5 degrees, and far less than a mean off


def test_rows_on_disk(of_logistic, tmp_path):
    """The sample is the one that is in memory already."""
    _, start, (full, _) = of_logistic
    for name, array in (("X", X.astype("float32")), ("y", Y)):
        np.save(tmp_path / f"{name}.npy", array)
    maps = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("X", "y")}
    streamed, _ = data_of(logistic(X[:20].astype("float32"), Y[:20]), sources=maps)
    found, passes = search(streamed, start)
    assert found.by_sample and passes <= 6
    assert np.sqrt(np.mean(apart(found, full) ** 2)) < 0.1
    part = part_of(streamed, SIZE)
    assert all(isinstance(item.array, np.ndarray) for item in part.density.tables[0].data)


def test_several_tables(monkeypatch):
    """The larger is sampled, the smaller as important for what they share."""
    monkeypatch.setattr(center, "_CHEAP", 0)
    counts = np.random.default_rng(3).poisson(np.exp(2 + 0.1 * X[:4000, 0]))
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=SIZE)
        pm.Bernoulli("y", logit_p=X[:100_000] @ beta, observed=Y[:100_000])
        pm.Poisson("counts", pm.math.exp(2 + beta[0] * X[:4000, 0]), observed=counts)
    data, start = data_of(model)
    full = searched_in_full(data, start)[0]
    found, passes = search(data, start)
    assert found.by_sample and passes <= 8
    assert np.sqrt(np.mean(apart(found, full) ** 2)) < 0.1


def rare_category(rare):
    """Return a Poisson regression with a category of a few rows in 100,000."""
    rng = np.random.default_rng(6)
    category = rng.integers(2, size=100_000)
    category[rng.choice(100_000, rare, replace=False)] = 2
    counts = rng.poisson(np.exp(0.5 + np.array([0, 0.5, 1.5])[category]))
    with pm.Model() as model:
        effect = pm.Normal("effect", 0, 2, shape=3)
        pm.Poisson("counts", pm.math.exp(effect[pm.Data("category", category)]), observed=counts)
    return model


@pytest.mark.long
def test_rare_rows_that_a_sample_misses():
    """All rows are searched in the end, as if there had been no sample."""
    data, start = data_of(rare_category(4))
    part = part_of(data, 3)
    categories = [item.array for item in part.density.tables[0].data if item.array.max() < 3]
    assert not (categories[0] == 2).any()  # otherwise this would test nothing
    full, passes_of_full = searched_in_full(data, start)
    found, passes = search(data, start)
    np.testing.assert_array_equal(found.mean, full.mean)
    np.testing.assert_array_equal(found.shape.precision, full.shape.precision)
    assert not found.by_sample and passes_of_full < passes <= passes_of_full + 4
    # it is not right to do without
    alone = searched_in_full(part, start)[0]
    assert rates(alone, full)[0] < 0.1


@pytest.mark.parametrize("kind", [Full, Stretched])
def test_group_effects_and_their_scale(kind, monkeypatch):
    """Not a Gaussian: the scale of effects is skewed, and their means are far off on a sample."""
    monkeypatch.setattr(center, "FULL_SIZE", 500 if kind is Full else 5)
    rng = np.random.default_rng(9)
    group = rng.integers(12, size=60_000)
    outcome = rng.normal(1, 0.5, 12)[group] + rng.normal(size=len(group))
    with pm.Model() as model:
        spread = pm.HalfNormal("spread")
        effect = pm.Normal("effect", pm.Normal("mean"), spread, shape=12)
        sd = pm.HalfNormal("sd")
        pm.Normal("y", effect[pm.Data("group", group)], sd, observed=outcome)
    data, start = data_of(model)
    full = searched_in_full(data, start)[0]
    found, passes = search(data, start)
    assert found.by_sample and passes <= 10 and isinstance(found.shape, kind)
    sd = np.sqrt(full.shape.variances)
    assert np.sqrt(np.mean(((found.mean - full.mean) / sd) ** 2)) < 0.1
    alone = searched_in_full(part_of(data, 15), start)[0]
    assert np.sqrt(np.mean(((alone.mean - full.mean) / sd) ** 2)) > 1


@pytest.mark.parametrize(("off", "most"), [(0.1, 0.02), (0.2, 0.2)])
def test_rounds_on_quadratic_functions(off, most):
    """A precision that is off by a share, and a mean by fifteen standard deviations.

    Two pairs agree on the precision. Where it is news to the search on the sample, that search
    turns it back.
    """
    precision, of_sample = np.diag([1.0, 4.0]), np.diag([1 + off, 4 / (1 + off)])
    mean = np.array([7.0, -3.0])

    def evaluate(position):
        away = position - mean
        return float(-away @ precision @ away / 2), -precision @ away

    def evaluate_sample(position):
        return float(-position @ of_sample @ position / 2), -of_sample @ position

    curvature = Constant(of_sample)
    begin = settle(np.zeros(2), Full(of_sample), evaluate_sample, curvature, SPARING)
    found = sample.complete(begin, evaluate_sample, curvature, evaluate)
    assert found is not None
    np.testing.assert_allclose(found.mean, mean, atol=0.02)
    assert np.linalg.norm(begin.mean - mean) > 7
    left = found.shape.whitener.T @ precision @ found.shape.whitener
    assert np.abs(left - np.eye(2)).max() < most


def test_the_mean_is_right_in_every_direction():
    """Half a sd off along each of 100 coordinates, with a curvature that is 15 % off.

    A round leaves .075 sd along each coordinate, which is .75 sd along their diagonal.
    """
    mean, unit = np.full(100, 0.5), Full(np.eye(100))

    def evaluate(position):
        away = position - mean
        return float(-1.15 * away @ away / 2), -1.15 * away

    def evaluate_sample(position):
        return float(-position @ position / 2), -position

    begin = Gaussian(0 * mean, unit)
    found = sample.complete(begin, evaluate_sample, Constant(np.eye(100)), evaluate)
    assert np.linalg.norm(found.mean - mean) < sample.RIGHT


def test_a_sample_of_another_posterior_is_left():
    """Where its curvature is off by more than half, and where its search does not settle."""
    unit = Full(np.eye(2))

    def quadratic(position):
        return float(-position @ position / 2), -position

    def narrow(position):
        return float(-position @ (position * [1, 9]) / 2), -position * [1, 9]

    curvature = Constant(np.eye(2))
    found = Gaussian(np.zeros(2), unit)
    assert sample.complete(found, quadratic, curvature, quadratic) is not None
    assert sample.complete(found, quadratic, curvature, narrow) is None
    assert sample.complete(replace(found, settled=False), quadratic, curvature, quadratic) is None

    def outside(position):
        return -np.inf, np.full(2, np.nan)

    assert sample.complete(found, quadratic, curvature, outside) is None


def accepted_along(excess, seeds=20, size=50):
    """Return how often a sample is used that lacks so much precision along a random direction."""
    rng, unit, used = np.random.default_rng(12), Full(np.eye(size)), 0

    def quadratic(position):
        return float(-position @ position / 2), -position

    for _ in range(seeds):
        along = rng.normal(size=size)
        along *= np.sqrt(excess) / np.linalg.norm(along)

        def stretched(position, along=along):
            gradient = -position - along * (along @ position)
            return float(position @ gradient / 2), gradient

        begin = Gaussian(np.zeros(size), unit)
        found = sample.complete(begin, quadratic, Constant(np.eye(size)), stretched)
        used += found is not None
    return used


def test_a_direction_that_is_no_coordinate(monkeypatch):
    """Signs show little of it along each of 50 coordinates; the last pair shows all of it."""
    assert accepted_along(1.0) == accepted_along(5.0) == 0
    assert accepted_along(0.3) == 20
    monkeypatch.setattr(sample, "_apart", lambda *arguments: 0.0)
    assert accepted_along(1.0) > 10


@pytest.mark.parametrize("shape", [Full(np.array([[2.0, 0.5], [0.5, 1.0]])), None])
def test_bent_shapes(shape):
    """The precision along each coordinate of ``z`` is more by a share."""
    shape = shape or Stretched(np.array([2.0, 5.0]), np.zeros((2, 0)), np.zeros(0))
    bend = np.array([0.5, -0.3])
    whitener = shape.unwhiten(np.eye(2)).T
    bent = shape.updated(bend).unwhiten(np.eye(2)).T
    precision = np.linalg.inv(bent @ bent.T)
    np.testing.assert_allclose(whitener.T @ precision @ whitener, np.diag(1 + bend), atol=1e-12)


def test_what_two_measurements_agree_on():
    """Nearer to the truth than either, and no noise where there is nothing but noise."""
    rng = np.random.default_rng(4)
    size, noise = 2000, 0.1
    for spread in (0.0, 0.05, 0.4):
        truth = np.clip(rng.normal(0, spread, size), -0.4, None)
        one, other = truth + noise * rng.normal(size=(2, size))
        found = sample._agreed(one, other)
        best = spread**2 * noise**2 / 2 / (spread**2 + noise**2 / 2)
        error = np.mean((found - truth) ** 2)
        assert error < 1.15 * best + 25 * noise**2 / size * 5
        assert error < np.mean(((one + other) / 2 - truth) ** 2)
    np.testing.assert_allclose(sample._agreed(truth[:1], truth[:1]), truth[:1])


def test_pairs_of_points():
    """Of a Gaussian about the mean of another: what they say is exact."""
    shape = Full(np.diag([4.0, 9.0]))
    pair = Pair.at(
        np.array([1.0, 0.0]), shape, lambda at: (float(-(at @ at)), -2 * at), np.array([1.0, -1.0])
    )
    np.testing.assert_allclose(pair.gradient, [-2, 0])
    np.testing.assert_allclose(pair.move, [-1, 0])
    np.testing.assert_allclose(pair.bend, [2 / 4 - 1, -(2 / 9 - 1)])
    assert isinstance(Gaussian(pair.away, shape).known, tuple)
