"""Sources whose rows are groups: where the rows of each group are, and how they are sorted."""

import pickle
from collections import namedtuple

import numpy as np
import pytest

from pymc_sgld import DataError
from pymc_sgld.sources import grouped
from pymc_sgld.sources.bind import bind
from pymc_sgld.sources.grouped import Grouped, GroupOrder, OfGroups
from pymc_sgld.sources.source import Source

RNG = np.random.default_rng(7)
SIZES = np.array([3, 0, 5, 1, 4, 0, 2, 5, 0])
GROUPS, LONGEST = len(SIZES), SIZES.max()
ORDER = RNG.permutation(GROUPS)
SORTED = np.repeat(ORDER, SIZES[ORDER]).astype("uint8")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Make a few rows a block, and a few more a part of the file."""
    monkeypatch.setattr(grouped, "BLOCK_BYTES", 40)
    monkeypatch.setattr(grouped, "PART_BYTES", 60)


def order_of(levels):
    return GroupOrder(levels, ORDER, SIZES[ORDER], in_place=levels is SORTED)


def data_of(levels, shape=()):
    """Return rows as a source, and those of each group, in the order of the source."""
    rows = RNG.normal(size=(len(levels), *shape))
    source = bind({"x": rows})["x"]
    return source, [rows[levels == group] for group in ORDER]


@pytest.mark.parametrize("shape", [(), (2,), (3, 4)])
@pytest.mark.parametrize("levels", [SORTED, RNG.permutation(SORTED)], ids=["sorted", "unsorted"])
@pytest.mark.parametrize("begin", [0, 4])
def test_each_group_has_its_rows(levels, shape, begin):
    """What it lacks is its first row; what there is of a group without rows is any row."""
    source, expected = data_of(levels, shape)
    found = Grouped(source, order_of(levels), begin, GROUPS - begin, LONGEST)
    found.sort()
    assert found.shape == (GROUPS - begin, LONGEST, *shape) and found.dtype == source.dtype
    for one in (found, pickle.loads(pickle.dumps(found))):
        for start, stop in [(0, len(found)), (1, 2), (2, 4), (len(found) - 1, len(found))]:
            for group, rows in zip(expected[begin + start : begin + stop], one[start:stop]):
                np.testing.assert_array_equal(rows[: len(group)], group)
                filled = group[:1] if len(group) else rows[:1]
                np.testing.assert_array_equal(
                    rows[len(group) :], filled.repeat(len(rows), 0)[len(group) :]
                )
                assert any(np.array_equal(rows[-1], row) for row in source[:])


def test_what_is_sorted_already_is_read_where_it_is():
    source, _ = data_of(SORTED)
    order = order_of(SORTED)
    assert order.of(source) is source
    assert not Grouped(source, order, 0, GROUPS, LONGEST).is_shuffled
    other = order_of(SORTED[::-1].copy())
    assert other.of(source) is not source and other.of(source) is other.of(source)


def test_a_pickle_has_neither_the_rows_nor_their_groups(monkeypatch):
    monkeypatch.undo()
    levels = RNG.integers(2, size=200_000).astype("uint8")
    order = GroupOrder(levels, np.arange(2), np.bincount(levels), in_place=False)
    found = Grouped(bind({"x": np.arange(200_000.0)})["x"], order, 0, 2, 100)
    found.sort()
    assert len(pickle.dumps(found)) < 2000


class Counted(Source):
    """Counts the rows that are read, and how many at once."""

    def __init__(self, rows, chunk):
        super().__init__(rows.shape, rows.dtype, chunk)
        self.rows, self.reads = rows, []

    def read(self, start, stop):
        self.reads.append((start, stop))
        return self.rows[start:stop]


@pytest.mark.parametrize("chunk", [1, 4, 50])
def test_rows_are_read_once_by_whole_chunks(chunk):
    levels = RNG.permutation(SORTED)
    source = Counted(np.arange(len(levels)), chunk)
    order_of(levels).of(source)
    stops = [stop for _, stop in source.reads]
    assert [start for start, _ in source.reads] == [0, *stops[:-1]] and stops[-1] == len(levels)
    assert all(start % chunk == 0 for start, _ in source.reads)
    assert max(stop - start for start, stop in source.reads) <= max(5, chunk)


def test_a_group_larger_than_a_part():
    levels = np.array([1, 0, 1, 1, 0] * 20, dtype="uint8")
    source = bind({"x": np.arange(100.0)})["x"]
    order = GroupOrder(levels, np.array([1, 0]), np.array([60, 40]), False)
    expected = np.concatenate([np.flatnonzero(levels == 1), np.flatnonzero(levels == 0)])
    np.testing.assert_array_equal(order.of(source)[:], expected)


def test_a_disk_without_room(monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(grouped.shutil, "disk_usage", lambda folder: usage(100))
    source, _ = data_of(levels := RNG.permutation(SORTED))
    with pytest.raises(DataError, match=r'a copy of "x" .* takes 160 bytes, and .* for 100: set'):
        order_of(levels).of(source)


def test_a_source_that_fails_while_it_is_sorted():
    source, _ = data_of(levels := RNG.permutation(SORTED))
    source.shape = (len(levels) + 3,)
    with pytest.raises(DataError, match=r'rows .* of the source of "x"'):
        order_of(np.append(levels, levels[:3])).of(source)


def test_an_array_of_groups_that_changes():
    """A sample is of what it is now: modes are searched again after it was picked."""
    array = np.arange(6.0)
    source = OfGroups(array)
    assert source.sample is None
    picked = np.array([4, 1])
    source.keep(picked, array[picked])
    array += 10
    np.testing.assert_array_equal(source.sample, [14.0, 11.0])
    np.testing.assert_array_equal(source[2:4], [12.0, 13.0])
    assert pickle.loads(pickle.dumps(source)).sample is None
    source.sample = None
    assert source.sample is None
