"""The benchmark of the first draw: runs that are cut or fail must not read as results."""

import math
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)


def process(code, folder, monkeypatch):
    """Return what a module with this code says in a process of its own."""
    from speed.processes import result_of

    (folder / "said.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return result_of("said")


TIMED = """
import signal
print("[1]", flush=True)
signal.setitimer(signal.ITIMER_{}, 0.05)
for _ in range(10**10):
    pass
print("[2]")
"""


def test_a_process_that_reaches_its_limit_has_said_what_it_knows(tmp_path, monkeypatch):
    assert process(TIMED.format("PROF"), tmp_path, monkeypatch) == [1]


def test_a_process_that_is_stuck_has_no_result(tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match="code -14"):
        process(TIMED.format("REAL"), tmp_path, monkeypatch)


def test_a_process_that_fails_has_no_result(tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match="no such model"):
        process('print("[1]")\nraise SystemExit("no such model")', tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("sgld", "nuts", "expected"),
    [
        (30.0, 60.0, (0.5, 0.5)),
        (30.0, math.inf, (0, 0.1)),
        (math.inf, 30.0, (10.0, math.inf)),
    ],
)
def test_the_ratio_to_a_run_that_was_cut_is_a_bound(sgld, nuts, expected):
    from speed.first_draw_tables import ratio

    assert ratio(sgld, nuts, 300) == expected


@pytest.mark.parametrize(
    ("sgld", "nuts"), [(math.inf, math.inf), (math.nan, math.inf), (1.0, math.nan)]
)
def test_there_is_no_ratio_where_nothing_is_known(sgld, nuts):
    from speed.first_draw_tables import ratio

    assert all(map(math.isnan, ratio(sgld, nuts, 300)))


def test_tables_say_what_was_cut_and_what_failed():
    import pandas as pd
    from speed.first_draw_tables import COLUMNS, FIRST, KEPT, line, of_all, of_model

    def lines(**runs):
        labels = {"sgld": "SGLD", "nuts": "PyMC's NUTS"}
        return {"warm": pd.DataFrame({labels[name]: run for name, run in runs.items()}).T}

    whole, cut = line({FIRST: [2.0, 3.0], KEPT: [8.0, 9.0]}), line({FIRST: [4.0, 5.0]})
    failed = pd.Series(math.nan, COLUMNS)
    table = of_model(lines(sgld=whole, nuts=cut), 300)
    assert [*table.loc["PyMC's NUTS, warm caches"]] == ["4", "5", "> 300", "> 300"]
    assert [*table.loc["SGLD / PyMC's NUTS, warm caches"]] == ["0.5", "0.6", "< 0.0267", "< 0.03"]
    assert {*of_model(lines(sgld=failed), 300).loc["SGLD, warm caches"]} == {"failed"}

    models = {
        "one": lines(sgld=whole, nuts=cut),
        "two": lines(sgld=failed, nuts=cut),
        "three": lines(sgld=cut, nuts=whole),
    }
    first, kept = of_all(models, 300).to_numpy().T
    assert [*first] == ["0.5", "", "2", "1.25"]
    assert [*kept] == ["< 0.0267", "", "> 37.5", "> 18.8"]
    models["four"] = lines(sgld=whole, nuts=whole)
    assert of_all(models, 300).loc["median"].to_list() == ["1", "1"]
    models["five"] = models["one"]
    assert of_all(models, 300).loc["median"].to_list() == ["0.75", "0.5 to 0.513"]


def test_a_sampler_that_fails_leaves_what_it_said_and_the_others_go_on(monkeypatch, capsys):
    import first_draw

    def runs(module, *arguments):
        yield {"first draw": [1.0, 2.0], "first kept draw": [3.0, 4.0]}
        raise RuntimeError("no draw")

    monkeypatch.setattr(first_draw, "empty_then_warm", runs)
    found = first_draw.measure("a9a", "sgld", 300, first_draw.CACHES)
    assert [*found["empty"]] == [1, 2, 3, 4] and found["warm"].isna().all()
    assert "a9a, sgld: no draw" in capsys.readouterr().err
    assert [*first_draw.measure("a9a", "sgld", 300, ["empty"])] == ["empty"]
    assert "no draw" not in capsys.readouterr().err  # the second run is not made
