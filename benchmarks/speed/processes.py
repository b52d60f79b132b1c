"""Measurements in processes of their own: a module of this folder is run, and prints its result."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1]


def with_caches(folder: str) -> dict[str, str]:
    """Return the environment in which compiled code is kept in a folder."""
    flags = os.environ.get("PYTENSOR_FLAGS", "")
    return {
        "PYTENSOR_FLAGS": f"{flags},base_compiledir={folder}".lstrip(","),
        "NUMBA_CACHE_DIR": folder,
    }


def result_of(module: str, *arguments: object, **environment: str) -> object:
    """Run a module and return what its last line says in JSON.

    A module may limit its processor seconds by the timer ``ITIMER_PROF``: what it has said when
    that ends it is its result.

    Raises
    ------
    RuntimeError
        If it fails, with what it said.
    """
    paths = [str(BENCHMARKS), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | environment
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    if done.returncode not in (0, -signal.SIGPROF):
        code = done.returncode
        raise RuntimeError(f"{' '.join(command)} failed with code {code}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def empty_then_warm(module: str, *arguments: object) -> Iterator[object]:
    """Run a module twice: with empty caches, and with what the first run has left in them."""
    with tempfile.TemporaryDirectory() as caches:
        for _ in range(2):
            yield result_of(module, *arguments, **with_caches(caches))
