"""SAGA: the last gradient of every block of rows, in every update."""

import copy
import pickle
import sys

import numpy as np
import pymc as pm
import pytensor
import pytest

from pymc_sgld import SGHMC, SGLD, SettingError
from pymc_sgld.batching.epochs import FixedBlocks
from pymc_sgld.gradients.saga import saga
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.model import Minibatcher
from tests.graphs import position_of, random_point
from tests.runs import draws, same

MODULE = sys.modules[saga.__module__]
COMPILED = {"compile_kwargs": {"mode": "FAST_COMPILE"}}
FIRST, SECOND = 6, 11  # rows of two tables
_rng = np.random.default_rng(4)
X, Y, Z = _rng.normal(size=FIRST), _rng.normal(size=FIRST), _rng.poisson(2, size=(SECOND, 2))


@pytest.fixture(scope="module")
def model():
    """Two tables of rows, transformed parameters, and a discrete one."""
    with pm.Model() as model:
        spread = pm.HalfNormal("spread")
        rate = pm.Uniform("rate", 0, 3)
        shift = pm.Poisson("shift", 2)
        pm.Normal("y", rate * X + shift, spread, observed=Y)
        pm.Poisson("count", rate + shift + pm.math.ones((SECOND, 2)), observed=Z)
    return model


def estimates(model, batch, seed=1):
    """Return the estimates of all pairs of blocks, and the gradient of all rows."""
    point = random_point(model, seed) | {"shift": np.array(2)}
    rvs = [model["spread"], model["rate"]]
    rows = Minibatcher(model, [model.rvs_to_values[rv] for rv in rvs], point)
    density = rows.density(batch)
    position = position_of(density, point)
    center = FullData(rows.density(4)).center(position, [np.array(2)])
    estimate = saga(density, center)
    blocks, data = estimate.blocks, density.data
    inputs = [density.position, *density.others.values(), *blocks.places, blocks.total]
    evaluate = pytensor.function(
        [*inputs, *blocks.stored, *[item.variable for item in data]],
        [estimate.gradient, *blocks.renewed],
        mode="FAST_COMPILE",
        on_unused_input="ignore",
    )
    rng = np.random.default_rng(seed)
    tables = [rng.normal(size=(count, 2)) for count in blocks.counts]
    total = np.sum([table.sum(axis=0) for table in tables], axis=0)
    batched = [table for table in density.tables if not table.full]
    orders = [FixedBlocks(table.total_size, table.batch_size) for table in batched]

    def found(*places):
        rows = {}
        for table, order, place in zip(batched, orders, places, strict=True):
            reads = order.in_turn(place, 1)
            assert order.places(reads) == place
            rows |= {item.variable: order.rows(reads)[0] for item in table.data}
        arrays = [d.array[rows[d.variable]] if d.variable in rows else d.array for d in data]
        stored = [table[place] for table, place in zip(tables, places, strict=True)]
        return evaluate(position, np.array(2), *places, total, *stored, *arrays)

    every = [found(*places) for places in np.ndindex(*blocks.counts)]
    full = model.compile_dlogp(rvs, mode="FAST_COMPILE", on_unused_input="ignore")(point)
    return [each[0] for each in every], full, blocks.counts


@pytest.mark.parametrize(("batch", "counts"), [(2, (3, 6)), (3, (2, 4)), (4, (2, 3)), (5, (2, 3))])
def test_unbiased_by_enumeration(model, batch, counts):
    """Whatever is remembered, and where the last block has rows of the one before, too."""
    found, full, blocks = estimates(model, batch)
    assert tuple(blocks) == counts and np.std(found, axis=0).min() > 0.1
    np.testing.assert_allclose(np.mean(found, axis=0), full, rtol=1e-10, atol=1e-10)


def test_rows_that_count_twice_are_seen(model, monkeypatch):
    """The defect that the enumeration is for."""

    def whole(table, place, count):
        return sum(graph.sum() for graph in table.likelihoods.values())

    monkeypatch.setattr(MODULE, "_of_block", whole)
    found, full, _ = estimates(model, 4)
    assert np.abs(np.mean(found, axis=0) - full).max() > 0.1


