"""The grid of hierarchical models: twins are one posterior, and no failure reads as a result."""

import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = ["normal_2x20_centered", "normal_10x50_centered", "normal_10x50_noncentered"]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)


def test_every_cell_has_a_reference_whose_chains_agree():
    from hierarchical import FILE, MIXED
    from known_posteriors import grid
    from known_posteriors.posterior import read

    references = read(FILE.stem)
    assert [*references] == [*grid.GRID]
    for found in references.values():
        assert found["r_hat"] <= MIXED and min(found["sd"]) > 0


@pytest.mark.long
@pytest.mark.parametrize("twin", ["centered", "noncentered"])
def test_a_reference_is_that_of_the_data_and_the_numbers_of_both_twins(twin, monkeypatch):
    from known_posteriors import grid

    known = grid.posterior(f"correlated_50x20_{twin}")
    assert ("offset" in known.model.named_vars) == (twin == "noncentered")
    assert known.labels[3:6] == ["covariance_stds[1]", "correlation", "group[0]"]
    assert len(known.labels) == len(known.mean) == len(known.sd) == len(known.mcse)
    monkeypatch.setitem(grid.GRID, "correlated_50x20", grid.GRID["normal_2x20"])
    with pytest.raises(ValueError, match=r"hierarchical\.py --references"):
        grid.posterior(f"correlated_50x20_{twin}")


@pytest.mark.parametrize(
    ("shift", "width", "mcse", "said", "verdict"),
    [
        (0.0, 1.0, 0.0, [], "agrees"),
        (0.3, 1.0, 0.0, [], "SILENTLY WRONG"),
        (0.0, 1.3, 0.0, [], "SILENTLY WRONG"),
        (0.3, 1.0, 0.0, ["noise"], "warned"),
        (0.3, 1.0, 0.2, [], "agrees"),  # the reference may be as far off
    ],
)
def test_one_entry_that_is_off_is_named(shift, width, mcse, said, verdict):
    import pymc as pm
    from accuracy import judge
    from known_posteriors.posterior import Posterior

    with pm.Model() as model:
        pm.Normal("x", 0, 2, shape=3)
    known = Posterior(model, ["x"], np.zeros(3), np.full(3, 2.0), 2 * mcse)
    draws = np.random.default_rng(1).normal(size=(4, 2_000, 3))
    draws = 2 * (draws - draws.mean((0, 1))) / draws.std((0, 1))
    draws[..., 1] = draws[..., 1] * width + 2 * shift
    line = judge(draws, known, said)
    assert line["verdict"] == verdict
    assert verdict == "agrees" or line["worst"] == f"x[1] ({shift:.2f}, {width:.3f})"


def test_a_process_without_a_result_says_how_it_ended_and_keeps_its_line():
    from hierarchical import COLUMNS, in_a_process, table

    def line(code, limit=60):
        return in_a_process([sys.executable, "-c", code], limit)

    figures = ["agrees", 0.061, "0.9-1.1", "mean", 20.2, 3.1, []]
    said = f"import json; print('NUTS'); print(json.dumps(dict(zip({COLUMNS}, {figures}))))"
    lines = {
        SMALL[0]: line(said),
        SMALL[1]: line("import time; print('{}', flush=True); time.sleep(60)", limit=1),
        SMALL[2]: line("raise SystemExit('no such op')"),
    }
    assert lines[SMALL[1]]["warnings"] == ["ended after 1 s"]
    assert lines[SMALL[2]]["warnings"] == ["no such op"]
    text = table(lines)
    assert "| agrees | 0.06 | 0.9-1.1 | mean | 20 | 3 | 0 |" in text
    assert "| no result |  |  |  |  |  | 1 |" in text
    assert text.endswith("3 cells: 1 agrees, 1 no result, 1 error.")


@pytest.mark.long
@pytest.mark.parametrize("cell", SMALL)
def test_a_small_cell_is_not_silently_wrong(cell):
    """Centered, where the posterior has a funnel, and twins: what is wrong must say so."""
    from hierarchical import in_a_process

    command = [sys.executable, str(BENCHMARKS / "hierarchical.py"), cell, "--here"]
    line = in_a_process(command, 600)
    assert line["verdict"] in {"agrees", "warned"}, line
