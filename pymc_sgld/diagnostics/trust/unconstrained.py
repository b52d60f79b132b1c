"""The draws of a result in the unconstrained space of its model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from pymc.blocking import PointType
from pymc.model import Model
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace

from pymc_sgld.backends.backend import NUMPY, Backend
from pymc_sgld.backends.numpy_mode import run_by_numpy
from pymc_sgld.compiled.threads import one_thread
from pymc_sgld.diagnostics.matching import (
    FROM_PYMC,
    SAMPLE_DIMENSIONS,
    labels_of,
    require_numbers,
    shorten,
)
from pymc_sgld.diagnostics.trust.whitened import Array
from pymc_sgld.errors import SettingError
from pymc_sgld.minibatch.checks.initial_point import Where
from pymc_sgld.minibatch.graph.named_dimensions import lower
from pymc_sgld.minibatch.groups.find import Factor, FactorSearch
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.minibatch.placing import places_of
from pymc_sgld.minibatch.position import Coordinates
from pymc_sgld.sources.source import Source

GRADIENTS = "diagnose by the gradients of the model"
"""What draws are read for, in words."""

LAST_DRAW = Where(
    "the last draw of idata",
    "these draws cannot be used.",
    "draws that the data contradict: pass the model that was sampled, with its data as they were.",
)


class Coordinate(NamedTuple):
    """One unconstrained coordinate."""

    label: str  # ``beta[0]``, or ``sigma_log__`` on a transformed scale
    # label of the parameter that it is, up to a transform of this one number; else empty
    parameter: str


class Draws:
    """The draws of a result as points of a model.

    ``placing``: where the run placed the terms of the model: the sum is the same, the rows are not.

    Attributes
    ----------
    points : dict
        Of each value variable, an array of shape (chain, draw, ...). Those that are integrated out
        are left out.
    moved : list of Variable
        The continuous value variables among them.
    coordinates : list of Coordinate
        All their entries, in order.
    """

    def __init__(
        self,
        posterior: xr.Dataset,
        model: Model,
        sources: Mapping[str, Source] | None = None,
        placing: int = 0,
        integrated: Collection[str] = (),
        purpose: str = GRADIENTS,
    ) -> None:
        self.sources, self.placing, self.integrated = sources or {}, placing, integrated
        wanted = [rv for rv in model.free_RVs if rv.name not in integrated]
        missing = [rv.name for rv in wanted if rv.name not in posterior]
        if missing:
            raise SettingError(
                f"cannot {purpose}: {shorten(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} not in the posterior of idata, which has "
                f"{shorten(list(posterior.data_vars))}. Pass the model that was sampled, and all "
                f"its free variables{', or leave model out' if purpose == GRADIENTS else ''}."
            )
        self.model, self.posterior, self.purpose = model, posterior, purpose
        self.start = model.initial_point()
        self.points = _unconstrain(posterior, model, wanted, purpose)
        _check_shapes(self.points, self.start, purpose)
        self.moved: list[Variable] = [
            value for value in model.continuous_value_vars if value.name in self.points
        ]
        if not self.moved:
            rest = "Use the functions of PyMC and ArviZ instead"
            raise SettingError(
                f"cannot {purpose}: all free variables of the model are discrete. "
                f"{'Leave model out' if purpose == GRADIENTS else rest}."
            )
        self.coordinates = [
            coordinate
            for value in self.moved
            for coordinate in self._coordinates_of(value, posterior)
        ]

    @classmethod
    def of_run(
        cls,
        posterior: xr.Dataset,
        model: Model,
        sources: Mapping[str, Source],
        placing: int,
        purpose: str = GRADIENTS,
    ) -> Draws:
        """Return the draws of a run, with the effects of groups that it lacks integrated out."""
        absent = _absent_effects(posterior, model, sources, placing, purpose)
        return cls(posterior, model, sources, placing, absent, purpose)

    @property
    def shape(self) -> tuple[int, int]:
        """Return the numbers of chains and of draws."""
        return next(iter(self.points.values())).shape[:2]

    @property
    def position(self) -> Array:
        """Return the unconstrained coordinates of all draws, shape (chain, draw, d)."""
        return self._together([value.name for value in self.moved])

    def at(self, coordinates: Iterable[Coordinates]) -> Array:
        """Return the draws of some variables of a position, shape (chain, draw, d)."""
        return self._together([c.value_name for c in coordinates])

    def _together(self, names: Iterable[str]) -> Array:
        pieces = [self.points[name].reshape(*self.shape, -1) for name in names]
        return np.concatenate(pieces, axis=2).astype(float)

    def labels_at(self, coordinates: Iterable[Coordinates]) -> list[str]:
        """Return labels of the entries of `at`: those of parameters where they are one."""
        own = {v.name: [*self._coordinates_of(v, self.posterior)] for v in self.moved}
        return [each.parameter or each.label for c in coordinates for each in own[c.value_name]]

    def check_finite(self, purpose: str) -> None:
        """Refuse draws that are not finite in the unconstrained space."""
        bad = ~np.isfinite(self.position).all(axis=(0, 1))
        if bad.any():
            some = [c.label for c, is_bad in zip(self.coordinates, bad, strict=True) if is_bad]
            raise SettingError(
                f"cannot {purpose}: draws of {shorten(some)} are not finite, or lie on the edge of "
                "their support."
            )

    def point(self, chain: int, draw: int) -> PointType:
        """Return one draw as a point of the model, what is integrated out as it starts."""
        return self.start | {name: values[chain, draw] for name, values in self.points.items()}

    def values(self, variables: Mapping[str, Variable], chain: int, draw: int) -> list[np.ndarray]:
        """Return what some value variables are at a draw, by their names, in their own dtypes."""
        point = self.point(chain, draw)
        return [np.asarray(point[name], v.type.dtype) for name, v in variables.items()]

    def minibatcher(self, backend: Backend = NUMPY, marginalize: Any = ()) -> Minibatcher:
        """Return the model at the last draw, for batches of its rows.

        ``marginalize``: as for `Minibatcher`; by default the effects that the run integrated out.
        """
        effects = (list(self.integrated) or False) if marginalize == () else marginalize
        return Minibatcher(
            self.model,
            self.model.continuous_value_vars,
            self.point(0, -1),
            *places_of(self.model, self.placing),
            sources=self.sources,
            marginalize=effects,
            backend=backend,
            where=LAST_DRAW,
        )

    def factors(self) -> list[Factor]:
        """Return the variables with an effect for each of some groups, most groups first."""
        return _factors_of(self.minibatcher(marginalize=False))

    def _coordinates_of(self, value: Variable, posterior: xr.Dataset) -> Iterator[Coordinate]:
        variable = self.model.values_to_rvs[value]
        transform = self.model.rvs_to_transforms.get(variable)
        shape = self.points[value.name].shape[2:]
        if transform is None or transform.ndim_supp == 0:  # one number to one number
            labels = labels_of(posterior, variable.name)
            for label in labels:
                yield Coordinate(value.name + label.removeprefix(variable.name), label)
            return
        for index in np.ndindex(*shape):
            entry = f"[{', '.join(map(str, index))}]" if index else ""
            yield Coordinate(f"{value.name}{entry}", "")


def _absent_effects(
    posterior: xr.Dataset, model: Model, sources: Mapping[str, Source], placing: int, purpose: str
) -> list[str]:
    """Return the effects of groups that a posterior lacks, with those of the same groups.

    They are effects that can be integrated out: given all other variables, their distribution is
    known. The model is looked at where the last draw is, what is missing as it starts.
    """
    free = [rv.name for rv in model.free_RVs]
    missing = {name for name in free if name not in posterior}
    if not missing or len(missing) == len(free):
        return []
    start = model.initial_point()
    last = posterior.isel(chain=slice(0, 1), draw=slice(-1, None), missing_dims="ignore")
    recorded = [rv for rv in model.free_RVs if rv.name in posterior]
    points = _unconstrain(last, model, recorded, purpose)
    _check_shapes(points, start, purpose)
    finite = {name: array[0, 0] for name, array in points.items() if np.isfinite(array).all()}
    vars, places = model.continuous_value_vars, places_of(model, placing)
    rows = Minibatcher(model, vars, start | finite, *places, sources=sources, where=LAST_DRAW)
    factor = next((each for each in _factors_of(rows) if each.axes.keys() & missing), None)
    if factor is None:
        return []
    if factor.refusal is not None:
        names = shorten([name for name in free if name in factor.axes.keys() & missing])
        raise SettingError(
            f"cannot {purpose}: the posterior of idata lacks {names}, which cannot be integrated "
            f"out: {factor.refusal}. Pass a run that records all free variables of the model."
        )
    return list(factor.axes)


def _factors_of(rows: Minibatcher) -> list[Factor]:
    """Return the variables with an effect for each of some groups, those of most groups first."""
    names = [c.name for c in rows.inputs.coordinates]
    return FactorSearch(rows.terms, rows.fixed, rows.inputs.names, names).factors()


def _check_shapes(points: Mapping[str, np.ndarray], start: PointType, purpose: str) -> None:
    for name, values in points.items():
        if values.shape[2:] != np.shape(start[name]):
            raise other_shape(name, values, np.shape(start[name]), purpose)


def other_shape(name: str, values: np.ndarray, shape: object, purpose: str) -> SettingError:
    """Return the error for draws, of shape (chain, draw, ...), that have another shape."""
    return SettingError(
        f'cannot {purpose}: "{name}" has the shape {values.shape[2:]} in the posterior and {shape} '
        "in the model. Pass the model that was sampled."
    )


def _unconstrain(
    posterior: xr.Dataset, model: Model, wanted: Collection[Variable], purpose: str
) -> dict[str, np.ndarray]:
    """Return the values of some value variables at every draw."""
    values = {}
    for rv in wanted:
        require_numbers(rv.name, posterior[rv.name], "idata", FROM_PYMC)
        array = posterior[rv.name].transpose(*SAMPLE_DIMENSIONS, ...).to_numpy()
        if array.ndim - 2 != rv.type.ndim:
            shape = model.eval_rv_shapes()[rv.name]
            raise other_shape(rv.name, array, shape, purpose)
        values[rv] = array.astype(rv.type.dtype)
    transformed = [rv for rv in wanted if model.rvs_to_transforms.get(rv) is not None]
    points = {model.rvs_to_values[rv].name: array for rv, array in values.items()}
    if not transformed:
        return points
    inputs = {rv: rv.type(name=rv.name) for rv in wanted}
    outputs = [
        model.rvs_to_transforms[rv].forward(inputs[rv], *rv.owner.inputs) for rv in transformed
    ]
    outputs = lower(clone_replace(outputs, replace=inputs, rebuild_strict=False))
    function = run_by_numpy(list(inputs.values()), outputs)
    chains, draws = next(iter(values.values())).shape[:2]
    with np.errstate(all="ignore"), one_thread():
        found = [
            function(*[array[chain, draw] for array in values.values()])
            for chain in range(chains)
            for draw in range(draws)
        ]
    for rv, of_all in zip(transformed, zip(*found, strict=True), strict=True):
        array = np.array(of_all)
        points[model.rvs_to_values[rv].name] = array.reshape(chains, draws, *array.shape[1:])
    return points


def check_row_count(count: int, rows_of: Minibatcher, of_run: int | None, purpose: str) -> None:
    """Refuse a model that has not as many rows as a run read."""
    if count and of_run is not None and of_run not in _counts(count, rows_of):
        raise SettingError(
            f"cannot {purpose}: the model has {count} rows, and the run read {of_run}. Pass the "
            "model that was sampled, with its data as they were, and the sources of the run as "
            "data=."
        )


def _counts(count: int, rows_of: Minibatcher) -> Iterator[int]:
    """Give how many rows a run may have read.

    Where effects of groups are integrated out, each outcome has rows of its own; else outcomes with
    as many rows share them.
    """
    yield count
    observed = [term for term in rows_of.terms if term.kind == "observed"]
    groups = rows_of.groups
    indices = [each.index for each in _factors_of(rows_of)] if groups is None else [groups.index]
    for index in indices:
        own = [term.rows for term in observed if term.name in index]
        others = {term.rows for term in observed if term.name not in index}
        more = sum(own) - sum(set(own) - others)
        yield count + more if groups is None else count - more
