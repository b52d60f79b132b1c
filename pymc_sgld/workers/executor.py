"""Passes over rows that other processes share: those of Dask, or of an executor of Python's own.

A table of rows has parts with fixed bounds. A process gives what one part adds up to, and the
results are taken in the order of the parts: so they do not depend on the number of processes, nor
on which of them was fast, or killed.
"""

from __future__ import annotations

import os
import pickle
import uuid
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from importlib.util import find_spec
from typing import Any
from weakref import WeakKeyDictionary

import cloudpickle
from pytensor.configdefaults import config

from pymc_sgld.errors import SettingError
from pymc_sgld.minibatch.blocks import Job, Part
from pymc_sgld.sources.shared import by_value
from pymc_sgld.workers.parts import FLAGS, Sent, part_of_pass, same

_AT_ONCE = 64  # results that are asked for together


class Workers:
    """The processes of an executor of Python's own; a task that is sent has all that it needs."""

    def __init__(self, executor: Any) -> None:
        self._executor, self._process = executor, os.getpid()
        self._jobs: WeakKeyDictionary[Job, Any] = WeakKeyDictionary()

    def run(
        self, job: Job, method: str, i: int, parts: Sequence[Part], arguments: tuple[Any, ...]
    ) -> Iterator[Any]:
        """Give what a method of a job gives for each part of a table, in their order.

        Raises
        ------
        SettingError
            If processes die, or the executor is closed.
        """
        if os.getpid() != self._process:  # a fork, in which the connections do not live
            yield from getattr(job, method)(i, parts, *arguments)
            return
        if job not in self._jobs:
            flags = {name: getattr(config, name) for name in FLAGS}
            self._jobs[job] = self._keep(sent((flags, job.portable()), "the model"))
        yield from self._map(parts, self._jobs[job], self._keep(sent((method, i, arguments))))

    def _keep(self, value: Sent) -> Any:
        """Return what a task is given in the place of a value."""
        return value

    def _map(self, parts: Sequence[Part], job: Any, call: Any) -> Iterator[Any]:
        futures: list[Future] = []
        try:
            futures += [self._executor.submit(part_of_pass, *part, job, call) for part in parts]
            for future in futures:
                yield future.result()
        except BrokenExecutor as error:
            raise SettingError(
                f"a process of executor= has ended ({error}), and its kind does not replace it: "
                "make a new executor, or pass a dask.distributed.Client, which goes on."
            ) from error
        finally:
            for future in futures:
                future.cancel()


class DaskWorkers(Workers):
    """The workers of a Dask cluster. Those that are lost are replaced, or others do their part."""

    def _keep(self, value: Sent) -> Any:
        return kept(self._executor, value)

    def _map(self, parts: Sequence[Part], job: Any, call: Any) -> Iterator[Any]:
        firsts, ends = zip(*parts, strict=True)
        futures = self._executor.map(
            part_of_pass, firsts, ends, job=job, call=call, pure=False, batch_size=None
        )
        try:
            for k in range(0, len(parts), _AT_ONCE):
                yield from results(self._executor, futures[k : k + _AT_ONCE], "rows")
                futures[k : k + _AT_ONCE] = [None] * len(futures[k : k + _AT_ONCE])
        finally:
            left = [future for future in futures if future is not None]
            if left and self._executor.status == "running":
                self._executor.cancel(left)


def workers_of(executor: Any) -> Workers | None:
    """Return the workers of what the user gave; None for None.

    Raises
    ------
    SettingError
        For what is no executor, or one that is closed.
    """
    if executor is None:
        return None
    if is_client(executor):
        check_client(executor, "executor")
        return DaskWorkers(executor)
    if isinstance(executor, Executor):
        return Workers(executor)
    raise SettingError(
        f"executor is a {type(executor).__name__}: pass a dask.distributed.Client, or an executor "
        f"of concurrent.futures.{_install()}"
    )


def is_client(value: Any) -> bool:
    """Whether a value is a client of Dask, which is not imported for that."""
    kinds = [(kind.__module__.partition(".")[0], kind.__name__) for kind in type(value).__mro__]
    return ("distributed", "Client") in kinds


def check_client(client: Any, name: str) -> None:
    """Refuse what is no client of Dask that is connected."""
    if not is_client(client):
        raise SettingError(
            f"{name} is a {type(client).__name__}: pass a dask.distributed.Client.{_install()}"
        )
    if client.asynchronous:
        raise SettingError(f"{name} is a Client with asynchronous=True: pass one without.")
    if client.status != "running":
        raise SettingError(
            f"{name} is a Client that is {client.status}: make a new one, Client(address), and "
            "pass that."
        )


def _install() -> str:
    if find_spec("distributed") is not None:
        return ""
    return " Dask is not installed: pip install dask distributed."


def sent(value: Any, what: str = "an argument") -> Sent:
    """Return a pickle of a value, the data of its arrays in it, for a process anywhere."""
    try:
        with by_value():
            content = cloudpickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    except SettingError:
        raise
    except Exception as error:  # of whatever is in a model
        raise SettingError(
            f"{what} cannot be sent to workers: cloudpickle says {type(error).__name__}: {error}. "
            "Leave out of it what belongs to this process, such as open files, locks and "
            "connections."
        ) from error
    return Sent(uuid.uuid4().hex, content)


def kept(client: Any, value: Sent) -> Any:
    """Return a future of a value: a task, so that it comes again where a worker is lost."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        return client.submit(same, value, pure=False)


def results(client: Any, futures: Sequence[Any], what: str) -> list[Any]:
    """Return the results of tasks in their order, or say why there are none.

    What a task raised is raised: of several, the first in their order.
    """
    from distributed import CancelledError, KilledWorker

    try:
        with suppress(Exception):  # of the first in time
            return client.gather(list(futures))
        return [future.result() for future in futures]
    except KilledWorker as error:
        raise SettingError(
            f"the workers died that were at {what}, again and again ({error}). Most often they "
            "lack memory: give each more of it, or fewer threads; their logs say more."
        ) from error
    except CancelledError as error:
        raise SettingError(
            f"the tasks of {what} are gone ({error}): the client was closed, or the scheduler has "
            "ended. Make a new Client, and call again."
        ) from error
