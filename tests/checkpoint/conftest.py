"""Commits after every draw, without waiting for a disk."""

import numpy as np
import pytest

from pymc_sgld.checkpoint import files, recorder


@pytest.fixture(autouse=True)
def commit_every_draw(monkeypatch):
    monkeypatch.setattr(recorder, "EVERY", 0.0)
    monkeypatch.setattr(recorder, "_SHARE", np.inf)
    monkeypatch.setattr(files, "_flush", lambda descriptor: None)  # what is killed is the process
    monkeypatch.setattr(files, "ORPHANS", 0.3)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"
