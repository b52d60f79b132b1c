"""The draws of a result in the unconstrained space of its model, and gradients there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pytensor
import xarray as xr
from pymc.blocking import PointType
from pymc.model import Model
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace

from pymc_sgld.backends.numpy_mode import QUICK
from pymc_sgld.compiled.threads import one_thread
from pymc_sgld.diagnostics.matching import SAMPLE_DIMENSIONS, labels_of, shorten
from pymc_sgld.diagnostics.trust.whitened import DRAWS_A_COORDINATE, LARGEST_SIZE, Array, Sample
from pymc_sgld.errors import MinibatchError, SettingError
from pymc_sgld.minibatch.blocks import BLOCK
from pymc_sgld.minibatch.density import LogDensity
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.graph.named_dimensions import lower
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.minibatch.placing import places_of
from pymc_sgld.progress import progress
from pymc_sgld.sources.source import Source

FEWEST, MOST = 400, 2000
"""Gradients that are computed, where nothing is said and there are as many draws."""

ENTRIES = 2e9
"""Numbers of the data that these gradients may read."""


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
        With every free variable of the model.
    model : Model
        The model that was sampled.
    sources : dict, optional
        The rows of data that the model has a few of.

    Attributes
    ----------
    points : dict
        Of each value variable, an array of shape (chain, draw, ...).
    moved : list of Variable
        The continuous value variables.
    coordinates : list of Coordinate
        All their entries, in order.

    Raises
    ------
    SettingError
        If a variable is missing in the posterior or has another shape.
    """

    def __init__(
        self, posterior: xr.Dataset, model: Model, sources: Mapping[str, Source] | None = None
    ) -> None:
        self.sources = sources or {}
        missing = [rv.name for rv in model.free_RVs if rv.name not in posterior]
        if missing:
            raise SettingError(
                f"cannot diagnose by the gradients of the model: {shorten(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} not in the posterior of idata, which has "
                f"{shorten(list(posterior.data_vars))}. Pass the model that was sampled, and all "
                "its free variables, or leave model out."
            )
        self.model = model
        self.points = _unconstrain(posterior, model)
        self._check_shapes(model.initial_point())
        self.moved: list[Variable] = model.continuous_value_vars
        if not self.moved:
            raise SettingError(
                "cannot diagnose by gradients: the model has no continuous free variable. Leave "
                "model out."
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
        """Return one draw as a point of the model."""
        return {name: values[chain, draw] for name, values in self.points.items()}

    def _check_shapes(self, start: PointType) -> None:
        for name, values in self.points.items():
            if values.shape[2:] != np.shape(start[name]):
                raise SettingError(
                    f'cannot diagnose by the gradients of the model: "{name}" has the shape '
                    f"{values.shape[2:]} in the posterior and {np.shape(start[name])} in the "
                    "model. Pass the model that was sampled."
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


def _unconstrain(posterior: xr.Dataset, model: Model) -> dict[str, np.ndarray]:
    """Return the values of the value variables at every draw."""
    values = {}
    for rv in model.free_RVs:
        array = posterior[rv.name].transpose(*SAMPLE_DIMENSIONS, ...).to_numpy()
        values[rv] = array.astype(rv.type.dtype)
    transformed = [rv for rv in model.free_RVs if model.rvs_to_transforms.get(rv) is not None]
    points = {model.rvs_to_values[rv].name: array for rv, array in values.items()}
    if not transformed:
        return points
    inputs = {rv: rv.type(name=rv.name) for rv in model.free_RVs}
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
    placing: int = 0,
    wanted: int | None = None,
    temperature: float = 1.0,
    *,
    rows: int | None = None,
) -> Sample:
    """Return draws with gradients of the log posterior of all rows at evenly spaced ones of them.

    Parameters
    ----------
    draws : Draws
        Of a run.
    placing : int
        Where the run placed the terms of the model: the sum is the same, the rows are not.
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
    at = draws.point(0, -1)
    places = places_of(draws.model, placing)
    rows_of = Minibatcher(draws.model, draws.moved, at, *places, sources=draws.sources)
    rows_of.check_sources()
    try:
        density: LogDensity = rows_of.blocks(BLOCK)
    except MinibatchError:  # all rows at once needs no batches
        density = rows_of.density(rows_of.largest)
    data = FullData(density)
    if data.rows and rows is not None and data.rows != rows:
        raise SettingError(
            f"cannot diagnose by the gradients of the model: it has {data.rows} rows, and the run "
            f"read {rows}. Pass the model that was sampled, with its data as they were, and "
            "the sources of the run as data=."
        )
    chains, length = draws.shape
    wanted = wanted or _how_many(density, draws.position.shape[2])
    stretches = min(length, -(-wanted // chains))
    every = length // stretches
    first = length - every * stretches
    position = draws.position[:, first:]
    gradient = np.empty((chains, stretches, position.shape[2]))
    passes = progress("gradients of all rows at draws", chains * stretches)
    with np.errstate(all="ignore"), one_thread(), passes as update:
        for chain, stretch in np.ndindex(chains, stretches):
            last = (stretch + 1) * every - 1
            point = draws.point(chain, first + last)
            others = [np.asarray(point[name], v.type.dtype) for name, v in density.others.items()]
            parts = data.gradients(position[chain, last], others)[1]
            gradient[chain, stretch] = parts.sum(axis=0)
            update()
    return Sample(position, gradient / temperature, every)


def _how_many(density: LogDensity, size: int) -> int:
    """Return at how many draws to take gradients, for the size of the data."""
    entries = max(1, sum(item.array.size for item in density.data))
    enough = DRAWS_A_COORDINATE * size if size <= LARGEST_SIZE else 0
    return int(np.clip(ENTRIES / entries, FEWEST, max(MOST, enough)))
