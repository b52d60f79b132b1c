"""From a PyMC model to a log density of batches of rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytensor.tensor as pt
from pymc.blocking import PointType
from pymc.model import Model
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable

from pymc_sgld.minibatch.fixed import FixedValues
from pymc_sgld.minibatch.graphs import rebuild
from pymc_sgld.minibatch.position import Coordinates, Inputs
from pymc_sgld.minibatch.rows import Data
from pymc_sgld.minibatch.start import check_start
from pymc_sgld.minibatch.tables import Placement, Tables
from pymc_sgld.minibatch.terms import make_terms

_SMALL = 64  # entries up to which an array is better a constant of the graph than an input


@dataclass(frozen=True)
class Table:
    """Rows that are read together, and the likelihoods that read them.

    Attributes
    ----------
    likelihoods : dict
        By name, the elementwise log-likelihood of an observed variable (or a potential): of the
        rows of the batch, on the first axis.
    total_size, batch_size : int
        Rows of the data and of a batch; equal where every update reads all of them.
    data : list of Data
        What is read by the row.
    """

    likelihoods: dict[str, Variable]
    total_size: int
    batch_size: int
    data: list[Data]

    @property
    def full(self) -> bool:
        """Whether every update reads all rows."""
        return self.batch_size == self.total_size

    @property
    def scale(self) -> float:
        """N/n, by which the log-likelihood of a batch estimates that of all rows."""
        return self.total_size / self.batch_size


@dataclass(frozen=True)
class LogDensity:
    """The log posterior density of a model at a position, its likelihood for batches of rows.

    Attributes
    ----------
    position : TensorVariable, shape (d,)
        Unconstrained coordinates of the variables that the step moves.
    pieces : list of TensorVariable
        The position's parts, one a variable: what to take gradients with respect to.
    coordinates : tuple of Coordinates
        Which part of the position is which variable.
    others : dict
        Inputs for the values of the variables that the step does not move, by name.
    log_prior : TensorVariable, scalar
        Everything but the likelihoods of the tables, log-Jacobians of the transforms included.
    tables : tuple of Table
        The likelihoods, and the rows that they read.
    conditions : list of TensorVariable
        Boolean tensors: where an entry is false the density is zero.
    whole : list of Data
        Data that every update reads in full.
    sources : dict
        The ``pm.Data`` of the model, with the values that the data were made of.
    """

    position: Variable
    pieces: list[Variable]
    coordinates: tuple[Coordinates, ...]
    others: dict[str, Variable]
    log_prior: Variable
    tables: tuple[Table, ...]
    conditions: list[Variable]
    whole: list[Data]
    sources: dict[SharedVariable, np.ndarray]

    @property
    def data(self) -> list[Data]:
        """All data that the density reads."""
        return [item for table in self.tables for item in table.data] + self.whole

    @property
    def log_likelihoods(self) -> list[Variable]:
        """Of each table, the sum over the rows of its batch, a scalar."""
        return [total(list(t.likelihoods.values()), self.position.dtype) for t in self.tables]


def log_density(
    model: Model,
    vars: Sequence[Variable],
    point: PointType,
    batch_size: int | None = None,
    potentials: Mapping[str, str] | None = None,
    full: Collection[str] = (),
) -> LogDensity:
    """Return the log density of a model for batches of ``batch_size`` rows.

    Parameters
    ----------
    model : Model
        It is not changed.
    vars : sequence of Variable
        Value variables that form the position, in this order.
    point : dict
        A point of the model where its density is finite; gives the shapes.
    batch_size : int or None
        Rows of a batch; data of fewer rows are read in full. None for 128.
    potentials : dict, optional
        ``"prior"`` or ``"rows"`` for each potential.
    full : collection of str
        Names of observed variables to evaluate in full.

    Raises
    ------
    MinibatchError
        If the model cannot be minibatched, with the reason.
    DataError
        If the density is not finite at the point, with the variable and the row.
    SettingError
        For an argument that does not fit the model.
    """
    inputs = Inputs(model, vars, point)
    terms, fixed = make_terms(model, inputs)
    check_start(terms, fixed, inputs.values)
    tables = Tables(terms, fixed, inputs.names, batch_size, potentials or {}, full)
    for placement in tables.placements:
        if placement.refusal is not None:
            raise placement.refusal
    return _assemble(inputs, fixed, tables)


def _assemble(inputs: Inputs, fixed: FixedValues, tables: Tables) -> LogDensity:
    """Put the terms together: the prior, and a sum over each table of rows."""
    dtype = inputs.position.dtype
    by_key: dict[object, list[Placement]] = {}
    for placement in tables.placements:
        by_key.setdefault(placement.key, []).append(placement)
    prior = [placement.graph for placement in by_key.pop(None, [])]
    likelihoods = [placement for members in by_key.values() for placement in members]
    graphs = [
        total(prior, dtype),
        *[_unscaled(placement) for placement in likelihoods],
        *[c for p in tables.placements for c in p.conditions if not fixed.is_fixed(c)],
    ]
    outputs, whole = _take_out_data(graphs, fixed)
    graph_of = dict(zip(likelihoods, outputs[1:], strict=False))
    return LogDensity(
        position=inputs.position,
        pieces=inputs.pieces,
        coordinates=tuple(inputs.coordinates),
        others=inputs.others,
        log_prior=outputs[0],
        tables=tuple(
            Table(
                likelihoods={p.term.name: graph_of[p] for p in members},
                total_size=members[0].total_size,
                batch_size=members[0].batch_size,
                data=tables.selections[key].data if key in tables.selections else [],
            )
            for key, members in by_key.items()
        ),
        conditions=outputs[1 + len(likelihoods) :],
        whole=whole,
        sources=fixed.sources,
    )


def _unscaled(placement: Placement) -> Variable:
    """Return a likelihood without the factor ``total_size / batch_size`` of ``pm.Minibatch``."""
    if not placement.term.declared:
        return placement.graph
    scale = np.asarray(placement.batch_size / placement.total_size, placement.graph.type.dtype)
    return placement.graph * scale


def total(terms: Sequence[Variable], dtype: str) -> Variable:
    """Return the sum of all entries of all terms, a scalar."""
    if not terms:
        return pt.constant(0.0, dtype=dtype)
    return pt.add(*[pt.sum(term) for term in terms]) if len(terms) > 1 else pt.sum(terms[0])


def _take_out_data(
    outputs: list[Variable], fixed: FixedValues
) -> tuple[list[Variable], list[Data]]:
    """Put fixed values into graphs: large ones as inputs, so that no graph holds the data."""
    replacements: dict[Variable, Variable] = {}
    whole = []
    for variable in fixed.largest_fixed(outputs):
        value = fixed.value(variable)
        if value.size <= _SMALL:
            if isinstance(variable, Constant):
                continue
            replacements[variable] = pt.constant(value, dtype=variable.type.dtype)
        else:
            stand_in = pt.tensor(variable.name, dtype=variable.type.dtype, shape=value.shape)
            replacements[variable] = stand_in
            names = tuple(fixed.names(variable))
            whole.append(Data(stand_in, value, names, by_row=False))
    return rebuild(outputs, replacements), whole
