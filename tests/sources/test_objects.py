"""Rows in an object store: what is read of them, what is tried again, and what is an error."""

import multiprocessing
import os
import pickle
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLD, DataError, SettingError, sources
from pymc_sgld.checkpoint.fingerprint import fingerprint
from pymc_sgld.sources import network
from pymc_sgld.sources.bind import bind
from tests.graphs import QUICK
from tests.runs import RUN
from tests.s3 import BROKEN, BUSY, REFUSED, times

pa = pytest.importorskip("pyarrow", reason="reads Parquet")
pq = pytest.importorskip("pyarrow.parquet", reason="reads Parquet")
zarr = pytest.importorskip("zarr", reason="reads zarr")
fsspec = pytest.importorskip("fsspec", reason="reads from URLs")
obstore = pytest.importorskip("obstore", reason="another way of zarr to stores")

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
ROWS = np.random.default_rng(1).normal(1, 2, size=(3000, 4))
NAMES = ["x0", "x1", "x2", "x3"]


def write_parquet(files, path, rows, group=64):
    columns = {name: rows[:, i] for i, name in enumerate(NAMES)} | {"text": ["?" * 99] * len(rows)}
    with files.open(path, "wb") as file:
        pq.write_table(pa.table(columns), file, row_group_size=group)


@pytest.fixture
def memory(tmp_path):
    """Return a file system in memory, and a folder in it, with two Parquet files."""
    files, folder = fsspec.filesystem("memory"), str(tmp_path)
    write_parquet(files, f"{folder}/a.parquet", ROWS[:1000])
    write_parquet(files, f"{folder}/b.parquet", ROWS[1000:])
    return files, folder


@pytest.fixture(scope="module")
def bucket(s3):
    """Fill a bucket with the rows as Parquet and as zarr."""
    files = fsspec.filesystem("s3", **s3.options)
    files.mkdir("rows")
    write_parquet(files, "rows/a.parquet", ROWS[:1000])
    write_parquet(files, "rows/b.parquet", ROWS[1000:])
    array = zarr.create_array(
        "s3://rows/x.zarr",
        shape=ROWS.shape,
        chunks=(64, 4),
        dtype="f8",
        storage_options=s3.options,
    )
    array[:] = ROWS
    return s3, files


def of_parquet(s3, **settings):
    options = s3.options | settings
    return sources.parquet("s3://rows/*.parquet", NAMES, storage_options=options)


def of_zarr(s3, **settings):
    options = s3.options | settings
    return zarr.open_array("s3://rows/x.zarr", mode="r", storage_options=options)


KINDS = [of_parquet, of_zarr]
ONCE = {"config_kwargs": {"retries": {"max_attempts": 0}}}  # botocore's


def bound(given):
    return bind({"x": given})["x"]


@pytest.fixture(autouse=True)
def nothing_goes_on():
    """Wait for what was given up: its requests are not to be counted by the next test."""
    yield
    end = time.monotonic() + 10
    while any(thread.name == network.THREAD for thread in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.01)


# what is read


def test_only_the_columns_that_are_asked_for_are_read(memory, monkeypatch):
    """Of one row group, at once, and nothing of the wide column beside them."""
    files, folder = memory
    source = sources.parquet(f"memory://{folder}/a.parquet", ["x0", "x2"])
    group = pq.read_metadata(files.open(f"{folder}/a.parquet")).row_group(3)
    calls, fetch = [], type(files).cat_file

    def counted(self, path, start, end):
        calls.append(end - start)
        return fetch(self, path, start, end)

    monkeypatch.setattr(type(files), "cat_file", counted)
    monkeypatch.setattr("pymc_sgld.sources.objects._GAP", 0)
    assert np.array_equal(source[192:256], ROWS[192:256, [0, 2]])
    assert calls == [group.column(i).total_compressed_size for i in (0, 2)]


def test_a_file_with_a_dictionary_and_missing_values(tmp_path):
    files = fsspec.filesystem("memory")
    table = pa.table({"x": pa.array([1.0, None, 1.0] * 50), "k": pa.array([3, 3, 5] * 50)})
    with files.open(f"{tmp_path}/x.parquet", "wb") as file:
        pq.write_table(table, file, row_group_size=20)
    source = sources.parquet(f"memory://{tmp_path}/x.parquet", ["k", "x"])
    expected = np.tile([[3, 1], [3, np.nan], [5, 1]], (50, 1))
    assert np.array_equal(source[:], expected, equal_nan=True)


