"""The code on the page on reuse runs, and nothing is searched twice."""

import re
from functools import partial
from pathlib import Path

import pymc as pm

import pymc_sgld
from tests.runs import RUN

PAGE = (Path(__file__).parents[2] / "docs" / "reuse.md").read_text()


def test_the_page(tmp_path, monkeypatch):
    """Here with a few draws, and without noise of gradients, whose measurement takes seconds."""
    sample, fast = pm.sample, {"full": "y", "compile_kwargs": {"mode": "FAST_COMPILE"}}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pm, "sample", lambda step: sample(step=step, **RUN))
    monkeypatch.setattr(pymc_sgld, "SGLD", partial(pymc_sgld.SGLD, **fast))
    names = {}
    first, *others = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(first, names)
    monkeypatch.setattr("pymc_sgld.tuning.locate.approximate", None)
    for block in others:
        exec(block, names)
    assert names["again"].sample_stats["total_size"][0, 0] == 10_100
    assert names["step"].total_size == 5_000
