"""The code on the page on checkpoints runs, and does what the page says."""

import re
from functools import partial
from pathlib import Path

import pymc as pm

import pymc_sgld
from tests.graphs import QUICK
from tests.runs import RUN

PAGE = (Path(__file__).parents[2] / "docs" / "checkpoint.md").read_text()


def test_the_page(tmp_path, monkeypatch):
    """Here with a hundredth of the draws."""
    sample = pm.sample

    def short(draws, random_seed, step):
        return sample(step=step, **RUN | {"draws": draws // 100, "random_seed": random_seed})

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pm, "sample", short)
    monkeypatch.setattr(pymc_sgld, "SGLD", partial(pymc_sgld.SGLD, step_size=1e-5, **QUICK))
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, names)
    first, longer = names["idata"].posterior, names["longer"].posterior
    assert longer.sizes["draw"] == 30
    assert longer.isel(draw=slice(10)).equals(first)
    assert {path.name for path in (tmp_path / "run" / "chain-0").iterdir()} >= {
        "draws.bin",
        "state.npz",
    }
