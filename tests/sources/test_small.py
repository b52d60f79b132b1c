"""Sources that are small are read once."""

import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLD, DataError, SGLDWarning, certify
from pymc_sgld.sources import bind as binding
from pymc_sgld.sources.bind import bind
from pymc_sgld.sources.source import Sliced
from tests.runs import RUN, same

ROWS = np.random.default_rng(1).normal(1, 2, size=(3000, 2))


class Slow:
    """Rows that take long to arrive, and how often each of them was read."""

    def __init__(self, rows, fail=False):
        self.rows, self.fail, self.read = rows, fail, 0
        self.shape, self.dtype = rows.shape, rows.dtype

    def __getitem__(self, rows):
        if self.fail:
            raise ConnectionError("nobody answers")
        found = self.rows[rows]
        self.read += len(found)
        return found


@pytest.fixture
def small(monkeypatch):
    """As it is where no tests run."""
    monkeypatch.setattr(binding, "SMALL", 2**26)


def model():
    with pm.Model() as model:
        slope = pm.Normal("slope", 0, 1)
        x = pm.Data("x", ROWS[:10, 0])
        pm.Normal("y", slope * x, 2, observed=ROWS[:10, 1])
    return model


def sampled(data):
    with model():
        return pm.sample(
            step=SGLD(data=data, compile_kwargs={"mode": "FAST_COMPILE"}, progressbar=False), **RUN
        )


def test_each_row_is_read_once(small):
    data = {"x": Slow(ROWS[:, 0]), "y": Slow(ROWS[:, 1])}
    idata = sampled(data)
    assert [each.read for each in data.values()] == [3000, 3000]
    assert same(idata.posterior, sampled({"x": ROWS[:, 0], "y": ROWS[:, 1]}).posterior)
    with pytest.warns(SGLDWarning, match="too few draws"):
        certify(idata, model(), data=data, progressbar=False)
    assert [each.read for each in data.values()] == [6000, 6000]


def test_larger_ones_stay_where_they_are(monkeypatch):
    data = {"x": Slow(ROWS[:, 0]), "y": Slow(ROWS[:, 1])}
    monkeypatch.setattr(binding, "SMALL", 2 * 3000 * 8 - 1)  # of both together
    bind(data)
    assert not any(each.read for each in data.values())
    monkeypatch.setattr(binding, "SMALL", 2 * 3000 * 8)
    found = bind(data)
    assert all(each.read for each in data.values())
    assert [source.name for source in found.values()] == ["x", "y"]


def test_rows_that_do_not_arrive(small):
    data = {"x": ROWS[:, 0], "y": Slow(ROWS[:, 1], fail=True)}
    with pytest.raises(DataError, match=r'rows 0 to 3000 of the source of "y" .* nobody answers'):
        bind(data)


def test_shuffled_rows_are_known_to_be(small):
    source = Sliced(Slow(ROWS))
    source.is_shuffled = True
    assert bind({"x": source})["x"].is_shuffled
