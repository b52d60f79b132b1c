"""From a PyMC model to a log density of batches of rows: what is minibatched, and refusals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytensor.tensor as pt
from pymc.blocking import PointType
from pymc.data import MinibatchOp
from pymc.model import Model
from pymc.variational.minibatch_rv import MinibatchRandomVariable
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import ancestors

from pymc_sgld.errors import DataError, MinibatchError
from pymc_sgld.minibatch.fixed import FixedValues
from pymc_sgld.minibatch.graphs import rebuild
from pymc_sgld.minibatch.position import Coordinates, Inputs
from pymc_sgld.minibatch.rows import Data, RowSelection
from pymc_sgld.minibatch.rules import RowsMixed
from pymc_sgld.minibatch.start import check_start
from pymc_sgld.minibatch.support import conditions_of, remove_checks

DEFAULT_BATCH_SIZE = 128
_SMALL = 64  # entries up to which an array is better a constant of the graph than an input


@dataclass(frozen=True)
class LogDensity:
    """The log posterior density of a model at a position, its likelihood for a batch of rows.

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
        Everything but the observed variables, log-Jacobians of the transforms included.
    log_likelihood : TensorVariable, scalar
        Sum over the rows of the batch.
    conditions : list of TensorVariable
        Boolean tensors: where an entry is false the density is zero.
    data : list of Data
        What the likelihood reads.
    sources : dict
        The ``pm.Data`` of the model, with the values that the data were made of.
    total_size, batch_size : int
        Rows of the data and of a batch; equal (and 0 without data) for the full density.
    """

    position: Variable
    pieces: list[Variable]
    coordinates: tuple[Coordinates, ...]
    others: dict[str, Variable]
    log_prior: Variable
    log_likelihood: Variable
    conditions: list[Variable]
    data: list[Data]
    sources: dict[SharedVariable, np.ndarray]
    total_size: int
    batch_size: int

    @property
    def full(self) -> bool:
        """Whether every update reads all the data."""
        return self.batch_size == self.total_size


def count_rows(model: Model) -> int:
    """Return the number of rows that the observed variables share; 0 without observed variables.

    Raises
    ------
    MinibatchError
        If they have different numbers of rows.
    """
    values = [model.rvs_to_values[rv] for rv in model.observed_RVs]
    fixed = FixedValues(values, {})
    rows = {}
    for rv, value in zip(model.observed_RVs, fixed.outputs, strict=True):
        shape = np.shape(fixed.value(value))
        rows[rv.name] = shape[0] if shape else 1
    if len(set(rows.values())) > 1:
        listing = ", ".join(f'"{name}" ({count})' for name, count in rows.items())
        raise MinibatchError(
            f"cannot minibatch observed variables with different numbers of rows: {listing}. "
            "All observed variables must share their rows. Sample this model with NUTS, or write "
            "the smaller data into the larger table."
        )
    if 0 in rows.values():
        raise DataError(f'observed variable "{next(iter(rows))}" has no rows.')
    return next(iter(rows.values()), 0)


def log_density(
    model: Model, vars: Sequence[Variable], point: PointType, batch_size: int | None
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
        Rows of a batch; the number of all rows asks for the full density; None for
        ``DEFAULT_BATCH_SIZE`` rows, or all of them where there are fewer.

    Raises
    ------
    MinibatchError
        If the model cannot be minibatched, with the reason.
    DataError
        If the density is not finite at the point, with the variable and the row.
    """
    _refuse_minibatch_variables(model)
    total_size = count_rows(model)
    whole_data = not total_size or batch_size == total_size
    if not whole_data:
        _refuse(model, total_size)
    if batch_size is None:
        batch_size = min(total_size, DEFAULT_BATCH_SIZE)
    rvs = [*model.free_RVs, *model.potentials, *model.observed_RVs]
    names = [rv.name for rv in rvs]
    terms = model.logp(vars=rvs, sum=False)
    conditions = [conditions_of(term) for term in terms]
    inputs = Inputs(model, vars, point)
    fixed = FixedValues(
        remove_checks([*terms, *[c for of_term in conditions for c in of_term]]),
        inputs.replacements,
    )
    graphs = iter(fixed.outputs)
    terms = [next(graphs) for _ in terms]
    conditions = [[next(graphs) for _ in of_term] for of_term in conditions]
    shapes = check_start(names, terms, conditions, fixed, inputs.values)

    first_observed = len(terms) - len(model.observed_RVs)
    if not whole_data:
        for name, shape in zip(names[first_observed:], shapes[first_observed:], strict=True):
            _refuse_other_lengths(name, shape, total_size)
    rows = RowSelection(fixed, inputs.names, total_size, batch_size)
    if batch_size != total_size:
        for i in range(first_observed, len(terms)):
            terms[i] = _select_rows(names[i], terms[i], rows)
            conditions[i] = [_select_condition(c, rows, names[i]) for c in conditions[i]]
    outputs, whole = _take_out_data(
        [
            _total(terms[:first_observed], inputs.position.dtype),
            _total(terms[first_observed:], inputs.position.dtype),
            *[c for of_term in conditions for c in of_term if not fixed.is_fixed(c)],
        ],
        rows,
    )
    return LogDensity(
        position=inputs.position,
        pieces=inputs.pieces,
        coordinates=tuple(inputs.coordinates),
        others=inputs.others,
        log_prior=outputs[0],
        log_likelihood=outputs[1],
        conditions=outputs[2:],
        data=rows.data + whole,
        sources=fixed.sources,
        total_size=total_size,
        batch_size=batch_size,
    )