def test_the_same_rows_have_the_same_fingerprint(memory, tmp_path):
    files, folder = memory
    files.get(f"{folder}/*.parquet", folder)
    with pm.Model() as model:
        pm.Normal("x")
    here, there = (
        fingerprint({}, {}, model, bind({"x": sources.parquet(f"{where}/*.parquet", "x1")}))
        for where in (folder, f"memory://{folder}")
    )
    assert here == there


# what is an error


def test_what_cannot_be_found(memory):
    _, folder = memory
    with pytest.raises(FileNotFoundError, match=r"c\.parquet"):
        sources.parquet(f"memory://{folder}/c.parquet", "x0")
    with pytest.raises(FileNotFoundError, match=r"no object has a name like memory:.*\*\.csv"):
        sources.parquet(f"memory://{folder}/*.csv", "x0")
    with pytest.raises(SettingError, match=r"memory://.*/a\.parquet has no columns \['x9'\]"):
        sources.parquet(f"memory://{folder}/a.parquet", "x9")
    with pytest.raises(SettingError, match=r"are not in one store"):
        sources.parquet([f"memory://{folder}/a.parquet", f"file://{folder}/a.parquet"], "x0")
    with pytest.raises(SettingError, match=r"are not all URLs"):
        sources.parquet([f"memory://{folder}/a.parquet", f"{folder}/a.parquet"], "x0")
    with pytest.raises(SettingError, match=r"a path, .*zarr\.open_array, for"):
        bind({"x": f"memory://{folder}/a.parquet"})


def test_an_object_that_is_cut_or_changed(memory):
    """Here, and where it is read for the first time by another process."""
    files, folder = memory
    source = bound(sources.parquet(f"memory://{folder}/*.parquet", NAMES))
    copy = pickle.loads(pickle.dumps(source))
    write_parquet(files, f"{folder}/b.parquet", ROWS[:2000])
    for each in (source, copy):
        with pytest.raises(
            DataError,
            match=r'rows 5 to 2000 .*"x" .*b\.parquet was changed: created was .*, and is',
        ):
            each[5:2000]
        assert np.array_equal(each[5:200], ROWS[5:200])
    whole = files.cat(f"{folder}/b.parquet")
    files.pipe(f"{folder}/b.parquet", whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"b\.parquet cannot be read as Parquet: .* write it again"):
        sources.parquet(f"memory://{folder}/*.parquet", NAMES)
    files.rm(f"{folder}/b.parquet")
    with pytest.raises(DataError, match=r"rows 1500 to 1505 .* FileNotFoundError: .*b\.parquet"):
        source[1500:1505]


def test_a_chunk_that_is_lost(bucket):
    s3, files = bucket
    source = bound(of_zarr(s3))
    chunk = files.cat("rows/x.zarr/c/3/0")
    files.rm("rows/x.zarr/c/3/0")
    with pytest.raises(DataError, match=r'rows 200 to 205 of the source of "x".*ChunkNotFound'):
        source[200:205]
    files.pipe("rows/x.zarr/c/3/0", chunk[:9])
    with pytest.raises(DataError, match=r'rows 200 to 205 of the source of "x" cannot be read'):
        source[200:205]
    files.pipe("rows/x.zarr/c/3/0", chunk)
    assert np.array_equal(source[200:205], ROWS[200:205])


@pytest.mark.parametrize("make", KINDS)
def test_a_store_that_refuses(make, bucket):
    """At once: credentials do not become right by themselves."""
    s3, _ = bucket
    source = bound(make(s3))
    with s3.fault(lambda: ("403 Forbidden", REFUSED)):
        with pytest.raises(DataError, match=r"rows 5 to 9 .*PermissionError: Access Denied"):
            source[5:9]
        assert s3.gets() == 1
        if make is of_parquet:
            with pytest.raises(DataError, match=r"s3://rows/a\.parquet .*PermissionError.*options"):
                sources.parquet("s3://rows/a.parquet", "x0", storage_options=s3.options)


# what is tried again


@pytest.mark.parametrize("make", KINDS)
def test_a_store_that_is_busy_for_a_while(make, bucket):
    s3, _ = bucket
    source = bound(make(s3, **ONCE))
    with s3.fault(times(1, "500 Internal Server Error", BROKEN)):
        assert np.array_equal(source[5:9], ROWS[5:9])
        assert s3.gets() == 2


