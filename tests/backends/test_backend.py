"""Which backend runs updates, if nobody asks for one."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from pytensor.link.jax.linker import JAXLinker

from pymc_sgld import NetworkSGHMC
from pymc_sgld.backends import backend
from pymc_sgld.backends.backend import mode_of_updates, multiplications


def matrix(*shape):
    return pt.tensor(dtype="float64", shape=shape)


@pytest.mark.parametrize(
    ("product", "count"),
    [
        (matrix(5, 3) @ matrix(3, 2), 30),
        (matrix(5, 3) @ matrix(3), 0),
        (matrix(5, 3) @ matrix(3, 1), 0),
        (matrix(1, 3) @ matrix(3, 7), 0),
        (pt.tanh(matrix(5, 3) @ matrix(3, 2)) @ matrix(2, 4), 30 + 40),
        (matrix(4, 4) * 2, 0),
    ],
)
def test_multiplications_of_matrices(product, count):
    assert multiplications([product]) == count


def square(size, columns):
    return (matrix(size, size) @ matrix(size, columns)).sum(axis=0)


def test_products_of_large_matrices_are_for_jax(monkeypatch):
    """If it is installed, and the user chose nothing; not where there are as many coordinates."""
    small, large, wide = square(10, 10), square(200, 200), square(20, 10_000)

    def is_jax(kwargs, gradient):
        return isinstance(mode_of_updates(kwargs, gradient).linker, JAXLinker)

    assert is_jax({}, large) and not is_jax({}, small) and not is_jax({}, wide)
    assert not is_jax({"mode": "NUMBA"}, large) and is_jax({"mode": "JAX"}, small)
    monkeypatch.setattr(backend, "_has_jax", lambda: False)
    assert not is_jax({}, large)


def test_a_step_says_its_backend(monkeypatch):
    x = np.random.default_rng(1).normal(size=(60, 4))
    with pm.Model():
        hidden = pt.tanh(pm.Data("x", x) @ pm.Normal("first", shape=(4, 8)))
        pm.Normal("y", hidden @ pm.Normal("last", shape=8), 1, observed=x[:, 0])
        monkeypatch.setattr(backend, "_PRODUCTS", 1e3)
        monkeypatch.setattr(backend, "_PER_COORDINATE", 1)
        assert "backend='JAX'" in repr(NetworkSGHMC(progressbar=False))
        monkeypatch.setattr(backend, "_PRODUCTS", 1e9)
        step = NetworkSGHMC(progressbar=False, compile_kwargs={"mode": "FAST_COMPILE"})
        assert "backend" not in repr(step)
