"""A run that is killed, again and again and at any moment, gives what it would have given."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from pymc_sgld import SGLD
from tests.checkpoint.killed import DRAWS, SETTINGS, cores, main
from tests.checkpoint.stopped import different, model, sample

pytestmark = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded"),
    pytest.mark.filterwarnings("ignore:os.fork"),  # of JAX, where another test has imported it
]
FORK = multiprocessing.get_context("fork")
BUT = ("setup_seconds",)
MODEL = model()


@pytest.fixture(scope="module")
def step():
    return SGLD(model=MODEL, **SETTINGS)


@pytest.fixture(scope="module")
def undisturbed(step):
    """Return a function that gives the result without a checkpoint, for a number of chains."""
    found = {}

    def of(chains):
        if chains not in found:
            found[chains] = sample(MODEL, step, **DRAWS, **cores("fork", chains))
        return found[chains]

    return of


def committed(folder):
    """Return the bytes of the draws that are on disk."""
    return sum(path.stat().st_size for path in folder.rglob("draws.bin"))


def kill_until_done(start, folder, moments, kills):
    """Kill a process that ``start`` gives so often, then let one end; return how many there were.

    After a moment since it began to write: to start a program takes longer than all else.
    """
    killed, before = 0, 0
    while not (folder / "result").exists():
        process, began = start(), time.monotonic()
        while committed(folder / "run") <= before and process.is_running():
            assert time.monotonic() - began < 120
            time.sleep(0.002)
        if killed < kills:
            time.sleep(next(moments))
            if process.is_running():
                process.kill()
                killed += 1
        process.wait()
        before = committed(folder / "run")
    return killed


class Forked:
    """A process that begins as a copy of this one."""

    def __init__(self, *arguments):
        self._process = FORK.Process(target=main, args=arguments)
        self._process.start()

    def is_running(self):
        return self._process.is_alive()

    def kill(self):
        self._process.kill()

    def wait(self):
        self._process.join()


class Program:
    """A process that begins anew; its workers are killed with it, or left to themselves."""

    def __init__(self, folder, *arguments, orphans=True):
        self._orphans = orphans
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.checkpoint.killed", str(folder), *map(str, arguments)],
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def is_running(self):
        return self._process.poll() is None

    def kill(self):
        if self._orphans:
            self._process.kill()
        else:
            os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self):
        self._process.wait()


def moments(seed, longest):
    rng = np.random.default_rng(seed)
    while True:
        yield float(rng.uniform(0, longest))


@pytest.mark.parametrize("chains", [1, 2])
def test_killed_and_typed_again(step, undisturbed, tmp_path, chains):
    """With two chains the workers are orphans for a while, and the next run waits for them."""
    started, expected = [], undisturbed(chains)

    def start():
        started.append(Forked(tmp_path, "fork", chains, MODEL, step))
        return started[-1]

    assert kill_until_done(start, tmp_path, moments(chains, 0.05), kills=2) == 2
    found = pickle.loads((tmp_path / "result").read_bytes())
    assert different(expected, found, BUT) == []


@pytest.mark.long
@pytest.mark.parametrize("chains", [1, 2, 4])
@pytest.mark.parametrize("start_method", ["fork", "spawn", "forkserver"])
def test_the_grid(undisturbed, tmp_path, chains, start_method):
    """Forty kills in all, of the program alone and of its workers with it."""
    turn = []

    def start():
        turn.append(1)
        return Program(tmp_path, start_method, chains, orphans=len(turn) % 2 == 1)

    kills = 8 if (start_method, chains) == ("fork", 1) else 4
    kill_until_done(start, tmp_path, moments(chains, 0.1), kills)
    found = pickle.loads((tmp_path / "result").read_bytes())
    assert different(undisturbed(chains), found, BUT) == []
    assert len(turn) > 1
