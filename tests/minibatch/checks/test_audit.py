"""The audit: it passes what is right, and sees what it is for."""

from contextlib import nullcontext

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from pytensor.gradient import disconnected_grad

from pymc_sgld import SGLD, MinibatchError, SettingError
from pymc_sgld.minibatch import model as minibatch_model
from pymc_sgld.minibatch.checks.audit import is_off
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.minibatch.selection.fixed_index import PickedRows
from pymc_sgld.minibatch.selection.rows import StoredRows
from tests.graphs import QUICK

ROWS = 23  # no multiple of the batch size: the last two batches overlap
SETTINGS = QUICK | {"batch_size": 4, "step_size": 1e-4}


@pytest.fixture(params=["float64", "float32"])
def model(request):
    rng = np.random.default_rng(5)
    x, group = rng.normal(size=(ROWS, 3)).astype(request.param), rng.integers(0, 4, ROWS)
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=3, dtype=request.param)
        effect = pm.Normal("effect", shape=4, dtype=request.param)
        mean = x @ beta + effect[group]
        pm.Normal("y", mean, 1, observed=rng.normal(size=ROWS).astype(request.param))
        pm.Normal("matrix", mean[:, None], 1, observed=x)
        pm.Normal("picked", pm.math.exp(x @ beta)[:-1], 1, observed=rng.normal(size=ROWS - 1))
        pm.Poisson("count", pm.math.exp(effect[0]), observed=rng.poisson(2, size=9))
    return model


def test_passes(model):
    assert SGLD(model=model, audit=True, **SETTINGS)


def other_rows(monkeypatch):
    """The arrays of the batch are those of the row before."""
    leaf = StoredRows.leaf

    def shifted(self, variable, axis):
        batch = leaf(self, variable, axis)
        item = self.data[-1] if self.data and batch is not None else None
        if item is not None and item.array.ndim == 2:
            self.data[-1] = type(item)(
                item.variable, np.roll(item.array, 1, axis=0), item.names, item.by_row
            )
        return batch

    monkeypatch.setattr(StoredRows, "leaf", shifted)


def no_gradient(monkeypatch):
    """The values of the rows are right, and their gradients are not."""
    select = StoredRows.select

    def cut(self, variable, axis):
        selected = select(self, variable, axis)
        is_mean = variable.owner is not None and "DimShuffle" in type(variable.owner.op).__name__
        return disconnected_grad(selected) if is_mean else selected

    monkeypatch.setattr(StoredRows, "select", cut)


def other_picks(monkeypatch):
    """What is rewritten before rows are selected is seen too."""
    read = PickedRows.read

    def shifted(self, array, name, sources=()):
        return read(self, np.roll(array, 1, axis=0), name, sources)

    monkeypatch.setattr(PickedRows, "read", shifted)


def wrong_prior(monkeypatch):
    monkeypatch.setattr(minibatch_model, "total", lambda terms, dtype: 2 * pt.sum(terms[0]))


@pytest.mark.parametrize(
    ("defect", "message", "without"),
    [
        (other_picks, r'audit of "picked": the log-likelihood of row 0', None),
        (wrong_prior, "audit of the prior: its log density is", None),
        (
            other_rows,
            r'audit of "(y|matrix|picked)": the log-likelihood of row 0 is .* in the full data',
            '"matrix" in row 0 at the initial point is',
        ),
        (
            no_gradient,
            r'audit of "(y|matrix|picked)": the gradients by beta\[0\] add up to 0, and',
            None,
        ),
    ],
)
def test_defects_are_seen(model, monkeypatch, defect, message, without):
    """Those of the rows without an audit, too: by one batch."""
    defect(monkeypatch)
    with pytest.raises(MinibatchError, match=message):
        SGLD(model=model, audit=True, **SETTINGS)
    with nullcontext() if without is None else pytest.raises(MinibatchError, match=without):
        SGLD(model=model, audit=False, **SETTINGS)


def test_what_overflows_until_it_is_rewritten():
    with pm.Model() as model:
        b = pm.Normal("b", 0, 1000, initval=1000.0)
        pm.Potential("bound", -pt.log1p(pt.exp(b)))
    assert Minibatcher(model, model.value_vars, model.initial_point()).density()


def test_by_default_where_it_is_cheap(model, monkeypatch):
    audited = []
    monkeypatch.setattr(minibatch_model, "audit_batches", lambda *arguments: audited.append(1))
    SGLD(model=model, **SETTINGS)
    assert audited == [1]
    x = np.random.default_rng(5).normal(size=300_000)
    with pm.Model():
        pm.Normal("y", pm.Normal("mean"), 1, observed=x)
        SGLD(**SETTINGS)
        assert audited == [1]
        SGLD(audit=True, **SETTINGS)
        assert audited == [1, 1]
        with pytest.raises(SettingError, match="audit='yes' must be True, False or None"):
            SGLD(audit="yes", **SETTINGS)


def test_what_is_no_number_is_no_number_that_is_expected():
    """But nothing is expected where PyMC has none: its gradients overflow more often than ours."""
    assert is_off(np.array([1.05, 1.2, np.nan, np.inf]), 1.0, 0.1).tolist() == [0, 1, 1, 1]
    assert not is_off(1.0, np.array([np.nan, -np.inf]), 0.1).any()
