"""The code on the page on groups runs, and says what the page says."""

import logging
import re
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pymc as pm
import pytest

import pymc_sgld
from pymc_sgld import SGLDWarning
from tests.runs import RUN

PAGE = (Path(__file__).parents[2] / "docs" / "groups.md").read_text()

pytestmark = pytest.mark.long


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def page():
    """Run all code of the page, in short chains; return the names that it left, and its prints."""
    quick = partial(pymc_sgld.SGLD, batch_size=1500, compile_kwargs={"mode": "FAST_COMPILE"})
    short = partial(pm.sample, **RUN | {"draws": 40, "tune": 2})
    printed = []
    names = {"print": lambda what: printed.append(str(what))}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", SGLDWarning)  # chains are too short
        patch.setattr(pymc_sgld, "SGLD", quick)
        patch.setattr(pm, "sample", short)
        for block in blocks("python"):
            exec(block, names)
    return names, printed


def test_the_report_is_that_of_the_page(page):
    _, [printed] = page
    shown = blocks("text")[0]
    assert [line.split() for line in printed.splitlines()] == [
        line.split() for line in shown.splitlines()
    ]


def test_effects_of_the_page_are_those_of_the_model(page):
    """Of a school the data say about as much as in the table, and the run has the same numbers."""
    names, _ = page
    assert {"offset", "skill"} <= set(names["idata"].posterior)
    assert set(names["small"].posterior) == {"mean", "spread", "slope", "noise"}
    mean, sd, lower, upper = names["effects"]["skill"].values
    rows = [line.split() for line in blocks("text")[1].splitlines()[2:]]
    shown = {name: np.array(numbers, dtype=float) for name, *numbers in rows}
    for name, found in (("mean", mean), ("lower", lower), ("upper", upper)):
        assert (np.abs(found[:3] - shown[name]) < 5 * shown["sd"] / np.sqrt(80) * 2).all()
    assert (np.abs(sd[:3] / shown["sd"] - 1) < 5 / np.sqrt(2 * 80)).all()
    assert names["report"].coordinates.index[0] == "mean"


def test_a_result_without_effects_predicts_from_their_prior(page, caplog):
    """As the page warns: of two schools that differ much, the predictions then do not."""
    names, _ = page
    effects = names["effects"]["skill"].sel(statistic="mean").values
    best, worst = (names["school"] == int(k) for k in (effects.argmax(), effects.argmin()))
    apart = float(effects.max() - effects.min())

    def difference(predicted):
        scores = predicted.posterior_predictive["score"].values - 0.5 * names["hours"]
        return scores[..., best].mean() - scores[..., worst].mean()

    assert difference(names["predictions"]) == pytest.approx(apart, abs=0.2 * apart)
    with names["model"], caplog.at_level(logging.INFO, logger="pymc.sampling.forward"):
        without = pm.sample_posterior_predictive(names["small"], progressbar=False, random_seed=1)
    assert "Sampling: [offset, score]" in caplog.text
    assert abs(difference(without)) < 0.3 * apart