N, BATCH, SEED = 203, 20, 3
DESIGN = np.random.default_rng(SEED).normal(size=(N, 2))
CHANCE = 1 / (1 + np.exp(-DESIGN @ [1.0, -0.5]))
ANSWERS = np.random.default_rng(SEED + 1).binomial(1, CHANCE)


@pytest.fixture(scope="module")
def regression():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=2)
        pm.Bernoulli("y", logit_p=DESIGN @ beta, observed=ANSWERS)
    return model


def make(model, sampler=SGLD, **settings):
    settings = {"step_size": 0.3, "steps_per_draw": 5} | settings
    return sampler(model=model, batch_size=BATCH, gradient="saga", **settings, **COMPILED)


def of_block(order, place, beta):
    """Return the gradient of the log-likelihood of a block: every row is in one block."""
    rows = order.storage_order()[place * BATCH : (place + 1) * BATCH]
    away = ANSWERS[rows] - 1 / (1 + np.exp(-DESIGN[rows] @ beta))
    return DESIGN[rows].T @ away


def test_what_a_chain_remembers(regression):
    """Beside the recursion written out, from the center on."""
    model = regression
    step = make(model, step_size=0.01, preconditioner="identity", temperature=0)
    step.setup_chain(np.random.default_rng(1), 0, 8)
    run = step._transition.run
    [order] = run.orders
    table = np.array([of_block(order, k, run.blocks.center) for k in range(order.blocks)])
    assert order.blocks == 11
    point = {"beta": np.array([0.6, -0.2])}
    for draw in range(8):
        beta = point["beta"]
        rng = copy.deepcopy(step.rng)
        rng.standard_normal((5, 2))  # of a draw, before its rows
        if not draw:
            rng.standard_normal(2)  # where a chain starts
        places = order.places(run.reads(rng, step.chain.row_seed, 5 * draw, 5)[0])
        point, [stats] = step.step(point)
        for place in places:
            new = of_block(order, place, beta)
            gradient = -beta + table.sum(axis=0) + 11 * (new - table[place])
            table[place] = new
            beta = beta + 0.005 * gradient
        np.testing.assert_allclose(point["beta"], beta, rtol=1e-9)
        np.testing.assert_allclose(stats["gradient_norm"], np.linalg.norm(gradient), rtol=1e-9)
        assert stats["rows_seen"] == (11 + 5 * (draw + 1)) * BATCH  # the first pass is counted
    total, remembered = step.chain.extra[-2:]
    np.testing.assert_allclose(remembered, table, rtol=1e-9)
    np.testing.assert_allclose(total, table.sum(axis=0), rtol=1e-9)


@pytest.mark.parametrize("sampler", [SGLD, SGHMC])
def test_restored_state_replays(regression, sampler):
    """With what blocks remember, also of the coupled chain, and in a step that is new."""
    model = regression
    step = make(model, sampler, step_size=None)
    step.setup_chain(np.random.default_rng(1), 10, 50)
    point = model.initial_point()
    for _ in range(25):
        point, _ = step.step(point)
    assert len(step.chain.coupled.state) == len(step.chain.extra) + 1
    state = pickle.loads(pickle.dumps(step.sampling_state))
    before = [array.copy() for array in step.chain.extra]
    first = [point]
    for _ in range(3):
        first.append(step.step(first[-1])[0])
    other = make(model, sampler, step_size=None)
    other.sampling_state = state
    for array, found in zip(before, other.chain.extra, strict=True):
        np.testing.assert_array_equal(array, found)
    again = point
    for expected in first[1:]:
        again, _ = other.step(again)
        assert same(again, expected)


@pytest.mark.long
def test_the_posterior(regression):
    """A default run has the mean and the spread that all rows give, and trusts itself."""
    model = regression
    step = make(model, step_size=None, steps_per_draw=None)
    run = draws(step, model.initial_point(), 300, tune=20)[20:]
    values = np.array([point["beta"] for point, _ in run])
    gaussian = step._transition.gaussian
    sd = np.sqrt(gaussian.shape.variances)
    assert (np.abs(values.mean(axis=0) - gaussian.mean) < 5 * sd / np.sqrt(150)).all()
    np.testing.assert_allclose(values.std(axis=0) / sd, 1, atol=5 / np.sqrt(2 * 150))
    assert not run[-1][1][0]["untrusted"] and step.gradient == "saga"


