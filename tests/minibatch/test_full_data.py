"""Passes over all rows, block by block."""

import numpy as np
import pymc as pm
import pytest

from pymc_sgld.minibatch import block_functions
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.model import Minibatcher

ROWS = 997


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, ROWS))
    counts = rng.poisson(2, size=ROWS // 2)
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=2)
        sigma = pm.HalfNormal("sigma")
        pm.Normal("y", beta[0] + beta[1] * x, sigma, observed=y)
        pm.Poisson("counts", pm.math.exp(beta[0]), observed=counts)
    return Minibatcher(model, model.value_vars, model.initial_point())


def test_the_prior_counts_once_and_every_row_once(rows):
    """In blocks that do not divide the rows, as in one block of all rows."""
    at = np.array([0.3, -0.2, 0.1])
    blocks, whole = FullData(rows.blocks(64)), FullData(rows.blocks(ROWS))
    for found, expected in zip(blocks.gradients(at, []), whole.gradients(at, []), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        blocks.hessians(at, []), whole.hessians(at, []), rtol=1e-9, atol=1e-9
    )


def test_batches_in_blocks(rows, monkeypatch):
    """By the function of blocks, filled up with rows that do not count, or by one of their own."""
    at, batches = np.array([0.3, -0.2, 0.1]), rows.density(20)
    data, calls = FullData(rows.blocks(64)), 1.0
    data.gradients(at, [])
    own = data.batches(batches, calls)
    monkeypatch.setattr(block_functions, "is_compiled", lambda function: True)
    shared = data.batches(batches, calls)
    assert shared._functions is data._functions
    assert own._functions is not data._functions
    picked = {i: np.arange(i, 20 * 7, 7)[:20] for i in (1, 2)}
    picked = {i: [d.array[picked[i]] for d in batches.tables[i - 1].data] for i in (1, 2)}
    for i in (1, 2):
        found, expected = (each.gradients_of(i, (at, []), picked[i])[i] for each in (shared, own))
        np.testing.assert_allclose(found, expected, rtol=1e-10)
        assert np.any(found)
    found, expected = (each.without_rows(at, [], picked) for each in (shared, own))
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    # a table that is one block, whose rows are not counted, and blocks that are much work
    whole = FullData(rows.blocks(ROWS))
    whole.gradients(at, [])
    for each, many in ((whole, calls), (data, 1e9)):
        assert each.batches(batches, many)._functions is not each._functions
