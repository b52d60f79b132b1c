"""Classes of groups of about one size, and the rows that each group has there."""

import numpy as np
import pytest

from pymc_sgld.minibatch.groups import layout
from pymc_sgld.minibatch.groups.layout import MOST_CLASSES, classes_of

pytestmark = pytest.mark.usefixtures("few_rows_make_classes")

_rng = np.random.default_rng(4)


def index_of(sizes):
    """Return the group of each row, shuffled."""
    return _rng.permutation(np.repeat(np.arange(len(sizes)), sizes))


def is_counted(members, name="y"):
    """Return which rows are those of each group, and do not fill it up."""
    return np.arange(members.longest_of(name)) < members.counts[name][:, None]


CASES = {
    "equal": [5] * 12,
    "of all sizes": _rng.integers(0, 40, 60),
    "a few large ones": [2] * 30 + [300, 310],
    "heavy tailed": np.clip(_rng.lognormal(2, 1.5, 500), 0, 2000).astype(int),
    "without rows": [0, 0, 3, 0, 1, 0],
    "nearly all without rows": [0] * 50 + [20],
    "one row each": [1] * 9,
}


@pytest.mark.parametrize("sizes", CASES.values(), ids=CASES)
def test_every_group_has_its_rows_once(sizes):
    index, groups = index_of(sizes), len(sizes)
    classes = classes_of({"y": index}, groups, 1)
    members = np.concatenate([each.members for each in classes])
    assert len(classes) <= MOST_CLASSES and sorted(members) == list(range(groups))
    for each in classes:
        assert each.rows["y"].shape == (len(each), each.longest)
        assert each.start.shape == (len(each), 1)
        np.testing.assert_array_equal(each.sizes, np.asarray(sizes)[each.members])
        for group, rows, counted in zip(each.members, each.rows["y"], is_counted(each)):
            np.testing.assert_array_equal(np.sort(rows[counted]), np.flatnonzero(index == group))
            if counted.any():  # what fills up a group is a row of its own: it is in the support
                assert (index[rows] == group).all()


def test_small_data_are_one_class(monkeypatch):
    """What another class saves must be worth the seconds that it takes to compile."""
    sizes = CASES["a few large ones"]
    assert len(classes_of({"y": index_of(sizes)}, len(sizes), 1)) == 2
    saved = len(sizes) * 310 - (30 * 2 + 2 * 310)
    for least, expected in [(saved, 2), (saved + 1, 1)]:
        monkeypatch.setattr(layout, "SAVED", least)
        assert len(classes_of({"y": index_of(sizes)}, len(sizes), 1)) == expected


@pytest.mark.parametrize("sizes", CASES.values(), ids=CASES)
def test_classes_are_worth_their_graphs(sizes):
    """As few rows as with any cuts into so many classes, for sizes that can be tried."""
    classes = classes_of({"y": index_of(sizes)}, len(sizes), 1)
    read = sum(len(each) * each.longest for each in classes)
    assert read <= len(sizes) * max(sizes)
    if len(classes) > 1:
        assert read <= 0.75 ** (len(classes) - 1) * len(sizes) * max(sizes) + len(sizes)
    values = np.unique(sizes)
    if len(values) < 64:
        cuts = [np.append(np.array(c), values[-1]) for c in _cuts(values, len(classes))]
        least = min(_rows(sizes, cut) for cut in cuts)
        assert read <= least + sum(np.asarray(sizes) == 0)


def _cuts(values, number):
    """Give the largest sizes of all classes but the last."""
    if number == 1:
        return [[]]
    if number == 2:
        return [[a] for a in values[:-1]]
    return [[a, b] for i, a in enumerate(values[:-1]) for b in values[i + 1 : -1]]


def _rows(sizes, largest):
    """Return how many rows classes with these largest sizes have."""
    return largest[np.searchsorted(largest, sizes)].sum()


def test_rows_of_two_outcomes():
    """Each has its own index; groups are of one class by the rows of both."""
    index = {"y": index_of([3, 0, 1, 2, 30]), "z": index_of([0, 2, 1, 0, 40])}
    classes = classes_of(index, 5, 2)
    assert [list(each.sizes) for each in classes] == [[3, 2, 2, 2], [70]]
    for each in classes:
        assert each.start.shape == (len(each), 2)
        assert each.longest == sum(rows.shape[1] for rows in each.rows.values())
        for name, of_rows in index.items():
            for group, rows, counted in zip(each.members, each.rows[name], is_counted(each, name)):
                expected = np.flatnonzero(of_rows == group)
                np.testing.assert_array_equal(np.sort(rows[counted]), expected)


def test_arrays_by_groups():
    index = index_of([3, 2, 1, 3])
    [members] = classes_of({"y": index}, 4, 1)
    data, of_groups = _rng.normal(size=(9, 2)), _rng.normal(size=4)
    padded = members.padded(data, "y")
    assert padded.shape == (4, 3, 2) and members.padded(data, "y") is padded
    for group in range(4):
        rows = padded[group][is_counted(members)[group]]
        np.testing.assert_array_equal(rows, data[np.flatnonzero(index == group)])
    np.testing.assert_array_equal(members.of_groups(of_groups), of_groups)


def test_arrays_that_take_the_place_of_others_are_not_mistaken_for_them():
    """What is kept by the memory of an array must keep that memory."""
    [members] = classes_of({"y": index_of([2, 2])}, 2, 1)
    for value in range(50):
        assert (members.padded(np.full(4, float(value)), "y") == value).all()