def test_a_table_that_is_too_large_is_refused(regression, monkeypatch):
    monkeypatch.setattr(MODULE, "LARGEST", 100)
    message = "of 11 blocks of rows with 2 entries each: 0 MB, .* Pass a larger batch_size, or grad"
    with pytest.raises(SettingError, match=message):
        make(regression)


def test_sources_are_refused():
    with pm.Model() as model:
        theta = pm.Normal("theta")
        pm.Normal("x", theta, 1, observed=X)
    with pytest.raises(SettingError, match=r'"saga" needs fixed blocks.* use gradient="svrg"'):
        make(model, data={"x": _rng.normal(size=100)})


# its stationary law

ROWS, BLOCK = 40, 2
PRECISION = ROWS + 1 / 25
DATA = np.random.default_rng(2).normal(size=ROWS)


def stationary_variance(step_size):
    """Return that of the mean of a Gaussian, times its precision: exactly.

    Everything is linear in the position and what the blocks remember, up to constants that the
    blocks have in common with the posterior mean.
    """
    count = ROWS // BLOCK
    one, shares = np.eye(count + 1), []
    for k in range(count):
        weights = np.ones(count)
        weights[k] -= count
        gradient = np.r_[-1 / 25 - count * BLOCK, weights]
        update = one.copy()
        update[0] += step_size / 2 / PRECISION * gradient
        update[1 + k] = np.r_[-BLOCK, np.zeros(count)]
        shares.append(update)
    lifted = np.mean([np.kron(A, A) for A in shares], axis=0)
    injected = np.zeros((count + 1, count + 1))
    injected[0, 0] = step_size / PRECISION
    law = np.linalg.solve(np.eye(len(lifted)) - lifted, injected.ravel())
    return law[0] * PRECISION


def simulated_variance(step_size):
    """Return the variance of a compiled chain, with its error."""
    with pm.Model() as model:
        theta = pm.Normal("theta", 0, 5)
        pm.Normal("x", theta, 1, observed=DATA)
        step = SGLD(
            batch_size=BLOCK, gradient="saga", step_size=step_size, steps_per_draw=10,
            integrator="euler_maruyama", preconditioner=np.full(1, 1 / PRECISION), **COMPILED
        )  # fmt: skip
    run = draws(step, model.initial_point(), 1000, tune=20)[20:]
    mean = DATA.sum() / PRECISION
    squares = (np.array([point["theta"] for point, _ in run]) - mean) ** 2 * PRECISION
    groups = squares.reshape(25, -1).mean(axis=1)
    return groups.mean(), groups.std(ddof=1) / 5


def test_the_stationary_variance():
    """There is noise that SVRG has not: the recursion has it in closed form."""
    expected = stationary_variance(1.0)
    found, error = simulated_variance(1.0)
    assert abs(found - expected) < 5 * error and error < 0.07 * expected


def recursion(step_size, epochs, chains=200, updates=4000):
    """Return the variance of chains of the recursion in NumPy, and its error."""
    rng, count, each = np.random.default_rng(1), ROWS // BLOCK, np.arange(chains)
    position, table, squares = np.zeros(chains), np.zeros((chains, count)), np.zeros(chains)
    for update in range(updates):
        if not update % count:
            orders = np.argsort(rng.random((chains, count)), axis=1)
        place = orders[:, update % count] if epochs else rng.integers(count, size=chains)
        new = -BLOCK / PRECISION * position
        gradient = -position / 25 / PRECISION + table.sum(axis=1)
        gradient = gradient + count * (new - table[each, place])
        table[each, place] = new
        z = rng.standard_normal(chains)
        position = position + step_size / 2 * gradient + np.sqrt(step_size) * z
        squares += (update >= updates // 8) * position**2 / (updates - updates // 8)
    return squares.mean(), squares.std() / np.sqrt(chains)


@pytest.mark.parametrize("epochs", [False, True])
def test_why_blocks_are_not_read_in_epochs(epochs):
    """Those still to come would be the ones of old positions: the variance is too small."""
    found, error = recursion(0.1, epochs)
    is_right = abs(found - stationary_variance(0.1)) < 5 * error
    assert is_right != epochs and error < 0.02
