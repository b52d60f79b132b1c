"""A chain on disk: its draws are committed while it runs, and replayed when it is run again.

It is the other half of a step method, and reads and sets what a step keeps for itself.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.util
import os
import time
import zlib
from contextlib import suppress
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pymc.blocking import PointType, StatsType

from pymc_sgld.chain.judge import Findings
from pymc_sgld.checkpoint.files import Lock, append, damaged, make_folder, read, write
from pymc_sgld.checkpoint.fingerprint import of_array
from pymc_sgld.checkpoint.interrupts import Interrupts
from pymc_sgld.errors import DataError, SettingError
from pymc_sgld.orphans import Parent
from pymc_sgld.storage.encoding import decode, encode

if TYPE_CHECKING:
    from pymc_sgld.step import SGLD

SHARE = 0.01  # of the time that commits may take: where one takes long there are fewer,
LONGEST = 60.0  # but the next one comes after so many seconds, whatever it takes
BLANK = {name: np.nan for name in Findings._fields} | {"untrusted": 0, "reasons": 0}
"""The verdict of a chain that is not over."""

KINDS = "stats", "own", "others"
"""What a row of a file has: stats, values of the step, and those that other steps had moved to."""


class ChainFiles:
    """What is on disk of a chain.

    Parameters
    ----------
    folder : Path
        Of the run.
    step : SGLD
        It has started the chain.
    tune, draws : int
        As it was told.
    seeded : bool
        Whether the run was given a seed.
    every : float
        Seconds between two commits.
    """

    def __init__(
        self, folder: Path, step: SGLD, tune: int, draws: int, seeded: bool, every: float
    ) -> None:
        bits = step.rng.bit_generator
        seeds: Any = bits.seed_seq
        key = getattr(seeds, "spawn_key", ())
        self._folder = folder / "-".join(["chain", *map(str, key)])
        self._name, self._every = f'"{self._folder}"', every
        self._seed = f"{type(bits).__name__}({getattr(seeds, 'entropy', None)})"
        if not seeded and not step._is_alone:
            raise SettingError(
                "checkpoint: the other step methods of this run would start with other random "
                "numbers when it is resumed, because random_seed is None: pass one to pm.sample."
            )
        make_folder(self._folder)
        self._step, self._process = step, os.getpid()
        self._parent = Parent()
        allies = [os.getpid(), getattr(multiprocessing.parent_process(), "pid", 0)]
        self._lock = Lock(self._folder / "lock", self._name, tuple(allies))
        self._length, self._pending = tune + draws, list[tuple[dict, ...]]()
        self._count = self._committed = self._checksum = 0
        self._start: str | None = None
        self._type: np.dtype | None = None
        self._stored: np.ndarray | None = None
        self._replays = 0
        self._checks_start, self._whole = True, True
        try:
            if self._states.exists():
                self._restore(tune, draws, seeded)
        except BaseException:
            self._lock.release()
            raise
        self._version = self._version_on_disk()
        self._due = time.monotonic() + every
        self.interrupts = Interrupts()
        self._at_exit = multiprocessing.util.Finalize(None, self.close, exitpriority=10)

    @property
    def _states(self) -> Path:
        return self._folder / "state.npz"

    @property
    def _draws(self) -> Path:
        return self._folder / "draws.bin"

    @property
    def _is_overtaken(self) -> bool:
        """Whether another process has put its state here since."""
        return self._version_on_disk() != self._version

    def _version_on_disk(self) -> tuple[int, int] | None:
        if not self._states.exists():
            return None
        found = self._states.stat()
        return found.st_ino, found.st_mtime_ns

    def _restore(self, tune: int, draws: int, seeded: bool) -> None:
        """Let the step go on from what is committed."""
        step = self._step
        meta, arrays = read(self._states)
        state = decode(meta["state"], arrays, {"dynamics": step.chain.noise_monitor.dynamics})
        then, count = state["chain"], meta["count"]
        if seeded and meta["seed"] != self._seed:
            raise SettingError(
                f"checkpoint: the chain {self._name} has another random_seed, which gave "
                f"{meta['seed']} and now {self._seed}: pass the same one, None if it was None, or "
                "another folder."
            )
        if then.tune != tune:
            raise SettingError(
                f"checkpoint: the chain {self._name} has tune={then.tune}, and tune={tune} now: "
                "what it was tuned to would be another. Pass the same, or another folder."
            )
        if count > tune + draws:
            raise SettingError(
                f"checkpoint: the chain {self._name} has {count - tune} draws already, and "
                f"draws={draws} now: pass as many or more, or another folder."
            )
        if meta["recorded"] != step._recorded:
            names = sorted({*meta["recorded"]} ^ {*step._recorded})
            raise SettingError(
                f"checkpoint: the chain {self._name} was made with other var_names: {names} were "
                "recorded, and are not now, or the other way round. Pass the same, or another "
                "folder."
            )
        self._type = np.dtype([(name, kind, tuple(shape)) for name, kind, shape in meta["type"]])
        try:
            self._stored = np.memmap(self._draws, self._type, "r", shape=(count,))
        except (OSError, ValueError):  # it is not there, or too short
            raise damaged(self._draws) from None
        if zlib.crc32(self._stored.view(np.uint8)) != meta["checksum"]:
            raise damaged(self._draws)
        for name, value in state.items():
            setattr(step, name, value)
        if then.draws != draws:
            names = [f"own {c.value_name}" for c in step.coordinates]
            step._extend(draws, _columns(self._stored[tune:], names))
        step.rng.bit_generator.state = decode(meta["rng"], arrays, {})
        self._replays = self._committed = count
        self._checksum, self._start = meta["checksum"], meta["start"]
        self._checks_start = meta["seed"] == self._seed

    def _part(self, draw: int, kind: str) -> dict[str, Any]:
        """Return a part of a stored draw: ``stats``, or values of its ``own`` or of ``others``."""
        assert self._stored is not None
        row, names = self._stored[draw], self._names[KINDS.index(kind)]
        return {name: np.array(row[f"{kind} {name}"]) for name in names}

    @cached_property
    def _names(self) -> list[list[str]]:
        """Names of the columns, of each kind."""
        assert self._type is not None and self._type.names is not None
        pairs = [name.split(" ", 1) for name in self._type.names]
        return [[name for of, name in pairs if of == kind] for kind in KINDS]

    @property
    def is_over(self) -> bool:
        """Whether there was the last draw."""
        return self._count == self._length

    def replayed(self, step: SGLD, point: PointType) -> tuple[PointType, StatsType] | None:
        """Return the committed draw that is next, or None after the last."""
        if not self._count:
            self._check_start(step, point)
        if self._count >= self._replays:
            return None
        draw = self._count
        for name, value in self._part(draw, "others").items():
            if not _same(value, point[name]):
                raise SettingError(
                    f'checkpoint: "{name}", which another step method samples, is not what it was '
                    f"at draw {draw} of {self._name}: it does not repeat its draws with the same "
                    "random_seed, and a run with it cannot be resumed."
                )
        told = {name: value.item() for name, value in self._part(draw, "stats").items()}
        stats = step._settings | told | {"warning": None}
        self._count += 1
        if self.is_over:
            stats |= step._verdict()
        return point | self._part(draw, "own"), [stats]

    def _check_start(self, step: SGLD, point: PointType) -> None:
        start = of_array(step._inputs(point)[0])
        if self._start is None:
            self._start = start
        elif self._checks_start and start != self._start:
            raise SettingError(
                f"checkpoint: the chain {self._name} started from another point: pass the same "
                "initvals to pm.sample, or another folder."
            )

    def drawn(self, step: SGLD, point: PointType) -> tuple[PointType, StatsType]:
        """Make a draw, and commit it if it is time."""
        self._whole = False
        new, stats = step._advance(point)
        told = stats[0] | BLANK if step.chain.is_over else stats[0]  # the end may be another
        if self._type is None:
            self._type = self._type_of(step, new)
        copies = {name: np.array(point[name]) for name in self._names[2]}  # others change theirs
        self._pending.append((told, new, copies))
        self._count += 1
        if self.is_over or time.monotonic() >= self._due:
            self._commit()
        self._whole = True
        return new, stats

    def _type_of(self, step: SGLD, point: PointType) -> np.dtype:
        """Return the type of a row of the file: the stats, and values of the step and of others."""
        kinds = step.stats_dtypes_shapes
        moving = [name for name in kinds if name not in {*step._settings, "warning"}]
        columns = [(f"stats {name}", kinds[name][0], ()) for name in moving]
        others = point.keys() - {value.name for value in step.vars}
        for kind, names in zip(KINDS[1:], (step._recorded, sorted(others)), strict=True):
            values = [(name, np.asarray(point[name])) for name in names]
            columns += [(f"{kind} {name}", value.dtype, value.shape) for name, value in values]
        return np.dtype(columns)

    def _commit(self) -> None:
        """Append the draws since the last commit, then put the state in the place of the last."""
        if not self._pending or self._parent.is_gone:  # then another run may have been started
            return
        assert self._type is not None
        began, step = time.monotonic(), self._step
        if self._is_overtaken:
            raise SettingError(
                f"checkpoint: another run has gone on with the chain {self._name}, while this one "
                "was at it: this one ends here."
            )
        rows = np.empty(len(self._pending), self._type)
        for kind, names, parts in zip(KINDS, self._names, zip(*self._pending), strict=True):
            for name in names:
                rows[f"{kind} {name}"] = [part[name] for part in parts]
        content = rows.tobytes()
        append(self._draws, self._committed * self._type.itemsize, content)
        arrays: dict[str, np.ndarray] = {}
        checksum = zlib.crc32(content, self._checksum)
        kept = {field.name for field in fields(step._state_class) if not field.metadata} - {"rng"}
        meta = {
            "count": self._count,
            "checksum": checksum,
            "type": [
                (name, self._type[name].base.str, self._type[name].shape)
                for name in self._type.names or ()
            ],
            "seed": self._seed,
            "start": self._start,
            "recorded": step._recorded,
            "rng": encode(step.rng.bit_generator.state, arrays),
            "state": encode({name: getattr(step, name) for name in sorted(kept)}, arrays),
        }
        write(self._states, meta, arrays)
        self._committed, self._checksum = self._count, checksum
        self._pending.clear()
        self._version = self._version_on_disk()
        now = time.monotonic()
        self._due = now + max(self._every, min((now - began) / SHARE, LONGEST))

    def close(self) -> None:
        """Commit what is whole, and release the lock."""
        self._at_exit.cancel()
        self.interrupts.release()
        try:
            if self._whole and self._process == os.getpid() and not self._is_overtaken:
                self._commit()
        finally:
            self._lock.release()


def count_of(states: Path) -> int:
    """Return how many draws a chain has committed, for one who only looks; 0 if none is known."""
    with suppress(OSError, DataError):
        return read(states)[0]["count"]
    return 0


def _columns(rows: np.ndarray, names: list[str]) -> np.ndarray:
    """Return columns of a structured array side by side, shape (rows, entries)."""
    return np.concatenate([rows[name].reshape((len(rows), -1)) for name in names], axis=1)


def _same(one: np.ndarray, other: Any) -> bool:
    other = np.asarray(other)
    return one.dtype == other.dtype and one.tobytes() == other.tobytes()
