"""Passes over rows that other processes share give the same numbers, to the bit."""

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import pairwise

import arviz as az
import numpy as np
import pytest

from pymc_sgld import SGLD, DataError, SettingError, certify
from pymc_sgld.backends.backend import Backend
from pymc_sgld.minibatch import blocks
from pymc_sgld.minibatch.density import Table
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.minibatch.selection.rows import Data
from pymc_sgld.sources import shared
from pymc_sgld.sources.bind import bind
from pymc_sgld.sources.source import ArraySource
from pymc_sgld.workers.executor import workers_of
from tests.distributed.conftest import COLUMNS, of_rows
from tests.distributed.sources import Deadly
from tests.graphs import QUICK

BLOCK = 500
AT = [np.full(COLUMNS, 0.2), np.full(COLUMNS, -0.1)]


@pytest.fixture(autouse=True)
def short_parts(monkeypatch):
    """Make 15 parts of the rows."""
    monkeypatch.setattr(blocks, "_PART_ROWS", 2000)


def full_data(model, data, executor=None, mode="FAST_COMPILE"):
    rows = Minibatcher(model, model.value_vars, model.initial_point(), sources=bind(data))
    return FullData(rows.blocks(BLOCK), Backend({"mode": mode}, workers_of(executor)))


def numbers(full):
    """Return all that passes give: sums over rows, Hessians, and a value of each row."""
    values, gradients = zip(*full.gradients_at(AT, []), strict=True)
    return [*values, *gradients, full.hessians(AT[0], []), full.values_of_rows(1, AT, [])]


