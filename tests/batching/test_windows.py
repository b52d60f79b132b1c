"""The order in which rows of a source are read, and what reads them."""

import pickle
import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from pymc_sgld import DataError, SettingError
from pymc_sgld.batching.windows import WindowOrder, WindowReads
from pymc_sgld.minibatch.blocks import read_blocks
from pymc_sgld.minibatch.density import Table
from pymc_sgld.minibatch.selection.rows import Data
from pymc_sgld.sources.background import THREAD
from pymc_sgld.sources.reader import Reader, window_order
from pymc_sgld.sources.source import ArraySource, Sliced
from pymc_sgld.tuning.sorted_sources import excess

SHAPES = [  # rows, batch, block, blocks of a window
    (1000, 10, 20, 5),
    (1003, 10, 20, 5),
    (997, 13, 50, 4),
    (100, 7, 30, 100),
    (57, 20, 8, 2),
    (50, 49, 5, 1),
]


def reader_of(shape, values=None):
    rows = np.arange(shape[0]) if values is None else values
    return Reader([ArraySource(rows)], WindowOrder(*shape))


def rows_of(reader, seed, first, updates):
    """Return the rows of consecutive updates, of each source."""
    return reader.rows(WindowReads(seed, range(first, first + updates)))


def stream(reader, updates, size, seed=5, first=0):
    """Return the rows of updates, shape (updates, batch_size), read in parts of some updates."""
    ends = [*range(first, first + updates, 7), first + updates]
    parts = [rows_of(reader, seed, a, b - a)[0] for a, b in pairwise(ends)]
    return np.concatenate(parts).reshape(updates, size)


def alive():
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


def wait_for_threads():
    """Return whether the threads that read ahead have ended by themselves."""
    end = time.monotonic() + 5
    while alive() and time.monotonic() < end:
        time.sleep(0.01)
    return not alive()


