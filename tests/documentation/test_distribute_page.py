"""The script on the page on several machines runs, and gives the posterior."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "distribute.md").read_text()


def test_the_page(tmp_path):
    """Here with a hundredth of the rows and of the draws, and without machine code."""
    pytest.importorskip("distributed", reason="runs a cluster")
    pytest.importorskip("zarr", reason="stores the rows")
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    for full, short in (("2_000_000", "20_000"), ("draws=1000", "draws=10, tune=10")):
        assert full in code
        code = code.replace(full, short)
    (tmp_path / "script.py").write_text(code)
    flags = ",".join([os.environ.get("PYTENSOR_FLAGS", ""), "mode=FAST_COMPILE"]).lstrip(",")
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTENSOR_FLAGS": flags, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert not done.returncode, done.stderr
    beta = [float(word) for word in done.stdout.strip(" []\n").split()]
    assert len(beta) == 5 and all(abs(each - 1) < 0.3 for each in beta)  # sd 0.02
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {f"chain-{k}" for k in range(4)} < names
