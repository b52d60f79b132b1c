"""Compiled normal numbers are those of NumPy's generator, whatever it is."""

import numba
import numpy as np
import pytest
from numba.core.caching import CacheImpl

from pymc_sgld.compiled import normals


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.Philox])
def test_the_same_numbers_as_numpy(kind, dtype):
    """Bit for bit, also after a normal number was drawn, and the generator goes on the same."""
    one, other = (np.random.Generator(kind(5)) for _ in range(2))
    for shape in ((normals.WORTHWHILE // 10, 10), (3, 1), (400, 500), (normals.WORTHWHILE,)):
        expected = other.standard_normal(shape, dtype=dtype)
        found = normals.standard_normal(one, shape, np.dtype(dtype))
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected)
        assert one.random() == other.random()
    assert repr(one.bit_generator.state) == repr(other.bit_generator.state)


def test_large_arrays_are_drawn_by_compiled_code(monkeypatch):
    """Otherwise the test above would compare NumPy with itself."""
    compiled, drawn = normals._compiled, []

    def count(function):
        drawn.append(function.__name__)
        return compiled(function)

    monkeypatch.setattr(normals, "_compiled", count)
    rng = np.random.default_rng(1)
    for shape in ((normals.WORTHWHILE - 1, 1), (normals.WORTHWHILE, 1), (64, 64)):
        normals.standard_normal(rng, shape, np.dtype("float64"))
    assert drawn == ["_doubles"] * 2


def test_nowhere_to_keep_compiled_code(monkeypatch):
    """It is compiled in every process then."""

    def twice(x):
        return 2 * x

    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator"):
        numba.njit(twice, cache=True)
    assert normals._compiled(twice)(3) == 6
