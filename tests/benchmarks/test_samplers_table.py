"""The table of the samplers: only draws that count are timed, and what is missing is a dash."""

from pathlib import Path
from types import SimpleNamespace

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_seconds_are_those_of_the_draws_that_count(monkeypatch):
    """Of two chains one after the other: not of their tuning, nor of what is in between."""
    import samplers

    times = iter([1.0, 3.0, 10.0, 20.0, 103.0, 107.0])
    monkeypatch.setattr(samplers.time, "process_time", lambda: next(times))
    clock = samplers.Clock()
    for tuning in (True, True, False, False, True, False):
        clock(None, SimpleNamespace(tuning=tuning))
    assert clock.seconds == 7 + 10 + 4


def test_what_is_missing_is_a_dash():
    import samplers

    found = samplers.cells({"posterior": "few_rows", "sampler": "SGNHT", "ess / s": 1234.5})
    assert found == ["few_rows", "SGNHT", "–", "1,230"] + ["–"] * 6
    known = {build.__name__ for build in samplers.posteriors.ALL}
    assert set(samplers.POSTERIORS) <= known
    kinds = {sampler.name for sampler in samplers.SAMPLERS}
    for key in [*samplers.FEWER, *samplers.TUNE]:
        name, *kind = [key] if isinstance(key, str) else key
        assert name in known and set(kind) <= kinds
