"""A cluster of processes on this machine, for all tests of a file."""

import multiprocessing

import numpy as np
import pymc as pm
import pytest

ROWS, COLUMNS = 30_000, 3


@pytest.fixture(scope="module")
def cluster():
    """Give a cluster of one process, quiet about those that die.

    Processes are copies of one that has imported what they need, which takes longer than all else.
    """
    distributed = pytest.importorskip("distributed", reason="runs a cluster")
    import dask

    multiprocessing.set_forkserver_preload(["pymc_sgld.distributed", "distributed"])
    settings = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
    with (
        dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}),
        distributed.LocalCluster(n_workers=1, **settings) as cluster,
    ):
        yield cluster


@pytest.fixture(scope="module")
def client(cluster):
    from distributed import Client

    with Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(ROWS, COLUMNS))
    y = (X @ np.arange(COLUMNS) > rng.logistic(size=ROWS)).astype("int8")
    return {"X": X, "y": y}


@pytest.fixture(scope="module")
def files(arrays, tmp_path_factory):
    """Return the rows in files, as memory maps."""
    folder = tmp_path_factory.mktemp("rows")
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in arrays}


@pytest.fixture(scope="module")
def model(arrays):
    """Return a model with a few of the rows as a template."""
    return of_rows(arrays["X"][:50], arrays["y"][:50])


def of_rows(X, y):
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=COLUMNS)
        pm.Bernoulli("y", logit_p=pm.Data("X", X) @ beta, observed=y)
    return model
