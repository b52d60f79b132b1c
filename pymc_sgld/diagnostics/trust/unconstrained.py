"""The draws of a result in the unconstrained space of its model, and gradients there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pytensor
import xarray as xr
from pymc.blocking import PointType
from pymc.model import Model
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace

from pymc_sgld.backends.backend import NUMPY, Backend
from pymc_sgld.backends.numpy_mode import QUICK
from pymc_sgld.compiled.threads import one_thread
from pymc_sgld.diagnostics.matching import SAMPLE_DIMENSIONS, labels_of, shorten
from pymc_sgld.diagnostics.trust.whitened import DRAWS_A_COORDINATE, LARGEST_SIZE, Array, Sample
from pymc_sgld.errors import MinibatchError, SettingError
from pymc_sgld.minibatch.blocks import BLOCK
from pymc_sgld.minibatch.density import LogDensity
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.graph.named_dimensions import lower
from pymc_sgld.minibatch.groups.find import Factor, Search
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.minibatch.placing import places_of
from pymc_sgld.progress import progress
from pymc_sgld.sources.source import Source
from pymc_sgld.tuning.importance.expansion import FEW, PARTS, Expansion
from pymc_sgld.tuning.importance.weighted import FEWEST_ROWS
from pymc_sgld.tuning.posterior.covariance import FULL_SIZE, Full
from pymc_sgld.tuning.posterior.variational import Gaussian

FEWEST, MOST = 400, 2000
"""Gradients that are computed, where nothing is said and there are as many draws."""

ENTRIES = 2e9
"""Numbers of the data that these gradients may read."""

GRADIENTS = "diagnose by the gradients of the model"
"""What draws are read for, in words."""

JUDGED_AT, ROWS_ERROR = 8, 0.02
"""Draws where gradients from few rows are judged, and what they may be off by, in sds of a mean."""

NODES = {1: 9, 2: 7}
"""Of the integral over one or two effects of a group, along each, where one is not exact."""

NEAR, NEWTON = 0.1, 4
"""Standard deviations from the modes of effects at the mean, and steps from there to others."""


class Coordinate(NamedTuple):
    """One unconstrained coordinate.

    Attributes
    ----------
    label : str
        ``beta[0]``, or ``sigma_log__`` on a transformed scale.
    parameter : str
        Label of the parameter that it is, up to a transform of this one number; else empty.
    """

    label: str
    parameter: str


class Draws:
    """The draws of a result as points of a model.

    Parameters
    ----------
    posterior : Dataset
        With every free variable of the model, but for those that are integrated out.
    model : Model
        The model that was sampled.
    sources : dict, optional
        The rows of data that the model has a few of.
    placing : int
        Where the run placed the terms of the model: the sum is the same, the rows are not.
    integrated : collection of str
        Effects of groups that are integrated out.
    purpose : str
        What the draws are read for, for errors.

    Attributes
    ----------
    points : dict
        Of each value variable, an array of shape (chain, draw, ...). Those that are integrated out
        are left out.
    moved : list of Variable
        The continuous value variables among them.
    coordinates : list of Coordinate
        All their entries, in order.

    Raises
    ------
    SettingError
        If a variable is missing in the posterior or has another shape.
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
        self.model = model
        self.start = model.initial_point()
        self.points = _unconstrain(posterior, model, wanted, purpose)
        _check_shapes(self.points, self.start, purpose)
        self.moved: list[Variable] = [
            value for value in model.continuous_value_vars if value.name in self.points
        ]
        if not self.moved:
            raise SettingError(
                f"cannot {purpose}: the model has no continuous free variable. Leave model out."
            )
        self.coordinates = [
            coordinate
            for value in self.moved
            for coordinate in self._coordinates_of(value, posterior)
        ]

    @property
    def shape(self) -> tuple[int, int]:
        """Return the numbers of chains and of draws."""
        return next(iter(self.points.values())).shape[:2]

    @property
    def position(self) -> Array:
        """Return the unconstrained coordinates of all draws, shape (chain, draw, d)."""
        pieces = [self.points[value.name].reshape(*self.shape, -1) for value in self.moved]
        return np.concatenate(pieces, axis=2).astype(float)

    def point(self, chain: int, draw: int) -> PointType:
        """Return one draw as a point of the model, what is integrated out as it starts."""
        return self.start | {name: values[chain, draw] for name, values in self.points.items()}

    def minibatcher(self, backend: Backend = NUMPY) -> Minibatcher:
        """Return the model at the last draw, for batches of its rows."""
        return Minibatcher(
            self.model,
            self.model.continuous_value_vars,
            self.point(0, -1),
            *places_of(self.model, self.placing),
            sources=self.sources,
            marginalize=list(self.integrated) or False,
            backend=backend,
        )

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


