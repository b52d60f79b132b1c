"""What is shown outside of sampling."""

import io

import pytest
from rich.console import Console

from pymc_sgld.progress import progress


@pytest.mark.parametrize("somebody", [True, False])
def test_shown_only_where_somebody_looks(monkeypatch, somebody):
    console = Console(file=io.StringIO(), force_terminal=somebody, force_jupyter=False, width=80)
    monkeypatch.setattr("pymc_sgld.progress.Console", lambda **_: console)
    with progress("counting", 3, name="SGHMC") as update:
        update()
        with progress("a part of it", 2):
            update("pass 2 over the data")
    written = console.file.getvalue()
    assert ("SGHMC: pass 2 over the data" in written) is somebody


def test_a_notebook_without_widgets_is_left_alone(monkeypatch):
    """Rich would warn at every stage of the set-up; warnings are errors here."""
    console = Console(file=io.StringIO(), force_terminal=False, force_jupyter=True, width=80)
    monkeypatch.setattr("pymc_sgld.progress.Console", lambda **_: console)
    monkeypatch.setattr("pymc_sgld.progress.find_spec", lambda name: None)
    with progress("counting", 3) as update:
        update()
