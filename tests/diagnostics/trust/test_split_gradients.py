"""Of large data, gradients at draws come from an expansion of all rows and few of them."""

import warnings

import arviz as az
import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLDWarning, diagnose
from pymc_sgld.diagnostics.trust import gradients
from pymc_sgld.tuning.importance import expansion

ROWS = 25_000


@pytest.fixture(scope="module")
def run():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(ROWS, 2))
    y = rng.poisson(np.exp(0.3 + x @ [0.2, -0.1]))
    with pm.Model() as model:
        b = pm.Normal("b", 0, 1, shape=3)
        rate = pm.math.exp(b[0] + pm.Data("x", x) @ b[1:])
        pm.Poisson("y", rate, observed=y)
    sd = np.exp(-0.15) / np.sqrt(ROWS)
    z = rng.normal(size=(4, 500, 3))
    mean = np.array([0.3, 0.2, -0.1])
    return model, az.from_dict({"posterior": {"b": mean + 1.3 * sd * z}})


def report(run):
    model, idata = run
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SGLDWarning)
        return diagnose(idata, model, gradients=200)


def test_figures_are_those_of_all_rows(run, monkeypatch):
    """The draws are too wide, and off: both readings say by how much."""
    read = []
    own = expansion.Expansion.gradient
    monkeypatch.setattr(
        expansion.Expansion, "gradient", lambda *given: read.append(1) or own(*given)
    )
    some = report(run)
    assert len(read) == some.run["gradients"] == 200
    monkeypatch.setattr(gradients, "FEW", 10**9)
    whole = report(run)
    for figure, tolerated in (("mean_shift", 0.03), ("sd_ratio", 0.03)):
        np.testing.assert_allclose(some.table[figure], whole.table[figure], atol=tolerated)
    assert whole.table["sd_ratio"].min() > 1.1


def test_all_rows_are_read_where_few_are_not_exact(run, monkeypatch):
    """No choice of rows is exact to 0."""
    monkeypatch.setattr(gradients, "ROWS_ERROR", 0.0)
    monkeypatch.setattr(
        expansion.Expansion, "gradient", lambda *given: pytest.fail("few rows were read")
    )
    model, idata = run
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SGLDWarning)
        assert diagnose(idata, model, gradients=40).run["gradients"] == 40
