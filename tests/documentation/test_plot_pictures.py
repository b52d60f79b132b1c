"""The pictures of the page on plots: each is drawn, stored, shown and small."""

import importlib.util
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import arviz as az
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from pymc_sgld import TrustReport, schedules
from pymc_sgld.tolerance import Verdict

DOCS = Path(__file__).parents[2] / "docs"
FOLDER = DOCS / "figures" / "plots"
NAMES = ["intercept", "slope"]
MODULES = ["blind_spot", "glance", "look", "runs"]


@pytest.fixture(scope="module")
def script():
    """Import the script as Python finds it when it is run, and forget it afterwards."""
    before, parameters, backend = sys.path.copy(), matplotlib.rcParams.copy(), plt.get_backend()
    plt.switch_backend("Agg")
    sys.path.insert(0, str(FOLDER))
    spec = importlib.util.spec_from_file_location("plots_main", FOLDER / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = before
    dict.update(matplotlib.rcParams, parameters)
    plt.switch_backend(backend)
    for name in MODULES:
        sys.modules.pop(name, None)


def run(schedule, seed, sd=1.0):
    rng = np.random.default_rng(seed)
    updates = np.tile(np.arange(20, 4001, 20), (2, 1))
    step_size = schedule(updates)
    stats = {"step_size": step_size, "sampling_threshold": 20 * step_size, "updates": updates}
    draws = {name: sd * rng.normal(size=(2, 200)) for name in NAMES}
    return az.from_dict({"posterior": draws, "sample_stats": stats})


def report(ratio):
    coordinates = pd.DataFrame(
        {
            "parameter": NAMES,
            "r_hat": 1.0,
            "mean_shift": 0.0,
            "mean_shift_error": 0.02,
            "sd_ratio": ratio,
            "sd_ratio_error": 0.02,
        },
        index=NAMES,
    )
    return TrustReport(coordinates, coordinates, pd.Series(), Verdict("V."))


@pytest.fixture(scope="module")
def runs(script):
    """Runs of known standard deviations, instead of those that take a minute."""
    fixed, reports = schedules.constant(0.1), (report(2.0), report(1.0))
    of_sgld = run(fixed, 1, sd=2.0), run(fixed, 2)
    return script.Runs(*of_sgld, run(fixed, 3), *reports)


def test_all_pictures_are_drawn_as_files_that_are_stored_and_shown(script, runs, tmp_path):
    script.draw(runs, tmp_path)
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == {"glance.svg", *script.PICTURES}
    assert drawn == {path.name for path in FOLDER.iterdir() if path.suffix in (".svg", ".png")}
    page = (DOCS / "plots.md").read_text()
    assert set(re.findall(r"!\[[^\]]{30,}\]\(figures/plots/([\w.]+)\)", page)) == drawn
    assert "](docs/figures/plots/glance.svg)" in (DOCS.parent / "README.md").read_text()
    for path in [*tmp_path.iterdir(), *(FOLDER / name for name in drawn)]:
        assert 5_000 < path.stat().st_size < 150_000
        if path.suffix == ".svg":
            assert ElementTree.parse(path).getroot().tag.endswith("svg")


def test_the_picture_of_the_readme_shows_what_was_measured(script, runs):
    """Points are standard deviations; the sd beside NUTS is 2, within 5 errors."""
    left, right = script.glance.draw(runs).axes
    wide, narrow = (line.get_xdata() for line in left.get_lines()[1:])
    assert np.ptp(wide) > 1.5 * np.ptp(narrow)
    names, _ = (legend.get_texts() for legend in (left.get_legend(), right.get_legend()))
    assert [name.get_text().split(":")[0] for name in names] == ["NUTS", "textbook SGLD", "SGLD()"]
    bars = {bar.get_label(): bar.lines[0].get_xdata() for bar in right.containers}
    np.testing.assert_allclose(bars["textbook SGLD, by diagnose (± 2 se)"], 2.0)
    np.testing.assert_allclose(bars["SGLD(), by diagnose (± 2 se)"], 1.0)
    beside = {line.get_label(): line.get_xdata() for line in right.get_lines()}
    error = 2 * np.sqrt(2 / (2 * 400))  # of a ratio of two standard deviations of 400 draws each
    assert (abs(beside["textbook SGLD, beside NUTS"] - 2) < 5 * error).all()
    assert (abs(beside["SGLD(), beside NUTS"] - 2) > 5 * error).all()


def test_the_same_picture_is_the_same_file(script, runs, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for picture in ("bias.svg", "rank.png"):
            figure = script.PICTURES[picture](runs).get_viz("figure")
            script.save(figure, tmp_path / name / picture)
    for picture in ("bias.svg", "rank.png"):
        one, other = (tmp_path / name / picture for name in ("a", "b"))
        assert one.read_bytes() == other.read_bytes()


def test_the_page_repeats_what_the_script_prints(script, runs, capsys):
    """The same lines, with other numbers: those of these runs."""
    script.say(runs)
    lines = capsys.readouterr().out.splitlines()
    page = (DOCS / "plots.md").read_text()
    assert lines[1] in page  # the columns
    shown = re.search(r"```text\n(.*?)```", page, re.DOTALL)[1]
    for name in ("textbook", "default"):
        assert f"{name}: " in shown and any(line.startswith(f"{name}: ") for line in lines)
