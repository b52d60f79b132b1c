"""The code on the page on results runs, and prints what the page shows."""

import re
from pathlib import Path

import arviz as az
import numpy as np
import pymc as pm

import pymc_sgld

PAGE = (Path(__file__).parents[2] / "docs" / "results.md").read_text()
CENTERS = {"beta": [0.3, -0.2, 0.1, 0, 0], "mean": 0.1, "spread": 1.0}


def draws_of(step, var_names=None):
    """Return draws near the posterior: how to have them is on other pages."""
    model, rng = pm.modelcontext(None), np.random.default_rng(1)
    names = var_names or [rv.name for rv in model.free_RVs]
    drawn = {}
    for name in names:
        shape = tuple(model[name].shape.eval())
        sd = 0.007 if name == "beta" else 0.15
        center = np.array(CENTERS[name])[..., : shape[0]] if shape else CENTERS[name]
        drawn[name] = center + sd * rng.normal(size=(2, 1000, *shape))
    return az.from_dict({"posterior": drawn})


def elpd(printed):
    [line] = [line for line in printed.splitlines() if line.startswith("elpd_loo")]
    return float(line.split()[1])


def test_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pm, "sample", draws_of)
    monkeypatch.setattr(pymc_sgld, "SGLD", lambda data=None: None)
    printed = []
    names = {"print": lambda what: printed.append(str(what))}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, names)
    [shown] = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert shown.splitlines()[1:4] == printed[0].splitlines()[1:4]
    assert abs(elpd(printed[0]) - elpd(shown)) < 10  # less by the distance of these draws
    comparison, upper = names["comparison"], names["upper"]
    assert list(comparison.index) == ["five columns", "two columns"]
    assert comparison["weight"].tolist() == [0.5, 0.5]
    assert upper.dims == ("y_dim_0",) and upper.size == 10_000
    assert names["by_school"]["score"].sizes["score_dim_0"] == 30
    assert 25 < names["of_rows"].p < 40
    assert names["found"].sizes["y_dim_0"] == 20_000
    assert {path.name for path in tmp_path.iterdir()} == {"predictions", "log_likelihood"}
