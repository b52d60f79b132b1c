"""A chain that stops anywhere goes on from there, and nothing in the result tells."""

import logging
import os
import signal

import numpy as np
import pymc as pm
import pytest

from pymc_sgld import MALA, SGHMC, SGLD, SGNHT, ReplicaExchange, SettingError
from pymc_sgld.checkpoint import Checkpoint, chain, run
from pymc_sgld.checkpoint.chain import ChainFiles
from pymc_sgld.checkpoint.run import committed
from tests.checkpoint.stopped import ROWS, Stopped, different, model, sample
from tests.graphs import QUICK

COMPILED = {"compile_kwargs": {"mode": "FAST_COMPILE"}}
OWN = {"batch_size": 7, "steps_per_draw": 4}
STEPS = {
    "sgld": (SGLD, OWN | QUICK | {"step_size": 1e-3}),
    "sghmc": (SGHMC, OWN | QUICK | {"step_size": 0.03, "friction": 2.0}),
    "sgnht": (SGNHT, OWN | QUICK | {"step_size": 0.03}),
    "mala": (MALA, COMPILED | {"step_size": 1e-3, "preconditioner": "identity"}),
    "replica_exchange": (ReplicaExchange, OWN | QUICK | {"step_size": 1e-3}),
    "adaptive": (SGLD, OWN | QUICK | {"step_size": 0.01, "preconditioner": "adaptive"}),
    "sources": (SGLD, OWN | QUICK | {"step_size": 1e-5, "data": {"y": np.tile(ROWS, 50)}}),
    "saga": (SGLD, OWN | COMPILED | {"gradient": "saga", "preconditioner": "laplace"}),
    "svrg": (SGLD, OWN | COMPILED | {"gradient": "svrg", "step_size": 0.1}),
}
MODEL = model()


def made(name, of=MODEL, **changes):
    sampler, settings = STEPS[name]
    return sampler(model=of, **settings | changes)


def long(name):
    return pytest.param(name, marks=pytest.mark.long)


@pytest.fixture(
    scope="module",
    params=[name if name not in ("saga", "svrg") else long(name) for name in STEPS],
)
def step(request):
    return made(request.param)


@pytest.fixture(scope="module")
def sgld():
    return made("sgld")


@pytest.fixture
def recorded(folder, monkeypatch):
    """Give a function that lets a step commit its chains, without the time to make another."""

    def record(step):
        monkeypatch.setattr(step, "_checkpoint", Checkpoint(folder))
        return step

    return record


def test_stopped_and_resumed(step, recorded):
    """While it tunes, and after, in the second chain: the same to the bit."""
    undisturbed = sample(MODEL, step)
    for stop in [(0, 1), (1, 4)]:
        with pytest.raises(Stopped):
            sample(MODEL, recorded(step), stop)
    found = sample(MODEL, recorded(step))
    assert different(undisturbed, found, but=()) == []


def test_draws_are_replayed_and_not_made_again(sgld, recorded, monkeypatch):
    calls, advance = [], SGLD._advance
    monkeypatch.setattr(SGLD, "_advance", lambda *args: calls.append(1) or advance(*args))
    with pytest.raises(Stopped):
        sample(MODEL, recorded(sgld), (1, 4))
    assert len(calls) == 9 + 5
    found = sample(MODEL, recorded(sgld))
    assert len(calls) == 18
    assert different(found, sample(MODEL, recorded(sgld)), but=()) == []
    assert len(calls) == 18


