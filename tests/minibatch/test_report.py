"""The report: what is minibatched, by which data, at which cost; and what not, and why."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

from pymc_sgld import SGLD, MinibatchError, SettingError
from pymc_sgld.minibatch import report
from tests.graphs import TEXTBOOK

ROWS = 200
_rng = np.random.default_rng(2)
X = _rng.normal(size=(ROWS, 3))
y = _rng.normal(size=ROWS)


@pytest.fixture(scope="module")
def model():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=3)
        effect = pm.Normal("effect", pm.Data("level", _rng.normal(size=100)), 1, shape=100)
        mean = pm.Data("X", X) @ beta + effect[pm.Data("group", np.arange(ROWS) % 100)]
        pm.Normal("y", mean, 1, observed=y)
        pm.Poisson("few", pt.exp(beta[0]), observed=np.ones(9, dtype=int))
        pm.AR("series", pm.Normal("rho"), 1, init_dist=pm.Normal.dist(), observed=y[:150])
        pm.Potential("penalty", -pt.abs(beta))
    return model


def test_table(model):
    found = report(model, batch_size=20, full="series", potentials={"penalty": "prior"})
    lines = found.table.set_index("variable").T.to_dict()
    assert not found.refusals
    assert lines["y"] == {
        "rows": 200,
        "batch": 20,
        "treatment": "minibatched",
        "data": "y, X, group",
        "entries": 20 * (1 + 3 + 1),
        "full_entries": 200 * (1 + 3 + 1),
    }
    assert (lines["few"]["treatment"], lines["few"]["batch"]) == ("in full", 9)
    assert lines["series"]["treatment"] == "in full"
    assert lines["series"]["entries"] == lines["series"]["full_entries"] > 150
    assert (lines["penalty"]["treatment"], lines["penalty"]["entries"]) == ("prior", 0)
    assert (lines["effect"]["treatment"], lines["effect"]["data"]) == ("prior", "level")
    assert "beta" not in lines
    assert '"effect" reads in full at every update: level (100 entries).' in found.notes


def test_refusals_are_lines_of_the_report(model):
    found = report(model, batch_size=20)
    assert list(found.refusals) == ["penalty", "series"]
    assert set(found.table.variable[found.table.treatment == "refused"]) == set(found.refusals)
    with pytest.raises(MinibatchError) as error:
        SGLD(model=model, batch_size=20, step_size=1e-4, **TEXTBOOK)
    assert str(error.value).startswith(found.refusals["penalty"])
    assert "1 more of its terms cannot be minibatched" in str(error.value)
    with model, pytest.raises(MinibatchError) as error:
        SGLD(batch_size=20, **TEXTBOOK, step_size=1e-4, potentials={"penalty": "prior"})
    assert str(error.value) == found.refusals["series"]


def test_text_and_html(model):
    with model:
        found = report(batch_size=20)
    for text in (repr(found), found._repr_html_()):
        for word in ("minibatched", "refused", "10 %", "X, group", "cannot minibatch"):
            assert word in text
    assert "<table" in found._repr_html_() and "&quot;series&quot;" in found._repr_html_()


def test_an_array_is_named_once():
    """Of which a likelihood in full has several forms."""
    with pm.Model() as model:
        pm.Binomial("y", 20, pm.Beta("p", 1, 1, shape=(5, 1)), observed=np.ones((5, 90), dtype=int))
    [note] = report(model).notes
    assert note.count("y (") == 1 and " arrays of 450 entries)" in note


def test_bad_settings(model):
    with pytest.raises(SettingError, match="batch_size=201 is above the number of rows, 200"):
        report(model, batch_size=201)
    with pytest.raises(SettingError, match="full has"):
        report(model, full="beta")
