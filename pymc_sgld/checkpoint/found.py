"""What was chosen before sampling, so that a run that goes on does not search again."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pymc_sgld.batching.order import independent
from pymc_sgld.checkpoint.files import read, write
from pymc_sgld.errors import SGLDWarning, warn
from pymc_sgld.gradients import ESTIMATORS
from pymc_sgld.minibatch.blocks import BLOCK
from pymc_sgld.minibatch.density import LogDensity
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.storage.encoding import decode, encode
from pymc_sgld.tuning.estimators import slowest_order
from pymc_sgld.tuning.settings import Asked, Settings

_PLAIN = (
    *("gradient", "preconditioner", "gaussian", "step_size", "updates_apart", "center"),
    *("prediction", "doubts", "errors", "chosen"),
)
"""Attributes of `Settings` that are stored as they are."""


class Found:
    """What a step was told by its search, and what the search said.

    Parameters
    ----------
    path : Path, optional
        Of the file; without one nothing is stored.
    fingerprint : dict, optional
        Of the call.

    Attributes
    ----------
    said : list of str
        Warnings of the search.
    """

    def __init__(self, path: Path | None = None, fingerprint: dict[str, str] | None = None) -> None:
        self._path, self._fingerprint = path, fingerprint
        self._stored: Any = None
        self._arrays: dict[str, np.ndarray] = {}
        self.said: list[str] = []
        if path is not None and path.exists():
            self._stored, self._arrays = read(path)

    @property
    def fingerprint(self) -> dict[str, str] | None:
        """That of the call which made the folder; None of a new one."""
        return None if self._stored is None else self._stored["fingerprint"]

    @property
    def is_without_effects(self) -> bool:
        """Whether it is known that no effects of groups are integrated out."""
        return self._stored is not None and not self._stored["integrates_out"]

    def commit(self, settings: Settings, rows: Minibatcher, seconds: float) -> float:
        """Store what was found, and return how many seconds it took to find it."""
        if self._stored is not None:
            return self._stored["seconds"]
        if self._path is None:
            return seconds
        arrays: dict[str, np.ndarray] = {}
        density, groups = settings.density, rows.groups
        stored = [(i, t.at_center) for i, t in enumerate(density.tables) if t.at_center is not None]
        found = {name: getattr(settings, name) for name in _PLAIN} | {
            "batch_size": density.batch_size,
            "nodes": None if groups is None else (groups.nodes_each, groups.newton),
            "modes": [] if groups is None else [np.array(each.start) for each in groups.classes],
            "at_center": {i: data.whole for i, data in stored},
        }
        of_all = {
            "fingerprint": self._fingerprint,
            "seconds": seconds,
            "integrates_out": groups is not None,
            "said": self.said,
            "found": encode(found, arrays),
        }
        write(self._path, of_all, arrays)
        return seconds

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Keep the warnings of a search, to say them again."""
        if self._path is None:
            yield
            return
        caught: list[warnings.WarningMessage] = []
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                yield
        finally:  # what a search said that failed, too
            self.said += [str(w.message) for w in caught if issubclass(w.category, SGLDWarning)]
            for one in caught:
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)

    def settings(self, rows: Minibatcher, density: LogDensity, asked: Asked) -> Settings | None:
        """Return the settings that were found, and warn as the search did; None of a new folder.

        The parameters are those of `choose`.
        """
        if self._stored is None:
            return None
        for sentence in self._stored["said"]:
            warn(sentence)
        made = {"dynamics": asked.dynamics, "accumulated": independent}
        found = decode(self._stored["found"], self._arrays, made)
        if rows.groups is not None and found["nodes"] is not None:
            rows.groups.use_nodes(*found["nodes"])
            for members, modes in zip(rows.groups.classes, found["modes"], strict=True):
                members.start[:] = modes
        if rows.groups is not None or found["batch_size"] != density.batch_size:
            density = rows.density(found["batch_size"])
        at_center, center, law = found["at_center"], found["center"], found["prediction"]
        density = density.with_rows_at_center(at_center)
        if law is not None and not density.full:
            law._accumulated = slowest_order(density, asked.batching).accumulated
        goes_on = found["gradient"] == "svrg" and not density.full  # with passes over all rows
        data = FullData(rows.blocks(BLOCK), rows.backend) if goes_on else None
        estimate = ESTIMATORS[found["gradient"]](density, center, data)
        plain = {name: found[name] for name in _PLAIN}
        return Settings(density, estimate=estimate, **plain)
