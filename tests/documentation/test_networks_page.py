"""The code on the page on networks runs."""

import re
from functools import partial
from pathlib import Path

import pymc as pm
import pytest

import pymc_sgld
from pymc_sgld import SGLDWarning
from tests.runs import RUN

PAGE = (Path(__file__).parents[2] / "docs" / "networks.md").read_text()


def test_the_page(monkeypatch):
    """Here with a few draws of a few updates."""
    sample, fast = pm.sample, {"steps_per_draw": 5, "compile_kwargs": {"mode": "FAST_COMPILE"}}
    monkeypatch.setattr(
        pm,
        "sample",
        lambda *_, step, var_names, **__: sample(step=step, var_names=var_names, **RUN),
    )
    monkeypatch.setattr(pymc_sgld, "NetworkSGHMC", partial(pymc_sgld.NetworkSGHMC, **fast))
    names = {}
    with pytest.warns(SGLDWarning, match="2 chains are too few to tell"):
        for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
            exec(block, names)
    assert names["found"]["y"].sel(statistic="upper").shape == (81,)
    assert "mean" not in names["idata"].posterior
