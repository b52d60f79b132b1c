"""Simulation-based calibration: ranks that are uniform pass, others do not, and SGLD's are."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MODELS = ["logistic", "negative_binomial", "student_t", "zero_inflated", "groups"]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.parametrize(("width", "passes"), [(1, True), (0.5, False), (2, False)])
def test_draws_that_are_too_narrow_or_too_wide_are_seen(monkeypatch, width, passes):
    """Of the mean of a normal distribution, whose posterior is N(y / 2, 1 / 2)."""
    import calibration

    monkeypatch.setattr(calibration, "SIMULATIONS", 2000)
    rng = np.random.default_rng(1)
    found = []
    for truth in rng.normal(size=500):
        center = (truth + rng.normal()) / 2
        draws = center + width * np.sqrt(0.5) * rng.normal(size=(calibration.RANKED, 1))
        found.append(calibration.places({"mean": draws}, {"mean": truth}, rng)["mean"])
    assert calibration.distribution(np.array(found), 0.999).is_inside == passes


def test_the_entries_of_an_array_are_ranked_by_themselves():
    import calibration

    draws = np.arange(99)[:, None] + np.zeros(6)
    truth = np.array([-1, 9.5, 49.5, 98.5, 0, 0])
    found = calibration.places({"b": draws}, {"b": truth}, np.random.default_rng(1))
    assert list(found) == [f"b[{k}]" for k in range(calibration.ENTRIES)]
    assert [int(100 * place) for place in found.values()] == [0, 10, 50, 99]


def test_a_fit():
    import calibration

    settings = argparse.Namespace(fits=3, seed=1, textbook=False)
    found = calibration.fit("groups", slice(1, 2), settings)
    assert not found.errors and len(found.places) == len(found.seconds) == 1
    assert calibration.LIKELIHOOD in found.places[0]
    assert all(0 < place < 1 for place in found.places[0].values())
    assert (found + found).seconds == 2 * found.seconds


@pytest.mark.long
@pytest.mark.parametrize("name", MODELS)
def test_of_data_from_the_prior_all_ranks_are_uniform(name):
    """1,000 fits each, by default settings; all of them without one band that is left, in 95 %."""
    import calibration

    found = calibration.fit(
        name, slice(None), argparse.Namespace(fits=1000, seed=2, textbook=False)
    )
    table = pd.DataFrame(found.places)
    level = 1 - (1 - calibration.LEVEL) / (len(MODELS) * table.shape[1])
    outside = [n for n in table if not calibration.distribution(table[n], level).is_inside]
    assert not found.errors and not outside
