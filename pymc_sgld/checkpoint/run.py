"""The folder of a run: what was found before sampling, and a folder for each chain."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymc.blocking import PointType, StatsType
from pymc.model import Model

from pymc_sgld.checkpoint.chain import ChainFiles, count_of
from pymc_sgld.checkpoint.files import Lock, make_folder
from pymc_sgld.checkpoint.fingerprint import differences, fingerprint
from pymc_sgld.checkpoint.found import Found
from pymc_sgld.errors import SettingError
from pymc_sgld.recorded import argument_of_run
from pymc_sgld.sources.source import Source

if TYPE_CHECKING:
    from pymc_sgld.step import SGLD

EVERY = 5.0  # seconds between two commits
_OWN_FILES = {"settings.npz", "settings.new", "lock"}


def committed(folder: Path, chains: int) -> list[int]:
    """Return how many draws of each chain of a run are on disk, tuning included."""
    return [count_of(folder / f"chain-{k}" / "state.npz") for k in range(chains)]


class Checkpoint:
    """The folder of a run, and in it the chain that this process is at.

    ``settings.npz`` is what was found before sampling. Each chain has a folder of its own, named
    after the place of its seed: its draws are appended to ``draws.bin``, and then ``state.npz``,
    with their number, replaces the one before. What is behind that number does not count.

    Parameters
    ----------
    folder : str or Path
        Is made if it is not there.
    """

    def __init__(self, folder: Any) -> None:
        try:
            self.folder = Path(folder).expanduser().absolute()
        except TypeError:
            raise SettingError(
                f"checkpoint is a {type(folder).__name__}: pass the path of a folder, or None."
            ) from None
        self.every = EVERY
        self._seed: Any = 0  # what pm.sample was given: anything but None, without it
        self._chain: ChainFiles | None = None

    def __getstate__(self) -> dict[str, Any]:
        # a pickle is made where the run begins, and leaves it behind
        seed = argument_of_run("random_seed", self._seed)
        return self.__dict__ | {"_chain": None, "_seed": seed is not None or None}

    @contextmanager
    def setup(
        self,
        described: Mapping[str, str],
        arguments: Mapping[str, Any],
        model: Model,
        sources: Mapping[str, Source],
    ) -> Iterator[Found]:
        """Give what was found for this call, or what keeps what will be.

        The parameters are those of `fingerprint`.

        Raises
        ------
        SettingError
            For the folder of another call, with what differs; for one that is no checkpoint, and
            where another run is at work.
        """
        make_folder(self.folder)
        settings, place = self.folder / "settings.npz", f'"{self.folder}"'
        others = {path.name for path in self.folder.iterdir()} - _OWN_FILES
        if others and not settings.exists():
            raise SettingError(
                f"checkpoint: {place} has other files ({', '.join(sorted(others)[:3])}) and no "
                "settings.npz: pass an empty folder, or one that does not exist."
            )
        with Lock(self.folder / "lock", f"the settings in {place}", (os.getpid(),)):
            call = fingerprint(described, arguments, model, sources)
            found = Found(settings, call)
            if found.fingerprint is not None:
                different = differences(found.fingerprint, call)
                if different:
                    raise SettingError(
                        f"checkpoint: {place} is the run of another call. What differs: "
                        f"{'; '.join(different)}. Nothing was changed: make the same call again to "
                        "go on with that run, or pass another folder."
                    )
            yield found

    def begin(self, step: SGLD, tune: int, draws: int) -> None:
        """Take up the chain that ``step`` was told to start: from its last commit, if there is one.

        Raises
        ------
        SettingError
            For another seed, or another ``tune``, or fewer draws than there are; where another run
            is at work.
        """
        self.close()
        seed = argument_of_run("random_seed", self._seed)
        self._chain = ChainFiles(self.folder, step, tune, draws, seed is not None, self.every)

    def step(self, step: SGLD, point: PointType) -> tuple[PointType, StatsType]:
        """Return the next draw: the committed one, or a new one."""
        chain = self._chain
        if chain is None:  # the step is used without a run
            return step._advance(point)
        try:
            found = chain.replayed(step, point)
            if found is None:
                with chain.interrupts:
                    found = chain.drawn(step, point)
            if chain.is_over:
                self.close()
            return found
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Commit what can be, and let others have the chain."""
        chain, self._chain = self._chain, None
        if chain is not None:
            chain.close()
