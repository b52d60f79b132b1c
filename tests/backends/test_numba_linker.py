"""Functions that Numba compiles once: they are right, and found on disk again."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from pymc_sgld.backends.backend import Backend

MODE = Backend({"mode": "NUMBA"}).mode


def compiled(constant):
    """Return a function of two vectors, made anew."""
    x, y = pt.vector("x"), pt.vector("y")
    return pytensor.function([x, y], [pt.exp(x * y).sum() + constant, x * 2], mode=MODE)


def counts(function):
    """Return how many signatures were found on disk, and how many were not."""
    stats = function.vm.jit_fn.stats
    return sum(stats.cache_hits.values()), sum(stats.cache_misses.values())


def call(function):
    return [found.tolist() for found in function(np.zeros(2), np.ones(2))]


def test_it_is_found_on_disk_again():
    """And what differs in a constant is another function."""
    # none was compiled before, and sums with it are exact
    constant = int(np.random.default_rng().integers(1, 2**40)) / 2**40
    expected = [2 + constant, [0.0, 0.0]]
    for hits_and_misses in [(0, 1), (1, 0)]:
        function = compiled(constant)
        assert call(function) == expected
        assert counts(function) == hits_and_misses
    other = compiled(constant + 1)
    assert call(other)[0] == expected[0] + 1
    assert counts(other) == (0, 1)


def test_without_the_cache():
    with pytensor.config.change_flags(numba__cache=False):
        for _ in range(2):
            function = compiled(3.0)
            assert call(function) == [5.0, [0.0, 0.0]]
            assert counts(function) == (0, 1)


def test_an_error_names_the_node():
    x, i = pt.vector("x"), pt.lscalar("i")
    function = pytensor.function([x, i], x[i], mode=MODE)
    with pytest.raises(IndexError):
        function(np.zeros(2), 5)
