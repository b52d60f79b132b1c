"""What costs more than it need: said before sampling, with the size and what to type."""

import re
import warnings

import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLD, SGLDWarning
from pymc_sgld.minibatch.checks import costs
from pymc_sgld.minibatch.model import Minibatcher
from tests.graphs import QUICK

_rng = np.random.default_rng(1)
TIMES = _rng.gamma(2, 3, 200_000)
COUNTS = _rng.binomial(20, 0.3, (30, 5_000))


def only_a_potential(summed=False):
    logp = pm.logp(pm.Gamma.dist(pm.HalfNormal("a"), 1.0), pm.Data("t", TIMES))
    pm.Potential("purchases", logp.sum() if summed else logp)


def rows_second(rows=30):
    p = pm.Beta("p", 1, 1, shape=(rows, 1))
    pm.Binomial("y", 20, p, observed=np.resize(COUNTS, (rows, 5_000)))


def many_in_a_row():
    pm.Normal("y", pm.Normal("m"), 1, observed=np.resize(TIMES, (300, 2_000)))


def one_large_group():
    index = np.concatenate([np.arange(400) % 40, np.full(120_000, 40)])
    effect = pm.Normal("effect", 0, pm.HalfNormal("spread"), shape=41)
    pm.Normal("y", effect[index], 1, observed=np.resize(TIMES, len(index)))


def messages(build, batch_size=None, **settings):
    with pm.Model() as model:
        build()
    rows = Minibatcher(model, model.value_vars, model.initial_point(), **settings)
    return costs.of_updates(rows, batch_size)


@pytest.mark.parametrize(
    ("build", "settings", "words"),
    [
        (
            only_a_potential,
            {},
            r'"purchases" reads all .* [\d,]+ entries .* MB\)\. Pass potentials',
        ),
        (lambda: only_a_potential(True), {}, r'"rows"}, after it is written with one entry per r'),
        (only_a_potential, {"potentials": {"purchases": "rows"}}, None),
        (only_a_potential, {"potentials": {"purchases": "prior"}}, None),
        (rows_second, {}, r'"y" is read in full .* its 30 rows are no more than .*full=\["y"\]\.'),
        (rows_second, {"full": ["y"]}, None),
        (rows_second, {"batch_size": 30}, None),
        (many_in_a_row, {}, r'128 of the 300 rows of "y", 256,000 entries \(2\.05 MB\)\. Rows are'),
        (many_in_a_row, {"batch_size": 128}, None),
        (one_large_group, {"marginalize": ["effect"]}, None),
    ],
)
def test_likelihoods_of_which_an_update_reads_very_much(build, settings, words):
    found = messages(build, **settings)
    if words is None:
        assert not found
    else:
        [sentence] = found
        assert re.search(words, sentence), sentence


def wide(x=_rng.normal(size=(1000, 900))):
    """Rows with many columns are nothing that could be turned."""
    pm.Normal("y", x @ pm.Normal("b", shape=900), 1, observed=x[:, 0])


def hierarchical():
    x, group = _rng.normal(size=3000), np.arange(3000) % 40
    pm.Potential("sum to zero", -(pm.Normal("a", shape=40).sum() ** 2))
    pm.Normal("y", pm.Normal("b", shape=40)[group] * x, 1, observed=x)


@pytest.mark.parametrize("build", [wide, hierarchical])
def test_what_is_usual_is_not_mentioned(build):
    assert not messages(build)


def per_row(rows):
    x = _rng.normal(size=(rows, 2))
    b, s = pm.Normal("b", shape=2), pm.HalfNormal("s")
    mean = pm.Deterministic("mu", pm.Data("x", x) @ b)
    pm.Deterministic("twice", 2 * b)
    pm.Normal("y", mean, s, observed=x[:, 0])


def test_deterministics_of_one_entry_a_row():
    """With the names that are left, for var_names."""
    with pm.Model() as model:
        per_row(20_000)
        with pytest.warns(SGLDWarning, match='"mu" has 20,000 .* 160 MB for 1,000') as caught:
            SGLD(batch_size=4, step_size=1e-6, steps_per_draw=1, **QUICK)
        assert caught[0].filename == __file__
        [names] = re.findall(r"var_names=(\[.*?\])", str(caught[0].message))
        assert set(re.findall('"(.*?)"', names)) == {"b", "s", "twice"}
    with pm.Model() as model, warnings.catch_warnings():
        warnings.simplefilter("error")
        per_row(2_000)
        assert not costs.of_draws(model, model.initial_point())
