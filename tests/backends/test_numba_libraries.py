"""Code that was just compiled gives the numbers of the same code from the cache on disk."""

import multiprocessing

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from numba.core.codegen import JITCodeLibrary, JITCPUCodegen

from pymc_sgld.backends import numba_libraries
from pymc_sgld.backends.backend import Backend
from tests.graphs import Twice

MODE = Backend({"mode": "NUMBA"}).mode
FORK = multiprocessing.get_context("fork")


def found_on_disk(function):
    return sum(function.vm.jit_fn.stats.cache_hits.values())


def steps(constant):
    """Return where three steps along a gradient end, and whether that was on disk."""
    X, y, start = pt.matrix(shape=(300, 12)), pt.vector(shape=(300,)), pt.vector(shape=(12,))
    beta = start
    for _ in range(3):
        eta = X @ beta
        density = (y * eta - pt.softplus(eta * constant)).sum() - (beta**2).sum()
        beta = beta + 1e-3 * pytensor.grad(density, beta)
    function = pytensor.function([X, y, start], beta, mode=MODE)
    rng = np.random.default_rng(1)
    found = function(rng.normal(size=(300, 12)), rng.normal(size=300), rng.normal(size=12))
    return found, found_on_disk(function)


def work(results, constant):
    results.put(steps(constant))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
@pytest.mark.filterwarnings("ignore:os.fork")  # of JAX, where another test has imported it
def test_what_another_process_compiled():
    """Numba alone fails here in the last digit: it calls the code of parts, not the copies."""
    constant = float(np.random.default_rng().standard_normal())  # none was compiled before
    results = FORK.SimpleQueue()
    process = FORK.Process(target=work, args=(results, constant))
    process.start()
    (compiled, on_disk), (loaded, then_on_disk) = results.get(), steps(constant)
    process.join()
    assert (on_disk, then_on_disk) == (0, 1)
    np.testing.assert_array_equal(compiled, loaded)


def test_numba_has_what_is_needed(monkeypatch):
    assert numba_libraries._is_known()
    monkeypatch.setitem(numba_libraries._NEEDED, JITCodeLibrary, "something_else")
    assert not numba_libraries._is_known()


def test_numba_is_as_it_was():
    """Other functions in the same process are compiled as ever."""
    from numba import njit
    from numba.core.registry import cpu_target

    steps(0.5)
    codegen = cpu_target.target_context.codegen()
    assert codegen._library_class is JITCodeLibrary
    assert codegen.magic_tuple() == JITCPUCodegen.magic_tuple(codegen)
    assert njit(lambda x: np.zeros(3).sum() + x)(2.0) == 2


def test_an_operation_that_python_runs():
    x = pt.vector()
    with pytest.warns(UserWarning, match="object mode"):
        function = pytensor.function([x], pt.exp(Twice()(x)), mode=MODE)
        np.testing.assert_allclose(function(np.arange(3.0)), np.exp(2 * np.arange(3.0)))
