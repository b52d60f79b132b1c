"""Chains on a cluster are those of `pm.sample`, to the bit, whatever befalls their workers."""

import os
import signal
import threading
import time
from functools import partial

import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLD, SettingError, sample_on
from pymc_sgld.checkpoint import committed
from tests.checkpoint.stopped import different
from tests.graphs import QUICK

ROWS = np.random.default_rng(1).normal(3, 2, size=1000)
RUN = {"draws": 900, "tune": 20, "chains": 2, "random_seed": 5}
LONG = QUICK | {"batch_size": 7, "step_size": 1e-6, "steps_per_draw": 8}

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")


@pytest.fixture(scope="module")
def model():
    with pm.Model() as model:
        pm.Normal("y", pm.Normal("mean", 0, 10), 2, observed=ROWS)
    return model


@pytest.fixture
def step(model, tmp_path):
    """Return a step method that commits ten times a second."""
    step = SGLD(model=model, checkpoint=tmp_path / "run", **LONG)
    step._checkpoint.every = 0.1
    return step


@pytest.fixture(scope="module")
def alone(model):
    """Return the result of one machine."""
    settings = {"cores": 1, "progressbar": False, "quiet": True}
    with model:
        return pm.sample(step=SGLD(**LONG), compute_convergence_checks=False, **RUN | settings)


@pytest.fixture
def run(client, model, caplog):
    return partial(sample_on, client, model, **RUN)


def when_it_runs(step, act, chains=(0, 1)):
    """Do something in a thread when draws of some chains are on disk; return what it gave."""
    found = []

    def wait():
        while min(committed(step._checkpoint.folder, 2)[chain] for chain in chains) < 30:
            time.sleep(0.02)
        found.append(act())

    threading.Thread(target=wait, daemon=True).start()
    return found


def test_a_run(run, step, alone, client, cluster):
    cluster.scale(2)
    result = run(step=step)
    assert different(result, alone) == []
    assert {*result.children} == {*alone.children} and "warning" not in result.sample_stats
    assert result.observed_data.equals(alone.observed_data)
    assert committed(step._checkpoint.folder, 2) == [920, 920]
    again = run(step=step)  # of what is committed
    assert different(again, alone) == []


def test_a_worker_that_is_killed(run, step, alone, client):
    def kill():
        holder, _, _ = (step._checkpoint.folder / "chain-1" / "lock").read_text().partition(" ")
        os.kill(int(holder), signal.SIGKILL)
        return committed(step._checkpoint.folder, 2)

    killed = when_it_runs(step, kill, chains=[1])
    assert different(run(step=step), alone) == []
    assert killed[0][1] < 920


def test_an_interrupt(run, step, alone):
    """The chains end within seconds, and the same call goes on."""
    when_it_runs(step, partial(os.kill, os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run(step=step)
    assert different(run(step=step), alone) == []


def test_the_default_step(client, model, tmp_path, monkeypatch):
    """It is made with passes on the workers; and without a seed the same call goes on as well."""
    seen, make = [], SGLD.__init__

    def quickly(self, vars=None, **settings):
        seen.append(settings["executor"])
        make(self, vars, step_size=1e-6, **QUICK, **settings)

    monkeypatch.setattr(SGLD, "__init__", quickly)
    runs = [
        sample_on(client, model, checkpoint=tmp_path / "run", draws=draws, tune=5, chains=2)
        for draws in (10, 20)
    ]
    assert seen == [client, client]
    assert runs[1].posterior.isel(draw=slice(10)).equals(runs[0].posterior)
    means = runs[1].posterior["mean"]
    assert means.sizes == {"chain": 2, "draw": 20} and np.unique(means).size == 40


def test_arguments(client, model, step, tmp_path):
    with pytest.raises(SettingError, match="client is a NoneType"):
        sample_on(None, model)
    with pytest.raises(SettingError, match=r'pass checkpoint="/shared/run", or step=SGLD\('):
        sample_on(client, model)
    with pytest.raises(SettingError, match="checkpoint= is another folder"):
        sample_on(client, model, step=step, checkpoint=tmp_path / "other")
    with pytest.raises(SettingError, match=r"no arguments \['callback', 'cores'\]"):
        sample_on(client, model, step=step, cores=2, callback=print)
    with pytest.raises(SettingError, match="random_seed='a' is no seed"):
        sample_on(client, model, step=step, random_seed="a")
    with pytest.raises(SettingError, match="initvals has 3 points: pass one, or 2"):
        sample_on(client, model, step=step, chains=2, initvals=[{}, {}, {}])


def test_a_model_that_cannot_be_pickled(client, model, step, monkeypatch):
    monkeypatch.setattr(model, "lock", threading.Lock(), raising=False)
    with pytest.raises(SettingError, match=r"the model cannot be sent .* pickle '_thread\.lock'"):
        sample_on(client, model, step=step)


def test_a_folder_that_workers_do_not_see(client, model, step):
    (step._checkpoint.folder / "settings.npz").unlink()
    with pytest.raises(SettingError, match=r"does not see .* all workers share"):
        sample_on(client, model, step=step, chains=1, random_seed=1)
