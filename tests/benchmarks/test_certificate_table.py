"""The tables of certificates: what is off by more than errors is wrong, whatever else is right."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.mark.parametrize(
    ("shift", "width", "draws", "verdict"),
    [
        (0.0, 1.0, np.inf, "right"),
        (0.015, 1.015, np.inf, "right"),
        (0.1, 1.0, np.inf, "WRONG"),
        (0.0, 0.9, np.inf, "WRONG"),
        (0.1, 0.9, 500, "right"),  # of the reference: errors of 0.045 and 0.032
        (0.1, 0.9, 2000, "WRONG"),
    ],
)
def test_a_certificate_is_compared_with_what_the_reference_has(shift, width, draws, verdict):
    from certificate import compared

    labels = ["scale[0]", "x[0]", "x[1]", "x[2]"]
    exact = {"mean": [0.0, 1, 2 + 3 * shift, 3], "sd": [1.0, 2, 3 * width, 4]}
    table = pd.DataFrame(
        exact | {"mean_error": 0.0, "sd_error": 0.0, "kurtosis": 3.0},
        index=["other", "x[0]", "x[1]", "x[2]"],
    )
    known = {"mean": [9.0, 1, 2, 3], "sd": [9.0, 2, 3, 4]}
    reference = pd.DataFrame(known | {"draws": draws, "squares": draws}, index=labels)
    line = compared(table, reference)
    assert line["verdict"] == verdict
    assert line["mean"] == f"{shift:.3f}"


def test_a_kind_of_runs_is_certified_alone():
    import certificate_of_runs as runs

    [line] = runs.lines(5, [runs.WIDE], progressbar=False)
    assert line["runs"] == "sd + 25 %" and line["differ"] == "1 of 1"
    assert line["sd_ratio"] == "1.2500" and line["mean_shift"] == "0.0000"
    assert float(line["sd_ratio told"].split(" ± ")[0]) == pytest.approx(1.25, abs=0.04)