def absent_effects(
    posterior: xr.Dataset,
    model: Model,
    sources: Mapping[str, Source] | None = None,
    placing: int = 0,
    purpose: str = GRADIENTS,
) -> list[str]:
    """Return the effects of groups that a posterior lacks, with those of the same groups.

    They are effects that can be integrated out: given all other variables, their distribution is
    known.

    Raises
    ------
    SettingError
        If there are effects that the posterior lacks, and that cannot be integrated out.
    """
    free = [rv.name for rv in model.free_RVs]
    missing = {name for name in free if name not in posterior}
    if not missing or len(missing) == len(free):
        return []
    factors = factors_at(posterior, model, sources, placing, purpose)
    factor = next((each for each in factors if each.axes.keys() & missing), None)
    if factor is None:
        return []
    if factor.refusal is not None:
        names = shorten([name for name in free if name in factor.axes.keys() & missing])
        raise SettingError(
            f"cannot {purpose}: the posterior of idata lacks {names}, which cannot be integrated "
            f"out: {factor.refusal}. Pass a run that records all free variables of the model."
        )
    return list(factor.axes)


def factors_at(
    posterior: xr.Dataset,
    model: Model,
    sources: Mapping[str, Source] | None = None,
    placing: int = 0,
    purpose: str = GRADIENTS,
) -> list[Factor]:
    """Return the variables with an effect for each of some groups, those of most groups first.

    The model is looked at where the last draw is, what is missing as it starts.
    """
    start = model.initial_point()
    last = posterior.isel(chain=slice(0, 1), draw=slice(-1, None))
    recorded = [rv for rv in model.free_RVs if rv.name in posterior]
    points = _unconstrain(last, model, recorded, purpose)
    _check_shapes(points, start, purpose)
    finite = {name: array[0, 0] for name, array in points.items() if np.isfinite(array).all()}
    vars, places = model.continuous_value_vars, places_of(model, placing)
    return _factors_of(Minibatcher(model, vars, start | finite, *places, sources=sources))


def _factors_of(rows: Minibatcher) -> list[Factor]:
    """Return the variables of a model that have an effect for each of some groups."""
    names = [c.name for c in rows.inputs.coordinates]
    return Search(rows.terms, rows.fixed, rows.inputs.names, names).factors()


def _check_shapes(points: Mapping[str, np.ndarray], start: PointType, purpose: str) -> None:
    for name, values in points.items():
        if values.shape[2:] != np.shape(start[name]):
            raise _other_shape(name, values, np.shape(start[name]), purpose)


def _other_shape(name: str, values: np.ndarray, shape: object, purpose: str) -> SettingError:
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
        array = posterior[rv.name].transpose(*SAMPLE_DIMENSIONS, ...).to_numpy()
        if array.ndim - 2 != rv.type.ndim:
            shape = model.eval_rv_shapes()[rv.name]
            raise _other_shape(rv.name, array, shape, purpose)
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
    function = pytensor.function(
        list(inputs.values()),
        outputs,
        mode=QUICK,
        on_unused_input="ignore",
    )
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


