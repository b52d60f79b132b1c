"""A function of one update, repeated: the same by every backend, and as by hand."""

import pickle

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from pymc_sgld.backends.backend import Backend
from pymc_sgld.compiled.repeat import Repeat

STEPS = 4
_rng = np.random.default_rng(6)
SEQUENCES = [_rng.normal(size=STEPS), _rng.normal(size=(STEPS, 3)), np.array([2, 0, 1, 1])]
STATE, OTHERS = [_rng.normal(size=3), np.array(0.5)], [_rng.normal(size=(3, 2))]


def by_hand(steps=STEPS):
    """Return the last state, and what is kept."""
    (x, s), (table,) = STATE, OTHERS
    kept = []
    for size, noise, row in zip(*[of[:steps] for of in SEQUENCES]):
        x, s = x - size * table[row].sum() * s + noise, s + x.sum()
        kept.append((x**2, np.array([x[0]])))
    return [x, s, *map(np.array, zip(*kept))]


def repeated(mode):
    size, noise = pt.tensor("size", shape=(1,)), pt.tensor("noise", shape=(1, 3))
    row = pt.tensor("row", shape=(1,), dtype="int64")
    x, s = pt.tensor("x", shape=(3,)), pt.tensor("s", shape=())
    table = pt.tensor("table", shape=(3, 2))
    new = x - size[0] * table[row[0]].sum() * s + noise[0]
    inputs, outputs = [size, noise, row, x, s, table], [new, s + x.sum(), new**2, new[:1]]
    function = pytensor.function(inputs, outputs, mode=Backend({"mode": mode}).mode)
    return Repeat(function, 3, 2, 0)


@pytest.mark.parametrize("mode", ["NUMBA", "JAX", "FAST_COMPILE"])
def test_any_number_of_updates(mode):
    repeat = repeated(mode)
    before = [array.copy() for array in STATE]
    for steps in (STEPS, 1):
        found = repeat([of[:steps] for of in SEQUENCES], STATE, OTHERS)
        for got, expected in zip(found, by_hand(steps), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-12)
    for array, old in zip(STATE, before, strict=True):
        np.testing.assert_array_equal(array, old)  # what was given is not written to


def test_it_is_pickled_as_the_function():
    repeat = repeated("NUMBA")
    expected = repeat(SEQUENCES, STATE, OTHERS)
    again = pickle.loads(pickle.dumps(repeat))(SEQUENCES, STATE, OTHERS)
    for got, wanted in zip(again, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_it_is_found_on_disk_again():
    for hits_and_misses in [None, (1, 0)]:
        repeat = repeated("NUMBA")
        repeat(SEQUENCES, STATE, OTHERS)
        stats = repeat._run.stats
        found = sum(stats.cache_hits.values()), sum(stats.cache_misses.values())
        assert found == (hits_and_misses or found)


def test_an_error_in_compiled_code_is_raised():
    sequences = [*SEQUENCES[:2], np.array([0, 7, 0, 0])]
    for mode in ("NUMBA", "FAST_COMPILE"):
        with pytest.raises(IndexError):
            repeated(mode)(sequences, STATE, OTHERS)
