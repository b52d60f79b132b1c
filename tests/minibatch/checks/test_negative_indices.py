"""Indices that are negative, as pandas codes a category that is missing."""

import warnings

import numpy as np
import pandas as pd
import pymc as pm
import pytest

from pymc_sgld import SGLD, SGLDWarning
from pymc_sgld.minibatch.checks.negative_indices import negative_indices
from pymc_sgld.minibatch.model import Minibatcher
from tests.graphs import QUICK

Y = np.random.default_rng(1).normal(size=40)
LETTERS = np.array(list("abcd") * 10, dtype=object)
LETTERS[[7, 9]] = None
GROUP = pd.Categorical(LETTERS).codes.astype(int)


def found_in(build):
    with pm.Model() as model:
        build()
    rows = Minibatcher(model, model.value_vars, model.initial_point())
    return negative_indices(rows.terms, rows.fixed)


@pytest.mark.parametrize("name", [None, "group"])
def test_a_missing_category(name):
    def build():
        group = GROUP if name is None else pm.Data(name, GROUP)
        slope, effect = pm.Normal("slope", shape=4), pm.Normal("effect", shape=4)
        pm.Normal("y", effect[group] + slope[group] * Y, 1, observed=Y)

    [sentence] = found_in(build)
    source = "an index" if name is None else '"group"'
    assert sentence.startswith(f'{source} has 2 negative entries, the first in row 7 of "y": they')


@pytest.mark.parametrize(
    "build",
    [
        lambda: pm.Normal("y", pm.Normal("a", shape=4)[np.abs(GROUP)], 1, observed=Y),
        lambda: pm.Normal("y", pm.Normal("a", shape=4)[[0, -1]].sum(), 1, observed=Y),
        lambda: pm.Normal("y", np.arange(4.0)[GROUP] * pm.Normal("a"), 1, observed=Y),
    ],
    ids=["none", "of the model", "into data"],
)
def test_others_are_not_mentioned(build):
    assert not found_in(build)


def test_a_missing_category_of_a_source():
    """It is seen in the first pass over the rows."""
    group = np.arange(3000) % 4
    group[[2000, 2999]] = -1
    with pm.Model():
        effect = pm.Normal("effect", shape=4)
        pm.Normal("y", effect[pm.Data("group", group[:9])], 1, observed=Y[:9])
        with pytest.warns(SGLDWarning, match=r'a source has 2 .* the first in row 2000 of "y"'):
            SGLD(data={"group": group, "y": np.ones(3000)}, step_size=1e-6, **QUICK)


def test_it_is_a_warning():
    with pm.Model():
        effect = pm.Normal("effect", shape=4)
        pm.Normal("y", effect[GROUP], 1, observed=Y)
        with pytest.warns(SGLDWarning, match="2 negative entries") as caught:
            SGLD(batch_size=7, step_size=1e-3, **QUICK)
        assert caught[0].filename == __file__
    with pm.Model(), warnings.catch_warnings():
        warnings.simplefilter("error")
        pm.Normal("y", pm.Normal("effect", shape=4)[GROUP % 4], 1, observed=Y)
        SGLD(batch_size=7, step_size=1e-3, **QUICK)