def with_gradients(
    draws: Draws,
    wanted: int | None = None,
    temperature: float = 1.0,
    *,
    rows: int | None = None,
) -> Sample:
    """Return draws with gradients of the log posterior of all rows at evenly spaced ones of them.

    Parameters
    ----------
    draws : Draws
        Of a run. What is integrated out is so in the posterior.
    wanted : int, optional
        How many gradients; by default few enough for the size of the data.
    temperature : float
        That of the run: the gradients are those of the posterior to the power 1/T.
    rows : int, optional
        That the run read.

    Raises
    ------
    SettingError
        If the model has another number of rows.
    """
    rows_of = draws.minibatcher()
    rows_of.check_sources()
    if rows_of.groups is not None and rows_of.effects is not None:
        first, own = draws.point(0, 0), rows_of.groups.variables
        known = {name: v for name, v in rows_of.inputs.others.items() if v not in own}
        others = [np.asarray(first[name], v.type.dtype) for name, v in known.items()]
        rows_of.effects.settle(draws.position.mean(axis=(0, 1)), others, NEAR)
        if not rows_of.effects.normal:
            rows_of.groups.use_nodes(NODES[rows_of.groups.q], NEWTON)
    try:
        density: LogDensity = rows_of.blocks(BLOCK)
    except MinibatchError:  # all rows at once needs no batches
        density = rows_of.density(rows_of.largest)
    data = FullData(density, Backend({}) if rows_of.groups is not None else NUMPY)
    check_row_count(data.rows, rows_of, rows, GRADIENTS)
    chains, length = draws.shape
    wanted = wanted or _how_many(density, draws.position.shape[2])
    stretches = min(length, -(-wanted // chains))
    every = length // stretches
    first = length - every * stretches
    position = draws.position[:, first:]
    gradient = np.empty((chains, stretches, position.shape[2]))
    passes = progress("gradients of all rows at draws", chains * stretches)
    with np.errstate(all="ignore"), one_thread(), passes as update:
        split = None if density.others else _split(data, draws.position, chains * stretches)
        for chain, stretch in np.ndindex(chains, stretches):
            last = (stretch + 1) * every - 1
            if split is not None:
                gradient[chain, stretch] = split.gradient(position[chain, last])
            else:
                point = draws.point(chain, first + last)
                others = [np.asarray(point[n], v.type.dtype) for n, v in density.others.items()]
                parts = data.gradients(position[chain, last], others)[1]
                gradient[chain, stretch] = parts.sum(axis=0)
            update()
    return Sample(position, gradient / temperature, every)


def _split(data: FullData, position: Array, wanted: int) -> Expansion | None:
    """Return the log density by an expansion around the draws and few rows, where that is exact.

    None where the data are small, and where the draws are too few to say how wide they are.

    Parameters
    ----------
    data : FullData
        The log density.
    position : ndarray, shape (chain, draw, d)
        The draws.
    wanted : int
        How many gradients.
    """
    size = position.shape[2]
    together = position.reshape(-1, size)
    if size > FULL_SIZE or len(together) < 4 * size or data.rows <= FEW:
        return None
    covariance = np.cov(together, rowvar=False).reshape(size, size)
    try:
        shape = Full(np.linalg.inv(covariance))
    except np.linalg.LinAlgError:  # draws that do not vary
        return None
    gaussian, rows = Gaussian(together.mean(axis=0), shape), FEWEST_ROWS
    places = together[:: -(-len(together) // JUDGED_AT)]
    while 4 * rows < data.rows:
        split = Expansion(data, gaussian, [], rows)
        if split.is_exact or split.passes > 3 * wanted:
            return None
        parts = np.array([split.gradients_of_parts(place) for place in places])
        apart = shape.whiten_gradient(parts - parts.mean(axis=1, keepdims=True))
        error = np.sqrt(np.mean(apart**2, axis=0).sum(axis=0) / (PARTS * (PARTS - 1)))
        if error.max() < ROWS_ERROR:
            return split
        rows *= 4
    return None


def check_row_count(count: int, rows_of: Minibatcher, of_run: int | None, purpose: str) -> None:
    """Refuse a model that has not as many rows as a run read.

    Parameters
    ----------
    count : int
        Rows of the tables of the model.
    rows_of : Minibatcher
        The model.
    of_run : int or None
        Rows of the tables that the run read, if known.
    purpose : str
        What the model is for, for the error.
    """
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


def _how_many(density: LogDensity, size: int) -> int:
    """Return at how many draws to take gradients, for the size of the data."""
    entries = max(1, sum(item.array.size for item in density.data))
    enough = DRAWS_A_COORDINATE * size if size <= LARGEST_SIZE else 0
    return int(np.clip(ENTRIES / entries, FEWEST, max(MOST, enough)))
