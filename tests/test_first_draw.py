"""The benchmark of the first draw: runs that are cut or fail must not read as results."""

import math
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)


def process(code, folder, monkeypatch):
    """Return what a module with this code says in a process of its own."""
    from speed.processes import result_of

    (folder / "said.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return result_of("said")


def test_a_process_that_its_alarm_ends_has_said_what_it_knows(tmp_path, monkeypatch):
    alarm = "signal.setitimer(signal.ITIMER_REAL, 0.05)"
    code = f'import signal, time\nprint("[1]", flush=True)\n{alarm}\ntime.sleep(60)\nprint("[2]")'
    assert process(code, tmp_path, monkeypatch) == [1]


def test_a_process_that_fails_has_no_result(tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match="no such model"):
        process('print("[1]")\nraise SystemExit("no such model")', tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("sgld", "nuts", "expected"),
    [
        (30.0, 60.0, ("", 0.5)),
        (30.0, math.inf, ("<", 0.1)),
        (math.inf, 30.0, (">", 10.0)),
        (400.0, math.inf, ("<", 400 / 300)),  # seconds of several threads
    ],
)
def test_the_ratio_to_a_run_that_was_cut_is_a_bound(sgld, nuts, expected):
    from speed.first_draw_tables import ratio

    assert ratio(sgld, nuts, 300) == expected


@pytest.mark.parametrize(("sgld", "nuts"), [(math.inf, math.inf), (math.nan, 1.0), (1.0, math.nan)])
def test_there_is_no_ratio_where_nothing_is_known(sgld, nuts):
    from speed.first_draw_tables import ratio

    assert math.isnan(ratio(sgld, nuts, 300)[1])


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
    assert [*kept] == ["< 0.0267", "", "> 37.5", "18.8"]
