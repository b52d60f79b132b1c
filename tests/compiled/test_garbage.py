"""Searches for garbage: fewer for a while, and then as before."""

import gc
import weakref

import pytest

from pymc_sgld.compiled.garbage import old_objects_remain


class Cycle:
    """An object that only a search for garbage finds."""

    def __init__(self):
        self.itself = self


@pytest.fixture(autouse=True)
def as_python_starts():
    """Search as a program does that has set nothing: the tests have."""
    before, count = gc.get_threshold(), gc.get_freeze_count()
    gc.unfreeze()
    gc.set_threshold(2_000, 10, 10)
    yield
    gc.set_threshold(*before)
    if count:
        gc.freeze()


def test_afterwards_all_is_as_before():
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with pytest.raises(KeyError), old_objects_remain():
        assert gc.get_threshold() > before
        raise KeyError
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == frozen


def test_what_became_garbage_meanwhile_is_found_as_usual():
    """Else the data of every model that was fitted stay in memory: here nobody collects."""
    found = []
    for _ in range(40):
        with old_objects_remain():
            cycle = Cycle()
            cycle.others = [Cycle() for _ in range(10_000)]
        found.append(weakref.ref(cycle))
    assert sum(each() is None for each in found) > 10


def test_young_objects_are_looked_through():
    with old_objects_remain():
        found = [weakref.ref(Cycle()) for _ in range(50_000)]
        assert sum(each() is None for each in found) > 20_000


def test_where_the_search_is_off_it_stays_off():
    gc.disable()
    try:
        with old_objects_remain():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
