"""What can be wrong with a folder: each time an error that says what to do, and nothing is lost."""

import errno
import multiprocessing
import os
import shutil

import numpy as np
import pytest

from pymc_sgld import SGLD, DataError, SettingError
from pymc_sgld.checkpoint import Checkpoint
from pymc_sgld.checkpoint.files import Lock, append, read, write
from pymc_sgld.storage import files as storage
from tests.checkpoint.stopped import Stopped, different, model, sample
from tests.graphs import QUICK

FORK = multiprocessing.get_context("fork")
MODEL = model()


@pytest.fixture(scope="module")
def step():
    return SGLD(model=MODEL, batch_size=7, step_size=1e-3, **QUICK)


@pytest.fixture
def recorded(step, folder, monkeypatch):
    def record():
        monkeypatch.setattr(step, "_checkpoint", Checkpoint(folder))
        return step

    return record


def test_what_is_written_is_read(tmp_path):
    arrays = {"a": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "b": np.array(3)}
    write(tmp_path / "x.npz", {"n": [1, None, "ä"]}, arrays)
    meta, found = read(tmp_path / "x.npz")
    assert meta == {"n": [1, None, "ä"]}
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    assert found["a"].flags.f_contiguous
    assert os.listdir(tmp_path) == ["x.npz"]


def test_appended_over_what_does_not_count(tmp_path):
    path = tmp_path / "draws.bin"
    append(path, 0, b"abcdef")
    append(path, 2, b"xy")
    assert path.read_bytes() == b"abxy"


@pytest.mark.parametrize("calls", [0, 1, 3, 6])
def test_a_full_disk(recorded, undisturbed, monkeypatch, folder, calls):
    """At any of the times that something is put on the disk."""
    left = [*range(calls)]

    def full(descriptor):
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        left.pop()

    with monkeypatch.context() as patch:
        patch.setattr(storage, "flush", full)
        with pytest.raises(DataError, match=r"cannot write .*No space left.*make room"):
            sample(MODEL, recorded())
    assert not list(folder.rglob("*.new"))
    assert different(undisturbed, sample(MODEL, recorded())) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write .*pass another folder"):
        SGLD(model=MODEL, checkpoint=tmp_path / "file" / "run", **QUICK, step_size=1e-3)


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(SettingError, match=r"has other files \(thesis.tex\).*empty folder"):
        SGLD(model=MODEL, checkpoint=tmp_path, **QUICK, step_size=1e-3)
    assert os.listdir(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize("wrong", [3, True, ["a"]])
def test_what_is_no_path(wrong):
    with pytest.raises(SettingError, match="pass the path of a folder"):
        SGLD(model=MODEL, checkpoint=wrong, **QUICK, step_size=1e-3)


def test_several_steps_in_one_call(folder):
    with pytest.raises(SettingError, match="blocked=False makes several"):
        SGLD(model=MODEL, checkpoint=folder, blocked=False, **QUICK, step_size=1e-3)


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


def turn_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


HARMS = [(name, harm) for name in ("draws.bin", "state.npz") for harm in (cut, turn_a_bit)]
HARMS += [("draws.bin", os.unlink), ("state.npz", os.unlink), ("state.npz", empty)]


@pytest.fixture(scope="module")
def undisturbed(step):
    return sample(MODEL, step)


@pytest.mark.parametrize(("name", "harm"), HARMS)
def test_a_damaged_file(recorded, undisturbed, folder, name, harm):
    sample(MODEL, recorded())
    path = folder / "chain-1" / name
    harm(path)
    if (name, harm) == ("state.npz", os.unlink):  # as if there had been no commit
        assert different(undisturbed, sample(MODEL, recorded())) == []
        return
    with pytest.raises(DataError, match=r'chain-1.*is damaged.*remove the folder .*chain-1"?'):
        sample(MODEL, recorded())
    if harm is cut:  # what the message says
        shutil.rmtree(folder / "chain-1")
        assert different(undisturbed, sample(MODEL, recorded())) == []


def test_a_lock_ends_with_its_process(tmp_path):
    here, there = FORK.Pipe()

    def hold():
        with Lock(tmp_path / "lock", "it"):
            there.send("held")
            there.recv()

    holder = FORK.Process(target=hold, daemon=True)
    holder.start()
    assert here.recv() == "held"
    with pytest.raises(SettingError, match=rf"another run is at work on it \(process {holder.pid}"):
        Lock(tmp_path / "lock", "it")
    Lock(tmp_path / "lock", "it", allies=(holder.pid,)).release()
    holder.kill()
    holder.join()
    Lock(tmp_path / "lock", "it").release()


def test_a_second_run(recorded, undisturbed, folder):
    """It waits, and is refused; the first goes on."""
    with pytest.raises(Stopped):
        sample(MODEL, recorded(), (0, 3))
    here, there = FORK.Pipe()

    def hold():
        with Lock(folder / "chain-1" / "lock", "it"):
            there.send("held")
            there.recv()

    (folder / "chain-1").mkdir()
    holder = FORK.Process(target=hold, daemon=True)
    holder.start()
    here.recv()
    with pytest.raises(SettingError, match=r"another run is at work on .*chain-1"):
        sample(MODEL, recorded())
    here.send("end")
    holder.join()
    assert different(undisturbed, sample(MODEL, recorded()), but=()) == []