def same(one, other):
    return all(np.array_equal(*pair) for pair in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def alone(model, files):
    """Return the numbers without other processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_PART_ROWS", 2000)
        return numbers(full_data(model, files))


def test_any_number_of_workers(cluster, client, model, files, alone):
    """And each of them takes part."""
    from distributed import get_task_stream

    for count in (1, 2, 4):
        cluster.scale(count)
        client.wait_for_workers(count)
        full = full_data(model, files, client)
        with get_task_stream(client) as stream:
            assert same(numbers(full), alone)
        parts = [task for task in stream.data if task["key"].startswith("part_of_pass")]
        assert len(parts) == 15 * 3 and len({task["worker"] for task in parts}) == count


def test_parts_do_not_depend_on_what_is_read_at_once(model, arrays, alone):
    """Sums of parts are those of all rows, up to rounding: none is left out or counted twice."""
    whole = numbers(full_data(of_rows(**arrays), None))
    for one, other in zip(alone, whole, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


@pytest.mark.parametrize(
    ("rows", "block", "chunk"),
    [(30_000, 500, 1), (30_001, 500, 1), (2400, 500, 700), (30_000, 512, 3001), (400, 400, 1)],
)
def test_parts_have_whole_blocks_and_chunks(rows, block, chunk):
    source = ArraySource(np.arange(rows))
    source.chunk = chunk
    table = Table({}, rows, block, [Data(None, source, (), by_row=True)])
    parts = blocks.parts_of(table)
    assert parts[0][0] == 0 and parts[-1][1] == rows
    assert all(one[1] == other[0] for one, other in pairwise(parts))
    assert all(first % chunk == 0 and end - first >= block for first, end in parts)
    seen = np.zeros(rows, bool)
    for start, old, end, [array] in blocks.read_blocks(table, parts):
        assert np.array_equal(array, np.arange(start, start + block)) and end == start + block
        assert seen[start : start + old].all() and not seen[start + old : end].any()
        seen[start:end] = True
    assert seen.all()


def test_a_worker_that_is_killed(client, model, files, alone, tmp_path):
    path = files["X"].filename
    deadly = {"X": Deadly(path, 11_000, tmp_path / "killed"), "y": files["y"]}
    assert same(numbers(full_data(model, deadly, client)), alone)
    assert (tmp_path / "killed").exists()


def test_what_is_found_before_sampling(client, model, files, monkeypatch):
    """By the step method, which looks at all rows first."""
    monkeypatch.setattr(blocks, "_PART_ROWS", 10_000)
    settings = {"model": model, "data": files, "compile_kwargs": {"mode": "FAST_COMPILE"}}
    one, other = SGLD(**settings), SGLD(**settings, executor=client)
    assert repr(one) == repr(other)
    for name in ("mean", "fisher_divergence", "known"):
        pair = (getattr(step._found.gaussian, name) for step in (one, other))
        np.testing.assert_equal(*pair)


def test_data_in_memory_are_sent(client, arrays, alone, monkeypatch):
    model = of_rows(**arrays)
    here = full_data(model, None)
    assert same(numbers(full_data(model, None, client)), numbers(here))
    monkeypatch.setattr(shared, "MOST_SENT", 10_000)
    with pytest.raises(SettingError, match=r"0\.0 GB in the memory .*'X'.* zarr or Parquet"):
        numbers(full_data(model, None, client))


def test_executors_of_python(model, files, arrays, alone):
    with ThreadPoolExecutor(2) as pool:
        assert same(numbers(full_data(model, files, pool)), alone)
        stored = {"X": files["X"], "y": arrays["y"]}  # an array in the place of a source
        assert same(numbers(full_data(model, stored, pool)), alone)


def test_a_process_that_is_not_replaced(model, files, tmp_path):
    deadly = {"X": Deadly(files["X"].filename, 11_000, tmp_path / "killed"), "y": files["y"]}
    with ProcessPoolExecutor(1) as pool:
        full = full_data(model, deadly, pool)
        with pytest.raises(SettingError, match=r"its kind does not replace it.*dask"):
            full.gradients(AT[0], [])


def test_rows_without_density(client, model, arrays, tmp_path):
    """The first of two is told, as it is without other processes."""
    X = arrays["X"].copy()
    X[[9000, 25_000]] = np.nan
    np.save(tmp_path / "X.npy", X)
    data = {"X": np.load(tmp_path / "X.npy", mmap_mode="r"), "y": arrays["y"]}
    told = []
    for executor in (None, client):
        with pytest.raises(DataError, match="row 9000 of data=") as error:
            SGLD(model=model, data=data, executor=executor, step_size=0.1, **QUICK)
        told.append(str(error.value))
    assert told[0] == told[1]


def test_a_file_that_workers_do_not_see(client, model, arrays, tmp_path):
    np.save(tmp_path / "X.npy", arrays["X"])
    data = {"X": np.load(tmp_path / "X.npy", mmap_mode="r"), "y": arrays["y"]}
    full = full_data(model, data, client)
    (tmp_path / "X.npy").unlink()
    with pytest.raises(DataError, match=r"on the worker at .* on storage that all of them see"):
        full.gradients(AT[0], [])


def test_certify_has_an_executor_as_well(arrays):
    model = of_rows(arrays["X"][:50], arrays["y"][:50])
    run = az.from_dict({"posterior": {"beta": np.zeros((1, 4, COLUMNS))}})
    with pytest.raises(SettingError, match="executor is a str"):
        certify(run, model, executor="tcp://scheduler:8786")


def test_memory_that_is_kept(client, model, files):
    """Else pages are new for every block, and most of the time is the system's."""
    full_data(model, files, client).gradients(AT[0], [])
    for faults in client.run(page_faults).values():
        assert faults < 1000


def page_faults():
    """Return how many new pages some arrays of 8 MB took, after the first."""
    import resource

    from pymc_sgld.workers.parts import keep_memory

    keep_memory()  # in a worker that had no part, too
    np.ones(2**20)
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for _ in range(20):
        np.ones(2**20)
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before


def test_what_is_no_executor(client, monkeypatch):
    from distributed import Client

    with pytest.raises(SettingError, match=r"executor is a str: pass a dask\.distributed\.Client"):
        workers_of("tcp://scheduler:8786")
    closed = Client(client.cluster)
    closed.close()
    with pytest.raises(SettingError, match=r"that is closed: make a new one"):
        workers_of(closed)
    monkeypatch.setattr("pymc_sgld.workers.executor.find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"pip install dask distributed"):
        workers_of(2)
