"""Normal numbers that compiled code makes are normal, and those of a key from the generator."""

import numba
import numpy as np
import pytest
import scipy
from numba.core.caching import CacheImpl

from pymc_sgld.compiled import philox
from pymc_sgld.compiled.normals import MANY, standard_normal

FALSE_ALARMS = 1e-6
SINGLE, DOUBLE = np.dtype("float32"), np.dtype("float64")


def random_words(key, first, count):
    words = np.empty((4, count), np.uint32)
    philox.random_words(tuple(np.uint32(k) for k in key), np.uint32(first), words)
    return words


def test_the_words_of_the_published_cipher():
    """A test vector of the authors' library Random123, philox4x32 with ten rounds."""
    expected = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert random_words((0, 0), 0, 1)[:, 0].tolist() == expected


def test_words_depend_on_counter_and_key():
    many = random_words((1, 2), 0, 100)
    np.testing.assert_array_equal(random_words((1, 2), 40, 60), many[:, 40:])
    assert not np.any(many == random_words((1, 3), 0, 100))
    assert not np.any(many == random_words((2, 2), 0, 100))


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_polynomials_are_logarithm_sine_and_cosine(dtype):
    """Numbers of the compiled code are those that NumPy's functions make of the same words."""
    key = tuple(np.random.default_rng(3).integers(1 << 32, size=2, dtype=np.uint32))
    found = standard_normal(np.random.default_rng(3), (1, 4 * philox.BLOCK), dtype)
    words = random_words(key, 0, philox.BLOCK).astype(float)
    expected = []
    for radius, angle in (words[:2], words[2:]):
        size = np.sqrt(-2 * np.log((radius + 0.5) / 2**32))
        quarter = angle // 2**30
        within = angle % 2**30 * 4  # with a sign
        within = np.where(within < 2**31, within, within - 2**32) / 2**32 * np.pi / 2
        turned = quarter * np.pi / 2 + within
        expected += [size * np.cos(turned), size * np.sin(turned)]
    rounding = 8 * np.finfo(dtype).eps * (1 + np.abs(found[0]))
    assert np.all(np.abs(found[0] - np.concatenate(expected)) < rounding + 1e-9)


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_they_are_normal_and_independent(dtype):
    """Distribution, tails, and products of neighbours and of the two of a pair."""
    z = standard_normal(np.random.default_rng(5), (100, 20_000), dtype).ravel().astype(float)
    assert scipy.stats.kstest(z, "norm").pvalue > FALSE_ALARMS
    most = scipy.stats.norm.isf(FALSE_ALARMS / 2)
    root = len(z) ** 0.5
    assert abs(z.mean()) * root < most
    assert abs((z**2).mean() - 1) * root / 2**0.5 < most
    assert abs((z**4).mean() - 3) * root / 96**0.5 < most
    beyond = scipy.stats.norm.sf(4) * 2 * len(z)
    assert abs(np.count_nonzero(np.abs(z) > 4) - beyond) < most * beyond**0.5
    for apart in (1, 2, philox.BLOCK, 2 * philox.BLOCK, 4 * philox.BLOCK, 20_000):
        first, second = z[:-apart], z[apart:]
        assert abs((first * second).mean()) * root < most
        # the variance of one term is 4; two that share a factor are not correlated
        assert abs(((first**2 - 1) * (second**2 - 1)).mean()) * root / 2 < most


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937])
def test_a_generator_in_the_same_state_gives_the_same(kind, dtype):
    """So that a replay is exact; the next call gives others."""
    one, other = (np.random.Generator(kind(5)) for _ in range(2))
    first = standard_normal(one, (3, MANY), dtype)
    np.testing.assert_array_equal(first, standard_normal(other, (3, MANY), dtype))
    assert first.dtype == dtype and first.shape == (3, MANY)
    second = standard_normal(one, (3, MANY), dtype)
    assert not np.any(first == second)
    np.testing.assert_array_equal(second, standard_normal(other, (3, MANY), dtype))


def test_few_are_those_of_numpy():
    """Bit for bit: compiled code is for many only."""
    one, other = np.random.default_rng(1), np.random.default_rng(1)
    found = standard_normal(one, (50, MANY - 1), SINGLE)
    np.testing.assert_array_equal(found, other.standard_normal((50, MANY - 1), SINGLE))


def test_nowhere_to_keep_compiled_code(monkeypatch):
    """It is compiled in every process then."""

    def twice(x):
        return 2 * x

    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator"):
        numba.njit(twice, cache=True)
    assert philox.compiled(twice)(3) == 6