def _refuse(model: Model, total_size: int) -> None:
    """Refuse what no selection of rows could get right."""
    way_out = f"Pass batch_size={total_size} to sample it with the full gradient."
    for potential in model.potentials:
        raise MinibatchError(
            f'cannot minibatch a model with the pm.Potential "{potential.name}": it may belong to '
            f"the prior or be a sum over rows, and nothing tells which. {way_out}"
        )
    for rv in model.observed_RVs:
        node = rv.owner
        if node is not None and isinstance(node.op, MinibatchRandomVariable):
            raise MinibatchError(
                f'cannot minibatch "{rv.name}": its total_size already scales its likelihood. '
                f"Write the model with all its data and without total_size. {way_out}"
            )
        whole = rv.name.removesuffix("_observed")
        if f"{whole}_unobserved" in model.named_vars:  # the names that PyMC gives to the parts
            raise MinibatchError(
                f'cannot minibatch "{whole}": it has missing values (NaN), which PyMC turned into '
                f'the free variable "{whole}_unobserved". Drop these rows or fill them in. '
                f"{way_out}"
            )


def _refuse_minibatch_variables(model: Model) -> None:
    values = [model.rvs_to_values[rv] for rv in model.observed_RVs]
    for variable in ancestors([*model.observed_RVs, *values]):
        if variable.owner is not None and isinstance(variable.owner.op, MinibatchOp):
            raise MinibatchError(
                "the model uses pm.Minibatch, which picks rows of its own: write it with all its "
                "data, without pm.Minibatch and total_size, and SGLD minibatches it."
            )


def _refuse_other_lengths(name: str, shape: tuple[int, ...], total_size: int) -> None:
    """Refuse a log-likelihood that is not one number (or one list of numbers) a row."""
    way_out = f"Pass batch_size={total_size} to sample it with the full gradient."
    if not shape and total_size > 1:
        raise MinibatchError(
            f'cannot minibatch "{name}": its log-likelihood is one number for all of its '
            f"{total_size} rows, which are not independent given the parameters "
            f"(a time series, a Gaussian process, one multivariate draw). {way_out}"
        )
    if shape and shape[0] != total_size:
        raise MinibatchError(
            f'cannot minibatch "{name}": it has {total_size} rows, but its log-likelihood has '
            f"{shape[0]} entries. {way_out}"
        )


def _select_rows(name: str, term: Variable, rows: RowSelection) -> Variable:
    """Return the log-likelihood of the selected rows of one observed variable."""
    way_out = f"Pass batch_size={rows.total_size} to sample it with the full gradient."
    try:
        selected = rows.select(term, 0)
        for variable in _left_whole(selected, rows):
            sources = ", ".join(f'"{source}"' for source in rows.fixed.names(variable))
            raise RowsMixed(f"all rows of {sources or 'its data'} enter every one of them")
    except RowsMixed as error:
        raise MinibatchError(
            f'cannot minibatch "{name}" ({rows.total_size} rows): {error.reason}. {way_out}'
        ) from error
    return selected


def _select_condition(condition: Variable, rows: RowSelection, name: str) -> Variable:
    """Return a condition of the likelihood for the selected rows; one without rows as it is."""
    axes = [a for a, length in enumerate(condition.type.shape) if length == rows.total_size]
    if not axes or rows.fixed.is_fixed(condition):
        return condition
    try:
        return rows.select(condition, axes[0])
    except RowsMixed as error:
        if not _left_whole(condition, rows):
            return condition  # made of as many parameters as there are rows
        raise MinibatchError(
            f'cannot minibatch "{name}" ({rows.total_size} rows): in a check of its parameters, '
            f"{error.reason}. Pass batch_size={rows.total_size} to sample it with the full "
            "gradient."
        ) from error


def _left_whole(graph: Variable, rows: RowSelection) -> list[Variable]:
    """Return data with all their rows that a graph holds in spite of the selection."""
    return [
        variable
        for variable in rows.fixed.largest_fixed([graph])
        if rows.total_size in variable.type.shape and rows.total_size > rows.batch_size
    ]


def _total(terms: Sequence[Variable], dtype: str) -> Variable:
    """Return the sum of all entries of all terms."""
    if not terms:
        return pt.constant(0.0, dtype=dtype)
    return pt.add(*[pt.sum(term) for term in terms]) if len(terms) > 1 else pt.sum(terms[0])


def _take_out_data(
    outputs: list[Variable], rows: RowSelection
) -> tuple[list[Variable], list[Data]]:
    """Put fixed values into graphs: large ones as inputs, so that no graph holds the data."""
    replacements: dict[Variable, Variable] = {}
    whole = []
    for variable in rows.fixed.largest_fixed(outputs):
        value = rows.fixed.value(variable)
        if value.size <= _SMALL:
            if isinstance(variable, Constant):
                continue
            replacements[variable] = pt.constant(value, dtype=variable.type.dtype)
        else:
            stand_in = pt.tensor(variable.name, dtype=variable.type.dtype, shape=value.shape)
            replacements[variable] = stand_in
            names = tuple(rows.fixed.names(variable))
            whole.append(Data(stand_in, value, names, by_row=False))
    return rebuild(outputs, replacements), whole
