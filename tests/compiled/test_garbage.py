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
    before, old = gc.get_threshold(), Cycle()
    is_gone = weakref.ref(old)
    with pytest.raises(KeyError), old_objects_remain():
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold() > before
        new = weakref.ref(Cycle())
        gc.collect()
        assert new() is None
        raise KeyError
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == before
    del old
    gc.collect()
    assert is_gone() is None


def is_frozen(wanted):
    """Whether the search for garbage leaves an object out; how many may change by itself."""
    return not any(each is wanted for each in gc.get_objects())


def test_what_the_application_froze_stays_frozen():
    old = Cycle()
    gc.freeze()
    new = Cycle()
    with old_objects_remain():
        assert is_frozen(old) and not is_frozen(new)
    assert is_frozen(old) and not is_frozen(new)
