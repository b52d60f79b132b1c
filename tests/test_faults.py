"""What goes wrong while sampling: a clear error, the draws so far, and nothing left behind.

Nothing left: no process, no thread that reads, no shared memory, no temporary file.
"""

import _thread
import gc
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pymc as pm
import pytest
from pymc.sampling.parallel import ParallelSamplingError

from pymc_sgld import SGLD, DataError, sources
from pymc_sgld.sources import reader
from pymc_sgld.sources.background import THREAD
from tests.graphs import QUICK

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
ROWS = np.random.default_rng(1).normal(size=3000)
RUN = {"draws": 20_000, "tune": 0, "chains": 2, "random_seed": 5, "progressbar": False}
RUN |= {"quiet": True, "compute_convergence_checks": False}
HERE = {"cores": 1, "chains": 1}
FORK, FORKSERVER, SPAWN = ({"cores": 2, "mp_ctx": c} for c in ("fork", "forkserver", "spawn"))
multiprocessing.set_forkserver_preload(["pymc_sgld"])  # so that each worker need not import it


@pytest.fixture(scope="module", autouse=True)
def small_windows():
    """Make blocks and windows small, so that a few rows have many of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "BLOCK_BYTES", 500)
        patch.setattr(reader, "WINDOW_BYTES", 8000)
        yield


@pytest.fixture(scope="module", autouse=True)
def little_to_collect():
    """What other tests left is not looked through again and again."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def wait_for(condition, seconds=10):
    """Return whether a condition comes true in time."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def reading():
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


@pytest.fixture(autouse=True)
def nothing_is_left(nameless):
    """Compare with before: processes, threads, memory without a name, and memory with one."""
    gc.collect()
    before, named = set(nameless()), set(os.listdir("/dev/shm"))
    yield
    assert wait_for(lambda: not multiprocessing.active_children())  # PyMC waits for two seconds
    assert wait_for(lambda: not reading())
    gc.collect()
    assert set(nameless()) <= before
    assert wait_for(lambda: set(os.listdir("/dev/shm")) <= named)  # others come and go


def model():
    with pm.Model() as model:
        pm.Normal("y", pm.Normal("mean"), 1, observed=ROWS[:10])
    return model


def make(source, **settings):
    """Return a step, and the model that it samples."""
    of = model()
    settings = {"batch_size": 16, "step_size": 1e-6, "steps_per_draw": 5} | QUICK | settings
    return SGLD(model=of, data={"y": source}, **settings), of


def sample(step, of, **settings):
    with of:
        return pm.sample(step=step, **RUN | settings)


def at_draw(number, action):
    """Return a callback that acts once."""
    left = [action]

    def callback(trace, draw):
        if draw.draw_idx >= number and left:
            left.pop()()

    return callback


class Rows:
    """Rows as they are, until something is done to them."""

    shape, dtype = ROWS.shape, ROWS.dtype

    def __init__(self):
        self.here, self.elsewhere, self.process = None, None, os.getpid()

    def __getitem__(self, rows):
        change = self.here if os.getpid() == self.process else self.elsewhere
        return ROWS[rows] if change is None else change(ROWS[rows])


@pytest.fixture(scope="module")
def made(small_windows):
    """Return a source, a step that reads it, and its model."""
    source = Rows()
    return source, *make(source)


@pytest.fixture(scope="module")
def mapped(small_windows, tmp_path_factory):
    """Return the file of a memory map, a step that reads it, and its model."""
    path = tmp_path_factory.mktemp("mapped") / "rows.npy"
    np.save(path, ROWS)
    return path, *make(np.load(path, mmap_mode="r"))


def long(*values):
    """Return parameters of a test that starts new interpreters."""
    return pytest.param(*values, marks=pytest.mark.long)


def name_of(value):
    return value.get("mp_ctx", "here") if isinstance(value, dict) else value


# a source that fails


def fails(settings, message):
    """Return the context of an error of a source: workers wrap it."""
    error = DataError if settings["cores"] == 1 else ParallelSamplingError
    return pytest.raises(error, match=message)


@pytest.mark.parametrize("settings", [HERE, FORK, long(FORKSERVER), long(SPAWN)], ids=name_of)
def test_a_file_that_is_cut_while_sampling(settings, mapped):
    """In a worker too, where reading the map would end it with a signal and without a word."""
    path, step, of = mapped
    np.save(path, ROWS)
    cut = at_draw(5, lambda: os.truncate(path, 1000))
    with fails(settings, r'rows \d+ to \d+ of the source of "y" cannot be read: EOFError: .*npy'):
        sample(step, of, callback=cut, **settings)


@pytest.mark.parametrize("settings", [HERE, FORK, FORKSERVER, long(SPAWN)], ids=name_of)
def test_a_reader_that_fails(settings, made):
    """The error of the source, and the rows, from the thread that reads to the caller."""
    source, step, of = made
    source.elsewhere = burn
    message = r'rows \d+ to \d+ of the source of "y" cannot be read: OSError: the disk is on fire'
    with fails(settings, message) as caught:
        sample(step, of, callback=at_draw(5, lambda: setattr(source, "here", burn)), **settings)
    if settings["cores"] == 1:
        assert isinstance(caught.value.__cause__, OSError)
    source.here = source.elsewhere = None
    assert sample(step, of, draws=3, cores=1).posterior.sizes["draw"] == 3  # the step is not spoilt


def burn(rows):
    raise OSError("the disk is on fire")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[1:], r"there are \(\d+,\), and there should be \(\d+,\)"),
        (lambda rows: rows + 1j, r"TypeError: they are complex128, which does not become float64"),
        (lambda rows: rows.astype(str), r"TypeError: they are <U\d+, which does not become"),
        (lambda rows: rows * np.nan, r'the rows of "y" that update \d+ read have NaN'),
    ],
    ids=["fewer", "complex", "text", "NaN"],
)
def test_a_source_that_changes_while_sampling(change, message, made):
    source, step, of = made
    with pytest.raises(DataError, match=message):
        sample(step, of, cores=1, callback=at_draw(5, lambda: setattr(source, "here", change)))
    source.here = None


# a fork


def test_a_fork_while_a_thread_reads(made):
    """A worker that is forked within a read would find a lock of the source taken, for ever."""
    source, step, of = made
    lock, goes_on = threading.Lock(), []

    def behind_lock(rows):
        with lock:
            while threading.current_thread().name == THREAD and not goes_on:
                time.sleep(0.01)
            return rows

    source.here = source.elsewhere = behind_lock
    here = sample(step, of, cores=1, chains=1, draws=4)  # leaves a thread that reads
    assert reading() and lock.locked()
    threading.Timer(0.5, goes_on.append, [True]).start()
    there = in_time(lambda: sample(step, of, cores=2, mp_ctx="fork", draws=4))
    assert np.array_equal(here.posterior["mean"][0], there.posterior["mean"][0])
    source.here = source.elsewhere = None


@pytest.mark.parametrize("of_xarray", [False, True])
def test_dask_in_a_fork(of_xarray, tmp_path):
    """The threads of dask are missing in a worker that is forked, which must not wait for them."""
    da = pytest.importorskip("dask.array", reason="reads dask arrays")
    array = da.from_array(ROWS, chunks=300)
    if of_xarray:
        xr = pytest.importorskip("xarray")
        array = xr.DataArray(array, dims="row")
    array[:5].compute()  # so that there are threads
    step, of = make(array)
    here = sample(step, of, cores=1, draws=4)
    there = in_time(lambda: sample(step, of, cores=2, mp_ctx="fork", draws=4))
    assert np.array_equal(here.posterior["mean"], there.posterior["mean"])


def in_time(function, seconds=60):
    """Call a function whose defect would be to wait for ever: then its workers are ended."""
    timer = threading.Timer(seconds, lambda: [p.kill() for p in multiprocessing.active_children()])
    timer.start()
    try:
        return function()
    finally:
        timer.cancel()
        timer.join()


# a process that ends


@pytest.mark.parametrize("settings", [FORK, FORKSERVER, long(SPAWN)], ids=name_of)
def test_a_worker_that_is_killed(settings, made):
    """PyMC's own error, soon, and the other worker ends."""
    step, of = made[1:]
    killed = []

    def kill():
        [victim, *_] = multiprocessing.active_children()
        killed.append(time.monotonic())
        victim.kill()

    with pytest.raises((EOFError, ConnectionError)):
        sample(step, of, callback=at_draw(5, kill), **settings)
    assert time.monotonic() - killed[0] < 20
    assert sample(step, of, draws=3, cores=1).posterior.sizes["draw"] == 3


