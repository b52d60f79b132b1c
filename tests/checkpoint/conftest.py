"""Commits after every draw, without waiting for a disk."""

import numpy as np
import pytest

from pymc_sgld.checkpoint import chain, files, run
from pymc_sgld.storage import files as storage


@pytest.fixture(autouse=True)
def commit_every_draw(monkeypatch):
    monkeypatch.setattr(run, "EVERY", 0.0)
    monkeypatch.setattr(chain, "SHARE", np.inf)
    monkeypatch.setattr(storage, "flush", lambda descriptor: None)  # what is killed is the process
    monkeypatch.setattr(files, "ORPHANS", 0.3)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"
