"""A chain as a task of a worker: it goes on from what is committed, and ends if unwanted."""

from __future__ import annotations

import pickle
import platform
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import xarray as xr

from pymc_sgld.errors import SettingError
from pymc_sgld.workers.parts import Sent, keep_memory

_EVERY = 1.0  # seconds between two looks


def run_chain(
    run: Sent, place: int, seed: int | list[int], arguments: Mapping[str, Any]
) -> dict[str, xr.Dataset]:
    """Sample one chain of a run with ``pm.sample``, and return the groups of its result.

    Those that are alike for all chains come with the first one.

    Parameters
    ----------
    run : Sent
        The model and the step.
    place : int
        Of the chain in the run.
    seed : int or list of int
        Of the run: ``pm.sample`` gives the chain at this place the numbers that it has here.
    arguments : dict
        Of ``pm.sample``.
    """
    keep_memory()
    model, step = pickle.loads(run.content)
    settings = step._checkpoint.folder / "settings.npz"
    if not settings.exists():
        raise SettingError(
            f'the worker at {platform.node()} does not see "{settings}": the folder of a '
            "checkpoint must be on storage that this process and all workers share."
        )
    seeds = np.random.SeedSequence(seed, n_children_spawned=place)
    try:
        with model:
            result = pm.sample(
                step=step,
                chains=1,
                cores=1,
                random_seed=np.random.Generator(np.random.PCG64(seeds)),
                callback=_Wanted(),
                progressbar=False,
                quiet=True,
                compute_convergence_checks=False,
                keep_warning_stat=True,
                **arguments,
            )
    finally:
        step._checkpoint.close()
    found = {name: group.to_dataset().load() for name, group in result.children.items()}
    of_chain = {name: group for name, group in found.items() if "chain" in group.dims}
    of_chain = {name: group.assign_coords(chain=[place]) for name, group in of_chain.items()}
    return of_chain if place else found | of_chain


class _Wanted:
    """Interrupts a chain whose task was cancelled: Dask leaves the thread of a task alone."""

    def __init__(self) -> None:
        from distributed import get_worker

        worker = get_worker()
        self._tasks, self._key = worker.state.tasks, worker.get_current_task()
        self._due = 0.0

    def __call__(self, trace: Any, draw: Any) -> None:
        """Look, once a second."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _EVERY
        task = self._tasks.get(self._key)
        if task is None or task.state == "cancelled":
            raise KeyboardInterrupt
