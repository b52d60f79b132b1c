"""The examples run, from data to picture."""

import importlib.util
from pathlib import Path

import matplotlib
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(request):
    """Import an example's script as a module."""
    spec = importlib.util.spec_from_file_location(request.param, EXAMPLES / f"{request.param}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("example", ["radon"], indirect=True)
def test_radon(example, tmp_path, monkeypatch, capsys):
    """Short chains: what is checked is that it runs and that the report says what it should."""
    matplotlib.use("agg")
    output = tmp_path / "radon.png"
    comparison = example.main(
        draws=100, tune=100, chains=2, cores=1, progressbar=False, quiet=True, output=output
    )
    printed = capsys.readouterr().out
    assert "12289 measurements in 385 counties" in printed
    assert printed.count("r_hat") == 4 and printed.count("ess_bulk") == 4  # two summaries, compare
    assert comparison.attrs["verdict"] in printed
    assert len(comparison) == 389
    assert comparison["sd_ratio"].between(0.5, 2).all()
    assert output.stat().st_size > 10_000


@pytest.mark.parametrize("example", ["decreasing_steps"], indirect=True)
def test_decreasing_steps(example, capsys):
    """Each standard deviation is what the recursion of the variance expects, within its error."""
    table = example.main(
        draws=400, tune=100, chains=2, cores=1, quiet=True, compute_convergence_checks=False
    )
    assert "all alike" in capsys.readouterr().out
    assert ((table["sd ratio"] - table["expected"]).abs() < 5 * table["error"]).all()
    assert (table["error"] < 0.1).all() and (table["ESS"] > 100).all()


@pytest.mark.long
@pytest.mark.parametrize("example", ["blind_spot"], indirect=True)
def test_blind_spot(example, capsys):
    """Short chains, without NUTS: the report says which of the two runs is too wide."""
    report, default = example.main(
        textbook={"steps_per_draw": 20},
        compile_kwargs={"mode": "FAST_COMPILE"},
        nuts=False,
        draws=80,
        tune=20,
        chains=2,
    )
    printed = capsys.readouterr().out
    assert str(report) in printed and str(default) in printed
    assert not report.trusted and "the sd is" in report.verdict
    for name in ("intercept", "uranium"):
        row, exact = report.table.loc[name], default.table.loc[name]
        assert row["sd_ratio"] - 3 * row["sd_ratio_error"] > 1.1
        assert abs(exact["sd_ratio"] - 1) < 5 * exact["sd_ratio_error"]


@pytest.mark.long
@pytest.mark.parametrize("example", ["thermostat"], indirect=True)
def test_thermostat(example, capsys):
    """Short chains: each standard deviation is what theory says to first order."""
    table = example.main(
        draws=400,
        tune=20,
        chains=2,
        cores=1,
        quiet=True,
        progressbar=False,
        compute_convergence_checks=False,
    )
    assert "first order" in capsys.readouterr().out
    off = (table["sd ratio"] - table["first order"]).abs()
    assert (off < 5 * table["error"] + 0.03).all() and (table["error"] < 0.1).all()


@pytest.mark.long
@pytest.mark.parametrize("example", ["many_modes"], indirect=True)
def test_many_modes(example, tmp_path, monkeypatch, capsys):
    """A tenth of the updates: cycles find more modes than a small constant step does."""
    matplotlib.use("agg")
    monkeypatch.setattr(example, "UPDATES", 5000)
    output = tmp_path / "modes.png"
    table = example.main(output, cores=1, quiet=True, progressbar=False)
    assert str(output) in capsys.readouterr().out and output.stat().st_size > 10_000
    assert table.loc["constant", "modes"] <= example.CHAINS  # each stays in one
    assert table.loc["cyclical", "modes"] > table.loc["constant", "modes"]
    assert (table["share near a mode"] > 0.5).all()


@pytest.mark.long
@pytest.mark.parametrize("example", ["group_effects"], indirect=True)
def test_group_effects(example, tmp_path, capsys):
    """Short chains: counties that a run did not record are as NUTS has them."""
    matplotlib.use("agg")
    output = tmp_path / "group_effects.png"
    comparison = example.main(
        output, draws=100, tune=100, chains=2, cores=1, progressbar=False, quiet=True
    )
    printed = capsys.readouterr().out
    sentence = "offset: 385 groups of 1 to 719 rows, integrated out with 1 node (exact)"
    assert printed.count(sentence) == 2  # the report, and the step
    assert comparison.attrs["verdict"] in printed and len(comparison) == 389
    assert comparison["sd_ratio"].between(0.5, 2).all()
    assert output.stat().st_size > 10_000


@pytest.mark.long
@pytest.mark.parametrize("example", ["replica_exchange"], indirect=True)
def test_replica_exchange(example, capsys):
    """Short chains: one stays in its mode, and the share of the other is its mass."""
    table = example.main(draws=1500, compile_kwargs={"mode": "NUMBA"})
    assert "crossings" in capsys.readouterr().out
    alone, exchange = table.loc["SGLD"], table.loc["replica exchange"]
    assert not alone["crossings"] and exchange["crossings"] > 50
    assert abs(exchange["left"] - exchange["exact"]) < 5 * exchange["error"] < 0.25
