"""What all orders of rows have in common."""

import numpy as np
import pytest

from pymc_sgld.batching.epochs import ORDERS, make_order
from pymc_sgld.batching.windows import WindowOrder

SIZE = 8


def order_of(name):
    return WindowOrder(4000, SIZE, 50, 4) if name == "windows" else make_order(name, 4000, SIZE)


@pytest.mark.parametrize("name", [*ORDERS, "windows"])
def test_a_part_of_reads_is_that_of_the_updates(name):
    """Callers cut reads and hand them on, without a look inside."""
    order, rng = order_of(name), np.random.default_rng(1)
    reads = order.reads(rng, 5, 20, 30)
    part = reads[10:14]
    assert (len(reads), len(part)) == (30, 4)
    if name in ("reshuffle", "windows"):  # the others are drawn anew
        again = order.reads(rng, 5, 30, 4)
        assert again == part if name == "windows" else (again == part).all()
    rows = order.rows(part)
    assert rows.shape == (4, SIZE)
    assert (order.first_rows(part) == rows[:, 0]).all()
    if order.is_contiguous:
        assert ((rows - rows[:, :1]) % order.total_size == np.arange(SIZE)).all()


@pytest.mark.parametrize("size", [1, 10, 40, 50])
def test_windows_are_epochs_as_well(size):
    """What the noise of an epoch becomes does not depend on how its rows are read."""
    one, other = make_order("reshuffle", 100, size), WindowOrder(100, size, 10, 3)
    assert one.spread == other.spread
    left = np.array([0.3, 0.9])
    assert np.array_equal(one.accumulated(left), other.accumulated(left))
