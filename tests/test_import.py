"""What `import pymc_sgld` brings along, and that all of it is there when it is asked for."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import pymc_sgld

FRESH = """
import json, sys
import pymc
before = set(sys.modules)
import pymc_sgld
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_nothing_is_imported_beyond_pymc():
    """Else a fresh process waits for SciPy, Numba and ArviZ longer than for PyMC itself."""
    run = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True)
    added = json.loads(run.stdout)
    assert "pymc_sgld.step" in added and "pymc_sgld.diagnostics" not in added
    own = {"pymc_sgld", *sys.stdlib_module_names}
    others = [name for name in added if name.split(".")[0] not in own]
    assert [name for name in others if not name.startswith("pytensor.xtensor")] == []


def test_every_public_name_is_there():
    names = {}
    exec("from pymc_sgld import *", names)
    assert set(pymc_sgld.__all__) <= set(names) & set(dir(pymc_sgld))
    assert names["compare"] is pymc_sgld.diagnostics.compare
    with pytest.raises(AttributeError, match="no attribute 'comapre'"):
        pymc_sgld.comapre


def test_what_the_progress_bar_of_pymc_needs_is_a_dependency():
    """It imports matplotlib, which PyMC does not require: the quickstart would crash."""
    project = tomllib.loads((Path(pymc_sgld.__file__).parents[1] / "pyproject.toml").read_text())
    assert any(each.startswith("matplotlib") for each in project["project"]["dependencies"])