# an interrupt


def interrupt(who):
    """Send what Ctrl-C sends: to this process, or to its workers too."""
    for worker in multiprocessing.active_children() if who == "group" else []:
        os.kill(worker.pid, signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    ("settings", "who"),
    [
        (HERE, "parent"),
        (FORK, "parent"),
        (FORK, "group"),
        (FORKSERVER, "group"),
        long(FORKSERVER, "parent"),
        long(SPAWN, "parent"),
        long(SPAWN, "group"),
    ],
    ids=name_of,
)
def test_an_interrupt_keeps_the_draws(settings, who, tmp_path):
    """Of every chain that has begun; and the file of an iterator is gone with the step."""
    rows = sources.batches(np.array_split(ROWS, 7), ROWS.shape, folder=str(tmp_path))
    step, of = make(rows)
    sent = []

    def act():
        sent.append(time.monotonic())
        interrupt(who)

    idata = sample(step, of, callback=at_draw(20, act), **settings)
    assert time.monotonic() - sent[0] < 20
    draws = idata.posterior.sizes["draw"]
    assert 3 <= draws < 1000
    assert np.isfinite(idata.posterior["mean"]).all()
    assert len(np.unique(idata.posterior["mean"])) == idata.posterior["mean"].size
    assert np.isfinite(idata.sample_stats["step_size"]).all()
    assert (idata.sample_stats["updates"][0] == 5 * np.arange(1, draws + 1)).all()
    again = sample(step, of, draws=3, cores=1).posterior["mean"].values.tolist()
    assert all(chain[:3].tolist() in again for chain in idata.posterior["mean"].values)
    del step
    gc.collect()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "start_methods", [("here", "fork"), long(("forkserver", "spawn"))], ids="-".join
)
def test_ctrl_c_at_a_terminal(start_methods, tmp_path):
    """A program of its own: the signal comes from outside, while PyMC waits for draws."""
    runs = [(method, to) for method in start_methods for to in (os.kill, os.killpg)]
    program = start_program(tmp_path, *[each for each, _ in runs])
    watchdog = threading.Timer(120, lambda: os.killpg(program.pid, signal.SIGKILL))
    watchdog.start()
    try:
        for _, to in runs:
            assert program.stdout.readline() == "sampling\n"
            time.sleep(0.3)
            sent = time.monotonic()
            to(program.pid, signal.SIGINT)
            found = json.loads(program.stdout.readline())
            assert time.monotonic() - sent < 20
            assert 20 <= found["draws"] < 20_000 and found["finite"]
            assert found["processes"] == found["threads"] == []
        assert program.wait() == 0
        assert wait_for(lambda: not is_alive(program.pid))
    finally:
        watchdog.cancel()
        if is_alive(program.pid):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
        program.stdout.close()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("sent", [signal.SIGKILL, long(signal.SIGTERM)], ids=str)
