"""Data in memory that workers map: pickles are handles, and nothing stays behind."""

import gc
import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor

import cloudpickle
import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLD, DataError
from pymc_sgld.sources import shared
from pymc_sgld.sources.shared import Shared
from tests.graphs import QUICK

VALUES = np.arange(20_000.0).reshape(4, 5000)


@pytest.fixture(params=[True, False], ids=["nameless", "named"])
def segments(request, monkeypatch, nameless):
    """Return the names of the segments of either kind that are there."""
    if request.param and not shared.NAMELESS:
        pytest.skip("files without a name are Linux's")
    monkeypatch.setattr(shared, "NAMELESS", request.param)
    return nameless if request.param else lambda: sorted(os.listdir("/dev/shm"))


def total_of(array):
    return float(array.array.sum())


def test_another_process_maps_the_same_memory(segments):
    gc.collect()
    before = segments()
    array = Shared.of(VALUES)
    assert len(pickle.dumps(array)) < 500
    copy = pickle.loads(pickle.dumps(array))
    array.array[0, 0] = 7.0
    assert copy.array[0, 0] == 7.0  # no copy
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        found = [pool.submit(total_of, each) for each in (array, copy)]
        assert [each.result() for each in found] == [VALUES.sum() + 7.0] * 2
    assert segments() != before
    view = copy.array[1]
    del array, copy, pool, found
    gc.collect()
    assert (view == VALUES[1]).all()  # the last array keeps the memory
    del view
    assert segments() == before


@pytest.mark.parametrize("named", [False, True])
def test_a_file_takes_what_does_not_fit_into_memory(named, tmp_path, monkeypatch):
    monkeypatch.setattr(shared, "NAMELESS", not named)
    array = Shared((4, 5000), np.dtype("float64"), str(tmp_path))
    array.array[:] = VALUES
    copy = pickle.loads(pickle.dumps(array))
    assert (copy.array == VALUES).all()
    assert len(os.listdir(tmp_path)) == named  # the other has no name already
    del array, copy
    gc.collect()
    assert os.listdir(tmp_path) == []


def test_a_handle_outlives_its_memory(segments):
    handle = pickle.dumps(Shared.of(VALUES))
    gc.collect()
    others = [os.open("/dev/null", os.O_RDONLY) for _ in range(3)]  # these numbers are taken again
    with pytest.raises(DataError, match="which has ended"):
        pickle.loads(handle)
    for descriptor in others:
        os.close(descriptor)


@pytest.fixture(params=[16, 1_250_000], ids=["batches", "all rows"])
def large(request):
    """Return a step with 100 MB of data, and a point of its model."""
    data = np.random.default_rng(1).normal(size=(1_250_000, 10)).astype("float64")
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=9)
        pm.Normal("y", pm.Data("X", data[:, 1:]) @ beta, 1, observed=data[:, 0].copy())
        step = SGLD(batch_size=request.param, step_size=1e-9, audit=False, **QUICK)
    return step, model.initial_point()


def test_the_pickle_of_a_step_holds_no_data(large):
    step, point = large
    step.step(point)  # the order of an epoch is none of it either
    pickled = cloudpickle.dumps(step)
    assert len(pickled) < 1_000_000
    copy = cloudpickle.loads(pickled)
    expected, found = step.step(point)[0], copy.step(point)[0]
    assert all(np.array_equal(found[name], value) for name, value in expected.items())


def test_chains_in_forkserver_workers(nameless):
    """The same draws, and no memory left."""
    rng = np.random.default_rng(1)
    before = nameless()
    with pm.Model():
        mean = pm.Normal("mean")
        pm.Normal("y", mean, 1, observed=rng.normal(size=20_000))
        step = SGLD(batch_size=16, step_size=1e-6, steps_per_draw=2, **QUICK)
        run = {"draws": 2, "tune": 0, "chains": 2, "step": step, "random_seed": 1}
        run |= {"progressbar": False, "quiet": True, "compute_convergence_checks": False}
        here = pm.sample(cores=1, **run)
        there = pm.sample(cores=2, mp_ctx="forkserver", **run)
    assert np.array_equal(here.posterior["mean"], there.posterior["mean"])
    assert len(np.unique(here.posterior["mean"])) == 4
    assert len(nameless()) > len(before)
    del step, run
    gc.collect()
    assert nameless() == before
