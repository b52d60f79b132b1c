"""The report: what is minibatched, by which data, at which cost; and what not, and why."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

from pymc_sgld import SGLD, MinibatchError, SettingError
from pymc_sgld.minibatch import report
from tests.graphs import QUICK, TEXTBOOK

pytestmark = pytest.mark.usefixtures("few_rows_make_classes")

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
    placed = {"full": "series", "potentials": {"penalty": "prior"}}
    found = report(model, batch_size=20, marginalize=False, **placed)
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
        found = report(batch_size=20, marginalize=False)
    for text in (repr(found), found._repr_html_()):
        for word in ("minibatched", "refused", "10 %", "X, group", "cannot minibatch"):
            assert word in text
    assert "<table" in found._repr_html_() and "&quot;series&quot;" in found._repr_html_()


def test_an_array_is_named_once():
    """Of which a likelihood in full has several forms."""
    with pm.Model() as model:
        pm.Binomial("y", 20, pm.Beta("p", 1, 1, shape=(5, 1)), observed=np.ones((5, 90), dtype=int))
    of_groups, note = report(model).notes
    assert 'p" is not integrated out' in of_groups
    assert note.count("y (") == 1 and " arrays of 450 entries)" in note


def test_bad_settings(model):
    with pytest.raises(SettingError, match="batch_size=201 is above the number of rows, 200"):
        report(model, batch_size=201)
    for wrong in (0, True, "50"):
        with pytest.raises(SettingError, match=f"batch_size={wrong!r} must be a whole number"):
            report(model, batch_size=wrong)
    with pytest.raises(SettingError, match="full has"):
        report(model, full="beta")


# --- groups ----------------------------------------------------------------------------------

GROUP = np.arange(ROWS) ** 2 % 17
GROUP[:20] = 17  # a large one
COUNTS = _rng.poisson(2, size=ROWS)


@pytest.fixture(scope="module")
def grouped():
    with pm.Model() as model:
        level = pm.Data("level", _rng.normal(size=20))
        slope = pm.Normal("slope")
        offset = pm.Normal("offset", slope * level, 1, shape=20)
        mean = offset[pm.Data("group", GROUP)] + slope * pm.Data("x", X[:, 0])
        pm.Normal("y", mean, 1, observed=y)
        pm.Poisson("count", pt.exp(mean), observed=COUNTS)
        pm.Normal("other", slope, 1, observed=y[:150])
        three = pm.Normal("three", slope, 1, shape=(20, 3))
        pm.Normal("z", (three[GROUP[::-1]] * X).sum(axis=1), 1, observed=X[:, 1])
    return model


def test_lines_of_groups(grouped):
    """Ten groups have no rows and ten have 10 to 22: two of each are in a batch."""
    found = report(grouped, batch_size=40)
    lines = found.table.set_index("variable").T.to_dict()
    assert lines["offset"] == {
        "rows": 20,
        "batch": 4,
        "treatment": "integrated out",
        "data": "level",
        "entries": 4,
        "full_entries": 20,
    }
    for name in ("y", "count"):
        assert set(lines[name].pop("data").split(", ")) == {name, "x"}
        assert lines[name] == {
            "rows": ROWS,
            "batch": 2 * 20,  # on average
            "treatment": "by groups",
            "entries": 2 * 2 * 1 + 2 * 2 * 22,  # padded to the largest group of a class
            "full_entries": 10 * 2 * 1 + 10 * 2 * 22,
        }
    assert lines["other"]["treatment"] == "minibatched" and lines["other"]["batch"] == 40


def test_sentences_on_groups(grouped):
    found = report(grouped, batch_size=40)
    assert found.notes[0] == "offset: 20 groups of 0 to 44 rows, integrated out by quadrature."
    assert '"three" is not integrated out: a group has 3 effects' in found.notes[1]
    for text in (repr(found), found._repr_html_()):
        assert "integrated out by quadrature" in text and "by groups" in text
    plain = report(grouped, batch_size=40, marginalize=False)
    assert plain.notes == [] and set(plain.table["treatment"]) == {"minibatched"}
    assert report(grouped, batch_size=40, marginalize="offset").notes[0] == found.notes[0]
    with pytest.raises(SettingError, match='marginalize: "three" cannot be integrated out: a gro'):
        report(grouped, marginalize="three")
    with pytest.raises(SettingError, match="marginalize=1 must be names"):
        report(grouped, marginalize=1)


@pytest.mark.long
def test_effects_that_are_normal_need_one_node():
    with pm.Model() as model:
        spread = pm.HalfNormal("spread")
        effect = pm.Normal("effect", 0, spread, shape=50)
        pm.Normal("y", effect[np.arange(ROWS) % 50], 1, observed=y + np.arange(ROWS) % 50 / 10)
    sentence = "effect: 50 groups of 4 rows, integrated out with 1 node (exact)"
    assert report(model).notes == [f"{sentence}."]
    step = SGLD(model=model, batch_size=8, compile_kwargs={"mode": "FAST_COMPILE"})
    assert f")\n{sentence}" in repr(step) and "batch_size=2 of 50 groups" in repr(step)
    without = SGLD(model=model, batch_size=8, step_size=1e-4, marginalize=False, **QUICK)
    assert "integrated out" not in repr(without) and "batch_size=8 of 200 rows" in repr(without)
