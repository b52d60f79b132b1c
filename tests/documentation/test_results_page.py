"""The code on the page on results runs, and prints what the page shows."""

import re
from functools import partial
from pathlib import Path

import pymc as pm

import pymc_sgld
from tests.runs import RUN

PAGE = (Path(__file__).parents[2] / "docs" / "results.md").read_text()


def numbers(line):
    return [float(each) for each in re.findall(r"-?\d+\.\d+", line)]


def test_the_page(tmp_path, monkeypatch):
    """Here by short chains. Three standard errors of the mean of their draws are less than 3."""
    short = partial(pm.sample, **RUN | {"draws": 100, "tune": 2})
    quick = partial(pymc_sgld.SGLD, compile_kwargs={"mode": "FAST_COMPILE"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pm, "sample", short)
    monkeypatch.setattr(pymc_sgld, "SGLD", quick)
    printed = []
    names = {"print": lambda what: printed.append(str(what))}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, names)
    [shown] = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert shown.splitlines()[0].startswith("Computed from 1000 by 1000")
    ours, theirs = (
        next(numbers(line) for line in text.splitlines() if line.startswith("elpd_loo"))
        for text in (printed[0], shown)
    )
    assert abs(ours[0] - theirs[0]) < 3
    comparison, upper = names["comparison"], names["upper"]
    assert list(comparison.index) == ["five columns", "two columns"]
    assert upper.dims == ("y_dim_0",) and upper.size == 10_000
    assert names["by_school"]["score"].sizes["score_dim_0"] == 30
    assert 25 < names["of_rows"].p < 40
    assert names["found"].sizes["y_dim_0"] == 20_000
    assert {path.name for path in tmp_path.iterdir()} == {"predictions", "log_likelihood"}