@pytest.mark.parametrize("name", ["sghmc", long("sgld"), long("replica_exchange")])
def test_more_draws_are_those_of_the_longer_run(name, recorded, monkeypatch):
    """Positions; the rows that were read for the shorter run's verdict stay on the account."""
    monkeypatch.setattr(run, "EVERY", 0.1)
    step = made(name, steps_per_draw=2)
    length = {"chains": 1, "draws": 160}
    longer = sample(MODEL, step, **length)
    sample(MODEL, recorded(step), **length | {"draws": 50})
    with pytest.raises(Stopped):
        sample(MODEL, recorded(step), (0, 90), **length)
    found = sample(MODEL, recorded(step), **length)
    verdict = {"mean_shift", "mean_shift_error", "sd_ratio", "untrusted", "reasons"}
    assert {*different(longer, found)} <= verdict | {"sd_ratio_error", "rows_seen"}
    last = [stats.sample_stats.isel(draw=-1) for stats in (longer, found)]
    assert all(last[0][stat].equals(last[1][stat]) for stat in verdict)


def test_an_extended_chain_is_judged_at_its_new_end(recorded, caplog):
    """Of steps that are far too large: a chain has much to say at its end."""
    textbook = made("sgld", step_size=0.5, steps_per_draw=1, preconditioner=[1.0, 1e-3])
    logging.getLogger("pymc").propagate = True
    runs = {"draws": 60, "chains": 1, "quiet": False}
    sample(MODEL, recorded(textbook), **runs)
    said = [record.getMessage() for record in caplog.records if "sd_ratio" in record.getMessage()]
    assert len(said) == 1
    found = sample(MODEL, recorded(textbook), **runs | {"draws": 70}).sample_stats
    now = [record.getMessage() for record in caplog.records if "sd_ratio" in record.getMessage()]
    assert len(now) == 2 and now[0] != now[1]
    assert found["reasons"][0, -1] > 0
    assert found["reasons"][0, 59] == 0 and np.isnan(found["sd_ratio"][0, 59])
    again = sample(MODEL, recorded(textbook), **runs | {"draws": 70}).sample_stats
    assert again.equals(found)
    textbook._checkpoint = None
    fresh = sample(MODEL, textbook, **runs | {"draws": 70}).sample_stats
    assert fresh["reasons"][0, -1] == found["reasons"][0, -1]


def test_without_a_seed(sgld, recorded):
    """The committed generator goes on, whatever PyMC has drawn for the new call."""
    random = {"random_seed": None}
    first = sample(MODEL, recorded(sgld), **random)
    longer = sample(MODEL, recorded(sgld), draws=9, **random)
    assert longer.posterior.isel(draw=slice(6)).equals(first.posterior)
    assert sample(MODEL, recorded(sgld), draws=9, **random).posterior.equals(longer.posterior)
    with pytest.raises(SettingError, match=r"another random_seed.*None if it was None"):
        sample(MODEL, recorded(sgld), random_seed=7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"random_seed": 6}, r"another random_seed, which gave PCG64\(5\) and now PCG64\(6\)"),
        ({"tune": 4}, "tune=3, and tune=4 now"),
        ({"draws": 5}, "has 6 draws already, and draws=5 now"),
        ({"initvals": {"mean": 1.0}}, "another point: pass the same initvals"),
    ],
)
def test_other_calls_are_refused(sgld, recorded, folder, changes, message):
    before = sample(MODEL, recorded(sgld))
    content = {path: path.read_bytes() for path in folder.rglob("*.*")}
    with pytest.raises(SettingError, match=message):
        sample(MODEL, recorded(sgld), **changes)
    assert content == {path: path.read_bytes() for path in folder.rglob("*.*")}
    assert different(before, sample(MODEL, recorded(sgld)), but=()) == []


def test_fewer_chains_and_more(sgld, recorded):
    """Each is a run of its own: the seed of a chain does not depend on how many there are."""
    sample(MODEL, recorded(sgld), chains=1)
    found = sample(MODEL, recorded(sgld), chains=3)
    assert different(sample(MODEL, sgld, chains=3), found) == []