@pytest.mark.parametrize("shape", SHAPES)
def test_every_row_once_an_epoch(shape):
    """Ragged blocks, windows and epochs: no row is left out or read twice."""
    rows, size = shape[:2]
    epochs = 5
    read = stream(reader_of(shape), -(-epochs * rows // size), size).ravel()[: epochs * rows]
    by_epoch = read.reshape(epochs, rows)
    assert (np.sort(by_epoch, axis=1) == np.arange(rows)).all()
    assert not (by_epoch[0] == by_epoch[1]).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_any_part_replays(shape):
    """The rows are a function of the seed and the count of updates, in another process as well."""
    size = shape[1]
    whole = stream(reader_of(shape), 60, size)
    used = reader_of(shape)
    stream(used, 30, size)
    for reader in (reader_of(shape), used, pickle.loads(pickle.dumps(used))):
        assert (stream(reader, 21, size, first=37) == whole[37:58]).all()
    assert not (stream(reader_of(shape), 60, size, seed=6) == whole).all()


def test_two_chains_on_one_reader():
    """A chain and its coupled chain take turns, and neither changes the rows of the other."""
    shape = SHAPES[2]
    one, other = (stream(reader_of(shape), 60, 13, seed) for seed in (1, 2))
    both = reader_of(shape)
    for i in range(60):
        assert (rows_of(both, 1, i, 1)[0] == one[i]).all()
        assert (rows_of(both, 2, i, 1)[0] == other[i]).all()


def test_rows_of_several_sources_stay_together():
    number = np.arange(997)
    order = WindowOrder(*SHAPES[2])
    reader = Reader([ArraySource(number), ArraySource(np.stack([number, -number], axis=1))], order)
    for first in range(0, 200, 8):
        rows, pairs = rows_of(reader, 3, first, 8)
        assert np.array_equal(pairs, np.stack([rows, -rows], axis=1))


def test_what_was_read_stays_as_it_is():
    """A batch is no view of memory that is written again."""
    reader = reader_of(SHAPES[0])
    early = rows_of(reader, 1, 0, 5)[0]
    kept = early.copy()
    stream(reader, 400, 10, seed=1, first=5)
    assert (early == kept).all()


def test_rows_of_a_window_are_uniformly_shuffled():
    """Each row of a window is equally often in each place: chi-squared, for 600 epochs."""
    order = WindowOrder(12, 3, 3, 4)
    reader = Reader([ArraySource(np.arange(12))], order)
    read = stream(reader, 2400, 3).reshape(600, 12)
    counts = np.array([np.bincount(read[:, place], minlength=12) for place in range(12)])
    chi = ((counts - 50) ** 2 / 50).sum()
    assert chi < 121 + 5 * np.sqrt(2 * 121)  # 11 x 11 degrees of freedom


def batch_means(values, shape, epochs=4):
    rows, size = shape[:2]
    return stream(reader_of(shape, values), epochs * rows // size, size).mean(axis=1)


def test_the_variance_of_a_batch_is_that_of_its_window():
    """Rows in random order: as single rows. Sorted rows: more, by what windows differ.

    Of n random rows out of W random blocks of K: the variance within windows by n, and that of
    blocks by W, each with its correction for a finite population.
    """
    shape = rows, size, block, window = 40_000, 20, 50, 20
    values = np.random.default_rng(4).normal(size=rows)
    means = batch_means(values, shape)
    expected = values.var() / size * (1 - size / rows)
    assert abs(means.var() / expected - 1) < 5 * np.sqrt(2 / len(means))

    values = np.sort(values)
    means = batch_means(values, shape, epochs=40)
    windows = means.reshape(-1, window * block // size).mean(axis=1)
    blocks = values.reshape(-1, block).mean(axis=1)
    share = 1 / window - 1 / len(blocks)
    assert abs(windows.var() / (blocks.var(ddof=1) * share) - 1) < 5 * np.sqrt(2 / len(windows))
    within = values.var() - windows.var()
    total = within / size * (1 - size / (window * block)) + windows.var()
    assert total > 1.5 * expected  # so that this test could fail
    assert abs(means.var() / total - 1) < 5 * np.sqrt(2 / len(means) + 2 / len(windows) / 4)


def spread(values, shape, step_size=0.3, seeds=16, epochs=40):
    """Return variances of SGLD chains in units of a Gaussian posterior's, one for each chain.

    A control variate at the mean: the batch of an update has the curvature ``mean(values)`` where
    all rows have one of 1. The noise is that of Leimkuhler and Matthews, exact without batches.
    """
    rows, size = shape[:2]
    updates = epochs * rows // size
    readers = [reader_of(shape, values) for _ in range(seeds)]
    read = [rows_of(reader, seed, 0, updates)[0] for seed, reader in enumerate(readers)]
    curvature = np.array(read).reshape(seeds, updates, size).mean(axis=2)
    rng = np.random.default_rng(0)
    z = rng.standard_normal((updates + 1, seeds))
    noise = np.sqrt(step_size) * (z[1:] + z[:-1]) / 2
    position, squares = np.zeros(seeds), np.zeros(seeds)
    for i in range(updates):
        position = position - step_size / 2 * curvature[:, i] * position + noise[i]
        squares += position**2 / updates
    return squares


def test_what_sorted_rows_add_to_the_variance():
    """Windows of another curvature have another variance: 1 + X, the bound, where they are long.

    By ``X = (1 / W - 1 / K) Var(block means)``, with chains that forget in 7 of 100 updates. The
    same rows in random order add nothing that is seen.
    """
    shape = rows, _, block, window = 10_000, 10, 50, 20
    rng = np.random.default_rng(6)
    values = rng.normal(size=rows) ** 2
    values /= values.mean()
    shuffled = spread(values, shape)
    values = np.sort(values)
    blocks = values.reshape(-1, block).mean(axis=1)
    bound = (1 / window - 1 / len(blocks)) * blocks.var(ddof=1)
    assert bound > 0.05  # what ``check_order`` would warn of
    found = spread(values, shape)
    error = np.hypot(found.std(), shuffled.std()) / np.sqrt(len(found))
    added = found.mean() / shuffled.mean() - 1
    assert error < bound / 5
    assert 0.5 * bound < added + 4 * error and added - 4 * error < 1.25 * bound
    assert added > 4 * error


def test_excess_is_that_of_the_blocks():
    """It finds a direction in which blocks differ, and nothing where they do not."""
    rng = np.random.default_rng(7)
    direction = np.array([0.6, 0.8, 0.0, 0.0])

    def halves(extra):
        scale = np.eye(4) + (np.sqrt(1 + extra) - 1) * np.outer(direction, direction)
        return [rng.normal(size=(256, 4)) @ scale / 16 for _ in range(2)]

    assert excess(halves(0), halves(0)) == 0
    # a variance of 11 from 256 samples, twice: standard error 11 sqrt(2 / 512)
    assert abs(excess(halves(10), halves(0)) - 10) < 5 * 12 * np.sqrt(2 / 512)


def test_windows_fit_into_memory():
    wide, narrow = ArraySource(np.zeros((100_000, 50))), ArraySource(np.zeros(100_000))
    order = window_order([wide, narrow], 128)
    row_bytes = 51 * 8
    assert 2**16 < order.block * row_bytes <= 2**17
    assert order.blocks_of_window * order.block * row_bytes <= 2**24
    assert window_order([narrow], 128).windows == 1  # all of it is shuffled together

    class Chunked:
        dtype, chunks = np.dtype("float64"), (30_000, 50)

        def __init__(self, rows):
            self.shape = (rows, 50)

    assert window_order([Sliced(Chunked(10**6))], 128).block == 30_000
    Chunked.chunks = (300_000, 50)
    with pytest.raises(SettingError, match=r'"x" has chunks of 300000 rows, 120,000,000 bytes'):
        window_order([Sliced(Chunked(10**8)).named("x")], 128)


@pytest.mark.parametrize(
    ("rows", "size", "chunk"),
    [(1000, 64, 1), (997, 64, 150), (60, 60, 7), (500, 300, 300), (1001, 10, 400)],
)
def test_a_pass_reads_every_chunk_once(rows, size, chunk):
    """Blocks of equal length, of which the last two may overlap, from whole chunks."""
    read = []

    class Chunked:
        shape, dtype, chunks = (rows,), np.dtype("int64"), (chunk,)

        def __getitem__(self, part):
            read.append((part.start, part.stop))
            return np.arange(rows)[part]

    pair = [
        Data(None, Sliced(Chunked()), ("a",), True),
        Data(None, ArraySource(np.arange(rows)), (), True),
    ]
    seen = 0
    for start, old, _, (one, other) in read_blocks(Table({}, rows, size, pair)):
        assert start <= seen < start + size and old == seen - start
        assert np.array_equal(one, np.arange(start, start + size))
        assert np.array_equal(one, other)
        seen = start + size
    assert seen == rows
    begins, ends = zip(*read, strict=True)
    assert begins == (0, *ends[:-1]) and ends[-1] == rows
    assert all(end % chunk == 0 for end in ends[:-1])


class Watched:
    """Rows that note when they are read, by whom, and fail on demand."""

    shape, dtype = (1000,), np.dtype("int64")

    def __init__(self):
        self.threads, self.broken, self.release = [], False, threading.Event()
        self.release.set()

    def __getitem__(self, rows):
        self.threads.append(threading.current_thread().name)
        self.release.wait(5)
        if self.broken:
            raise OSError("the disk is on fire")
        return np.arange(1000)[rows]


def test_a_thread_reads_ahead_and_ends():
    watched = Watched()
    reader = Reader([Sliced(watched)], WindowOrder(1000, 10, 20, 5))
    rows_of(reader, 1, 0, 1)
    assert THREAD not in watched.threads  # a single look starts nothing
    rows_of(reader, 1, 1, 1)
    assert wait_for_threads() and watched.threads.count(THREAD) == 5
    before = list(watched.threads)
    stream(reader, 19, 10, seed=1, first=1)  # to the end of the second window
    here = threading.current_thread().name
    assert watched.threads.count(here) == before.count(here)  # nothing was waited for
    assert len(alive()) <= 1  # one window ahead, and no more


def test_what_a_thread_fails_on_is_raised_where_rows_are_used():
    watched = Watched()
    reader = Reader([Sliced(watched).named("x")], WindowOrder(1000, 10, 20, 5))
    rows_of(reader, 1, 0, 1)
    watched.broken = True
    assert len(rows_of(reader, 1, 1, 9)[0]) == 90  # the window that is there
    with pytest.raises(DataError, match=r'rows \d+ to \d+ of the source of "x".*on fire'):
        rows_of(reader, 1, 10, 1)
    assert wait_for_threads()
    watched.broken = False
    assert len(rows_of(reader, 1, 10, 1)[0]) == 10  # no failure is remembered


def test_an_abandoned_reader_leaves_no_thread():
    watched = Watched()
    reader = Reader([Sliced(watched)], WindowOrder(1000, 10, 20, 5))
    rows_of(reader, 1, 0, 1)
    watched.release.clear()
    rows_of(reader, 1, 1, 1)
    assert len(alive()) == 1
    del reader
    watched.release.set()
    assert wait_for_threads()
