"""What a step found before sampling, for another step that need not search."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pymc.model import Model

from pymc_sgld.errors import DataError, SettingError
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.storage import files
from pymc_sgld.storage.encoding import decode, encode, register
from pymc_sgld.tuning.posterior.variational import Gaussian
from pymc_sgld.tuning.settings import Chosen
from pymc_sgld.version import __version__

HOLDS, FORMAT = "settings of a step of pymc_sgld", 1
NOTHING = (
    "this step looked for nothing before sampling, because its preconditioner and step_size were "
    "given: there is nothing to save or to take over."
)


@register
class Variable(NamedTuple):
    """A variable that a step moves, as it has to be again."""

    name: str
    value_name: str  # tells the transform
    shape: tuple[int, ...]
    dims: tuple[str | None, ...] | None  # None where it has none


@register
@dataclass(frozen=True)
class Earlier:
    """What was found before sampling, and of which variables."""

    variables: list[Variable]  # in the order of the position
    effects: list[str]  # of groups, that were integrated out
    nodes: tuple[int, int] | None  # of the quadrature over them, and steps of Newton's method
    gaussian: Gaussian | None  # of the posterior; None where nothing was looked for
    chosen: Chosen | None  # by the noise of gradients

    @classmethod
    def of(
        cls, model: Model, rows: Minibatcher, gaussian: Gaussian | None, chosen: Chosen | None
    ) -> Earlier:
        """Return what a step found."""
        groups = rows.groups
        return cls(
            _variables(model, rows),
            [] if groups is None else [effect.name for effect in groups.effects],
            None if groups is None else (groups.nodes_each, groups.newton),
            gaussian,
            chosen,
        )

    @classmethod
    def read(cls, path: Any) -> Earlier:
        """Return what was saved.

        Raises
        ------
        DataError
            For a file that is none of `write`, or damaged, and one that is not there.
        SettingError
            For one that another version of the package saved otherwise, and for what is no path.
        """
        place = _place(path, "settings", _STEP_OR_FILE)
        if place.is_dir():
            raise DataError(f'settings: "{path}" is a folder: pass the file that step.save made.')
        try:
            meta, arrays = files.read(place)
        except OSError as error:
            raise DataError(
                f'settings: cannot read "{path}": {error.strerror or error}. Pass a file that '
                "step.save made, or leave it out."
            ) from None
        except files.NotWhole:
            meta, arrays = {}, {}
        if not isinstance(meta, dict) or meta.get("holds") != HOLDS:
            raise DataError(
                f'settings: "{path}" is damaged, or no file that step.save made: pass another one, '
                "or leave it out, and the posterior is searched."
            )
        if meta["format"] != FORMAT:
            raise SettingError(
                f'settings: "{path}" was saved by pymc_sgld {meta["version"]} in another format '
                f"than that of {__version__}, which is at work: leave it out, and save again."
            )
        return decode(meta["found"], arrays, {})

    def write(self, path: Any) -> None:
        """Save it in the place of what is there, if anything is."""
        place = _place(path, "path", "that of the file to be made.")
        if self.gaussian is None:
            raise SettingError(NOTHING)
        arrays: dict[str, Any] = {}
        meta = {"holds": HOLDS, "format": FORMAT, "version": __version__}
        meta["found"] = encode(self, arrays)
        beside = place.with_name(f"{place.name}.{os.getpid()}.new")
        try:
            files.write(place, beside, meta, arrays)
        except OSError as error:
            raise DataError(
                f'cannot save to "{path}": {error.strerror or error}. What was there is as it '
                "was: pass another path."
            ) from error

    def check(self, model: Model, rows: Minibatcher) -> None:
        """Refuse another model, with what differs."""
        now = Earlier.of(model, rows, None, None)
        different = _different(self.variables, now.variables)
        if different:
            if self.effects != now.effects:
                then, here = ("none" if not e else str(e) for e in (self.effects, now.effects))
                different.append(
                    f"effects that are integrated out: {then} there, {here} here (marginalize=)"
                )
            raise SettingError(
                f"settings: they are of another model. What differs: {'; '.join(different)}. Leave "
                "settings= out, and the posterior is searched."
            )

    def prepare(self, rows: Minibatcher) -> None:
        """Let effects of groups be integrated over as they were."""
        groups, effects = rows.groups, rows.effects
        if groups is None or effects is None or effects.normal or self.nodes is None:
            return
        assert self.gaussian is not None
        if self.nodes[0] > 1:
            groups.use_nodes(*self.nodes)
        mean = self.gaussian.mean.astype(rows.inputs.position.dtype)
        effects.settle(mean, rows.values_of_others)


_STEP_OR_FILE = (
    "a step, or the path of a file that step.save made. (A result has draws, which tell the "
    "covariance of many coordinates only roughly, and no center.)"
)


def _place(path: Any, argument: str, wanted: str) -> Path:
    try:
        return Path(path).expanduser().absolute()
    except TypeError:
        kind = type(path).__name__
        raise SettingError(f"{argument} is of type {kind}: pass {wanted}") from None


def _variables(model: Model, rows: Minibatcher) -> list[Variable]:
    dims = model.named_vars_to_dims
    return [
        Variable(c.name, c.value_name, c.shape, tuple(dims[c.name]) if c.name in dims else None)
        for c in rows.inputs.coordinates
    ]


def _different(there: Sequence[Variable], here: Sequence[Variable]) -> list[str]:
    """Return how variables differ, in words."""
    then, now = ({v.name: v for v in each} for each in (there, here))
    found = [f'"{name}" is not here' for name in then if name not in now]
    found += [f'"{name}" is not there' for name in now if name not in then]
    for name in (name for name in then if name in now):
        old, new = then[name], now[name]
        if old.value_name != new.value_name:
            found.append(f'"{name}" is "{old.value_name}" there and "{new.value_name}" here')
        if old.shape != new.shape:
            found.append(f'"{name}" has the shape {old.shape} there and {new.shape} here')
        elif None not in (old.dims, new.dims) and old.dims != new.dims:
            found.append(f'"{name}" has the dims {old.dims} there and {new.dims} here')
    if not found and list(then) != list(now):
        found.append(f"the order of vars, {list(then)} there and {list(now)} here")
    return found