def test_an_interrupt_waits_for_the_draw_and_commits(sgld, recorded, monkeypatch, folder):
    advance = SGLD._advance

    def interrupted(self, point):
        if self.chain.draw == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return advance(self, point)

    undisturbed = sample(MODEL, sgld, chains=1)
    monkeypatch.setattr(run, "EVERY", 1000.0)
    with monkeypatch.context() as patch:
        patch.setattr(SGLD, "_advance", interrupted)
        sample(MODEL, recorded(sgld), chains=1)
    calls = []
    monkeypatch.setattr(SGLD, "_advance", lambda *args: calls.append(1) or advance(*args))
    found = sample(MODEL, recorded(sgld), chains=1)
    assert len(calls) == 9 - 6
    assert different(undisturbed, found) == []


def test_a_second_interrupt_does_not_wait(sgld, recorded, monkeypatch):
    came = []

    def interrupted(self, point):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            came.append(1)
        raise AssertionError("the second did not end it")

    monkeypatch.setattr(SGLD, "_advance", interrupted)
    with MODEL, pytest.raises((KeyboardInterrupt, UnboundLocalError, ValueError)):
        pm.sample(1, tune=0, chains=1, cores=1, step=recorded(sgld), quiet=True, progressbar=False)
    assert len(came) <= 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_orphan_commits_nothing(sgld, recorded, monkeypatch, folder):
    with pytest.raises(Stopped):
        sample(MODEL, recorded(sgld), (0, 4))
    state = (folder / "chain-0" / "state.npz").read_bytes()
    monkeypatch.setattr("pymc_sgld.orphans.Parent.is_gone", property(lambda self: True))
    with pytest.raises(Stopped):
        sample(MODEL, recorded(sgld), (0, 6))
    assert (folder / "chain-0" / "state.npz").read_bytes() == state


# beside other step methods


@pytest.fixture(scope="module")
def compound():
    """A model with a discrete variable, and a step for the others."""
    with pm.Model() as of:
        shift = pm.Poisson("shift", 2)
        mean = pm.Normal("mean", 0, 10)
        pm.Normal("y", mean + shift, 2, observed=np.arange(30.0) / 10)
        beside = pm.Metropolis([shift], **COMPILED)
    return of, SGLD(model=of, vars=[mean], batch_size=7, step_size=0.01, **QUICK), beside


def test_beside_another_step_method(compound, recorded):
    of, step, beside = compound
    undisturbed = sample(of, [step, beside], draws=12)
    for stop in [(0, 3), (1, 6)]:
        with pytest.raises(Stopped):
            sample(of, [recorded(step), beside], stop, draws=12)
    assert different(undisturbed, sample(of, [recorded(step), beside], draws=12)) == []
    longer = sample(of, [step, beside], draws=20)
    assert longer.posterior.equals(sample(of, [recorded(step), beside], draws=20).posterior)


def test_another_step_method_needs_a_seed(compound, recorded, folder):
    of, step, beside = compound
    with pytest.raises(SettingError, match=r"because random_seed is None: pass one to pm.sample"):
        sample(of, [recorded(step), beside], random_seed=None)
    assert not list(folder.glob("chain*"))


def test_another_step_method_that_does_not_repeat_itself(compound, recorded, monkeypatch):
    of, step, beside = compound
    sample(of, [recorded(step), beside], draws=12)
    replayed = ChainFiles.replayed

    def changed(self, step, point):
        return replayed(self, step, point | {"shift": point["shift"] + (self._count == 4)})

    monkeypatch.setattr(ChainFiles, "replayed", changed)
    with pytest.raises(SettingError, match=r'"shift", which another step method samples.* draw 4'):
        sample(of, [recorded(step), beside], draws=12)


def test_commits_that_take_long_are_not_put_off_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "EVERY", 0.0)
    monkeypatch.setattr(chain, "SHARE", 1e-12)
    monkeypatch.setattr(chain, "LONGEST", 0.0)
    step, point = made("sgld", checkpoint=tmp_path), MODEL.initial_point()
    step.setup_chain(np.random.default_rng(np.random.SeedSequence(1, spawn_key=(0,))), 0, 9)
    for _ in range(5):
        point, _ = step.step(point)
    assert committed(tmp_path, 1) == [5]
    step._checkpoint.close()