@pytest.mark.parametrize("make", KINDS)
def test_a_store_that_stays_busy(make, bucket, monkeypatch):
    """The error has the source, the rows, the attempts, and what went wrong."""
    monkeypatch.setattr(network, "PATIENCE", 4.0)
    s3, _ = bucket
    source = bound(make(s3, **ONCE))
    message = r'rows 5 to 9 of the source of "x" cannot be read: it failed for \d seconds '
    message += r"\(attempts: [2-9]\), the last time with OSError: .*It broke.* can be reached"
    with s3.fault(lambda: ("500 Internal Server Error", BROKEN)):
        with pytest.raises(DataError, match=message):
            source[5:9]


@pytest.mark.parametrize("make", KINDS)
def test_a_store_that_is_slow(make, bucket, monkeypatch):
    """The limit of the file system is kept, and an answer that comes in time is no error."""
    monkeypatch.setattr(network, "PATIENCE", 0.0)
    s3, _ = bucket
    limit = {"config_kwargs": {"read_timeout": 0.3, "retries": {"max_attempts": 0}}}
    source = bound(make(s3, **limit))
    with s3.fault(lambda: time.sleep(0.1)):
        assert np.array_equal(source[5:9], ROWS[5:9])
    left = [1.0]
    with s3.fault(lambda: time.sleep(left.pop() if left else 0)):
        assert np.array_equal(source[5:9], ROWS[5:9])
        assert s3.gets() == 2
    monkeypatch.setattr(network, "SILENCE", 1.0)
    began = time.monotonic()
    with s3.fault(lambda: time.sleep(1)):
        with pytest.raises(DataError, match=r"rows 5 to 9 .* nothing came for 1 seconds"):
            source[5:9]
    assert time.monotonic() - began < 2


def test_a_file_system_that_tries_nothing_again(bucket):
    """That of HTTP."""
    s3, files = bucket
    for path in ("a.parquet", "x.zarr/zarr.json", "x.zarr/c/0/0"):
        files.chmod(f"rows/{path}", acl="public-read")
    source = sources.parquet(f"{s3.url}/rows/a.parquet", NAMES)
    array = bound(zarr.open_array(f"{s3.url}/rows/x.zarr", mode="r"))  # which it cannot list
    for each in (source, array):
        with s3.fault(times(1, "503 Slow Down", BUSY)):
            assert np.array_equal(each[5:9], ROWS[5:9])
            assert s3.gets() == 2


# other processes


def test_obstore_after_a_fork(monkeypatch):
    """It would wait for its threads, which are in the other process, for ever."""
    store = zarr.storage.ObjectStore(obstore.store.MemoryStore())
    array = zarr.create_array(store, shape=ROWS.shape, chunks=(64, 4), dtype="f8")
    array[:] = ROWS
    source = bound(array)
    np.testing.assert_array_equal(source[:5], ROWS[:5])
    here = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: here + 1)
    with pytest.raises(DataError, match='obstore does not survive a fork: pass mp_ctx="forkserv'):
        source[:5]


def test_a_fork_in_the_middle_of_use(bucket):
    s3, _ = bucket
    both = [bound(make(s3)) for make in KINDS]
    for source in both:
        assert np.array_equal(source[990:1130], ROWS[990:1130])
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(
        1, mp_context=fork, initializer=forked.extend, initargs=(both,)
    ) as pool:
        for found in pool.map(read, range(2)):
            assert np.array_equal(found, ROWS[990:1130])


forked = []  # not pickled


def read(number):
    return forked[number][990:1130]


@pytest.fixture
def made(bucket, tmp_path):
    """Return a model, a folder, and a function that makes steps."""
    s3, files = bucket
    write_parquet(files, "rows/long.parquet", ROWS, group=500)
    source = sources.parquet("s3://rows/long.parquet", "x1", storage_options=s3.options)
    with pm.Model() as model:
        pm.Normal("x", pm.Normal("mean"), 2, observed=ROWS[:10, 1])
    settings = {"model": model, "data": {"x": source}, "batch_size": 16, "step_size": 1e-5}
    return model, tmp_path / "run", partial(SGLD, **settings, **QUICK)


@pytest.mark.parametrize(
    "method", ["fork", *(pytest.param(m, marks=pytest.mark.long) for m in ("forkserver", "spawn"))]
)
def test_chains_in_processes(method, made):
    """The same draws; and nothing of the credentials is in the folder of the run."""
    model, folder, make = made
    run = RUN | {"chains": 4}
    with model:
        there = pm.sample(step=make(checkpoint=folder), **run | {"cores": 4}, mp_ctx=method)
        here = pm.sample(step=make(), **run)
    assert here.posterior.equals(there.posterior)
    written = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert written and not any(b"not-to-be-told" in each for each in written)
