"""Row orders: every row once an epoch, replay from seed and count, and the law of the batches."""

import numpy as np
import pymc as pm
import pytest

from pymc_sgld.batching.epochs import MIN_BLOCKS, Reshuffle, make_order
from tests.graphs import mean_gradient, updates_of


def stream(order, updates, seed=5, first=0):
    return order.rows(order.reads(np.random.default_rng(seed), seed, first, updates))


@pytest.mark.parametrize(
    ("total_size", "batch_size"),
    [(12, 3), (10, 3), (7, 5), (5, 4), (100, 1), (1100, 2), (1031, 2), (5000, 8), (4099, 8)],
)
def test_every_row_once_an_epoch(total_size, batch_size):
    """Whether or not the batch divides the rows, and for blocks of several rows as well."""
    order = make_order("reshuffle", total_size, batch_size)
    epochs = 7
    rows = stream(order, -(-epochs * total_size // batch_size)).ravel()[: epochs * total_size]
    by_epoch = rows.reshape(epochs, total_size)
    assert (np.sort(by_epoch, axis=1) == np.arange(total_size)).all()
    assert not (by_epoch[0] == by_epoch[1]).all()


def test_the_ragged_end_opens_the_next_epoch():
    """Ten rows in batches of four: the third batch holds the last two and two of the next epoch."""
    rows = stream(make_order("reshuffle", 10, 4), 5)
    assert rows.shape == (5, 4)
    first_epoch = np.concatenate([rows[0], rows[1], rows[2][:2]])
    assert sorted(first_epoch) == list(range(10))
    second_epoch = np.concatenate([rows[2][2:], rows[3], rows[4]])
    assert sorted(second_epoch) == list(range(10))


@pytest.mark.parametrize(("total_size", "batch_size"), [(50, 7), (1031, 2), (5000, 8)])
def test_any_part_of_the_stream_replays(total_size, batch_size):
    """The order is a function of the seed and the count: it has no memory."""
    whole = stream(make_order("reshuffle", total_size, batch_size), 300)
    part = stream(make_order("reshuffle", total_size, batch_size), 120, first=137)
    assert (whole[137:257] == part).all()
    other = stream(make_order("reshuffle", total_size, batch_size), 300, seed=6)
    assert not (whole == other).all()


def test_blocks_are_long_only_where_many_remain():
    sizes = {1000: 1, 10_000: 16, 100_000: 128, 1_000_000: 128}
    for total_size, block_size in sizes.items():
        order = make_order("reshuffle", total_size, 128)
        assert order.block_size == block_size
        assert block_size == 1 or total_size // block_size >= MIN_BLOCKS
        assert (order.storage_order() is None) == (block_size == 1)


@pytest.mark.parametrize("name", ["with_replacement", "without_replacement"])
def test_independent_batches(name):
    order = make_order(name, 20, 5)
    rows = stream(order, 4000)
    counts = np.bincount(rows.ravel(), minlength=20)
    # 20,000 uniform picks: a count has standard deviation below sqrt(1000); 6 of them
    assert np.abs(counts - 1000).max() < 6 * np.sqrt(1000)
    distinct = np.array([len(set(batch)) for batch in rows])
    if name == "without_replacement":
        assert (distinct == 5).all()
    else:
        p_distinct = np.prod(1 - np.arange(5) / 20)
        error = np.sqrt(p_distinct * (1 - p_distinct) / 4000)
        assert abs((distinct == 5).mean() - p_distinct) < 6 * error


def test_blocks_keep_the_variance_of_a_batch_mean():
    """Blocks of a fixed shuffle: the noise of a batch is that of single rows, as K blocks tell."""
    values = np.sort(np.random.default_rng(2).normal(size=20_000))  # as ordered as can be
    order = make_order("reshuffle", 20_000, 32)
    assert order.block_size == 32
    stored = values[order.storage_order()]
    means = stored[stream(order, 20_000 // 32)].mean(axis=1)
    expected = values.var() / 32 * (20_000 - 32) / 19_999
    assert abs(means.var() / expected - 1) < 6 * np.sqrt(2 / len(means))
    assert values[stream(order, 600)].mean(axis=1).var() > 20 * expected  # without the shuffle


@pytest.mark.parametrize("size", [10, 25, 40, 50, 60, 70])
def test_spread_of_batches_by_the_difference_of_consecutive_ones(size):
    """Of an epoch's N / n batches all but one are followed by one with other rows."""
    order, rng = Reshuffle(100, size), np.random.default_rng(size)
    values = rng.normal(size=100)
    values -= values.mean()
    means = values[order.rows(order.reads(rng, 1, 0, 40_000))].mean(axis=1)
    variance, squares = np.mean(means**2), np.mean(np.diff(means) ** 2)
    assert (
        abs(variance / (squares / 2) / order.spread - 1) < 0.05
    )  # 0.01 at random; 0.02 by ragged ends
    plain = rng.normal(size=40_000)  # of no epochs
    assert abs(np.mean(plain**2) / (np.mean(np.diff(plain) ** 2) / 2) / order.spread - 1) > 0.05


@pytest.mark.parametrize(("rows", "size"), [(1100, 2), (1031, 2), (3000, 4), (60, 7)])
def test_an_epoch_of_gradients_is_the_full_gradient(rows, size):
    """Reading by slices (wrapping ones too), by blocks and by single rows reads the right rows."""
    rng = np.random.default_rng(7)
    X, y = rng.normal(size=(rows, 3)), rng.normal(size=rows)
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=3)
        pm.Normal("y", pm.Data("X", X.T.copy()).T @ beta, 1, observed=y)
    position = np.ones(3)
    full = model.compile_dlogp(mode="FAST_COMPILE")({"beta": position})
    # as many epochs as rows in a batch: no ragged end
    found = mean_gradient(updates_of(model, size), position, rows)
    np.testing.assert_allclose(found, full, rtol=1e-10)