def test_workers_end_with_their_parent(sent, tmp_path):
    """Forked ones too, which wait on a pipe that their siblings hold open."""
    program = start_program(tmp_path, "fork")
    try:
        assert program.stdout.readline() == "sampling\n"
        program.send_signal(sent)
        assert program.wait() == -sent
        assert wait_for(lambda: not is_alive(program.pid))
    finally:
        if is_alive(program.pid):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
        program.stdout.close()


def start_program(folder, *start_methods):
    """Start a program that samples, in a group of processes of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.interrupted", str(folder), *start_methods],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def is_alive(group):
    """Return whether there is a process of a group."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


class Interrupts:
    """Rows that interrupt the main thread when they are read the n-th time."""

    shape, dtype = ROWS.shape, ROWS.dtype

    def __init__(self, at=np.inf):
        self.reads, self.at = 0, at

    def __getitem__(self, rows):
        self.reads += 1
        if self.reads == self.at:
            _thread.interrupt_main()
            time.sleep(0.2)
        return ROWS[rows]


CHOSEN = {"gradient": "taylor", "preconditioner": "laplace", "step_size": None}
CHOSEN |= {"steps_per_draw": None}


@pytest.fixture(scope="module")
def reads():
    """Return how often all choices read the source."""
    source = Interrupts()
    make(source, **CHOSEN)
    return source.reads


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_an_interrupt_while_settings_are_chosen(share, reads):
    assert reads > 20
    source = Interrupts(at=max(1, round(share * reads)))
    with pytest.raises(KeyboardInterrupt):
        make(source, **CHOSEN)
    assert source.reads < reads


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_iterator_that_ends_badly(error, tmp_path):
    def batches():
        yield ROWS[:100]
        raise error("here")

    with pytest.raises(error, match=r"here"):
        sources.batches(batches, ROWS.shape, folder=str(tmp_path))
    gc.collect()
    assert os.listdir(tmp_path) == []


# threads


def test_threads_end(mapped):
    """And nothing of a run is in the next one, or in a pickle."""
    path, step, of = mapped
    np.save(path, ROWS)
    first = sample(step, of, draws=200, cores=1)
    assert wait_for(lambda: not reading())
    second = sample(step, of, draws=200, cores=1)
    assert np.array_equal(first.posterior["mean"], second.posterior["mean"])
    copy, point = pickle.loads(pickle.dumps(step)), of.initial_point()
    for each in (step, copy):
        each.setup_chain(np.random.default_rng(3), 0, 9)
    assert [step.step(point)[0] for _ in range(5)] == [copy.step(point)[0] for _ in range(5)]
    reads = weakref.ref(copy._transition.run)
    del copy, each
    gc.collect()
    assert reads() is None  # no thread holds it
    assert wait_for(lambda: not reading())
