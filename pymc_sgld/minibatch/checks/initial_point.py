"""Check that the density is finite at the initial point, in every row of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pymc.blocking import PointType
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors

from pymc_sgld.backends.numpy_mode import STABLE, run_by_numpy
from pymc_sgld.errors import DataError
from pymc_sgld.minibatch.blocks import read_blocks
from pymc_sgld.minibatch.density import Table
from pymc_sgld.minibatch.graph.fixed import FixedValues
from pymc_sgld.minibatch.graph.integers import INTEGERS
from pymc_sgld.minibatch.graph.support import remove_checks
from pymc_sgld.minibatch.terms import Term


class Where(NamedTuple):
    """The point at which a model is checked, in words."""

    name: str
    not_finite: str  # what to do where a value of it is not
    contradicted: str  # by the data, and what to do then


INITIAL_POINT = Where(
    "the initial point",
    f"pass finite values as initial_point=. {INTEGERS}",
    "an initial point that the data contradict: see model.debug(), or pass another point as "
    "initial_point=.",
)


def check_start(
    terms: Sequence[Term],
    fixed: FixedValues,
    inputs: Mapping[Variable, np.ndarray],
    value_vars: Sequence[Variable],
    point: PointType,
    where: Where,
) -> None:
    """Evaluate every term of the log density once, on all the data, into its ``value``.

    A gradient does not show data outside of the support of their distribution, and a batch only
    its own rows. It is PyMC's own graph that is evaluated, and rewritten as PyMC does it: later the
    rows of a batch are compared with it.

    """
    for name, value in point.items():
        if not np.isfinite(value).all():
            wrong = np.ravel(value)[~np.isfinite(np.ravel(value))][0]
            raise DataError(f'{where.name} has {wrong} for "{name}": {where.not_finite}')
    whole = [term for term in terms if not term.declared]
    conditions = [condition for term in whole for condition in term.conditions]
    templates = {each.leaf: each.template for term in terms for each in term.streamed}
    try:
        checks = iter(fixed.evaluate(conditions, {**inputs, **templates}))
        for term, value in zip(whole, _evaluate(whole, value_vars, point), strict=True):
            term.value = value
            found = [next(checks) for _ in term.conditions]
            if not np.isfinite(value).all():
                [ours] = fixed.evaluate([term.graph], {**inputs, **templates}, STABLE)
                if np.isfinite(ours).all():
                    raise DataError(
                        f'the density of "{term.name}" is not finite at {where.name} as PyMC '
                        f"computes it. {INTEGERS}"
                    )
            if not term.streamed:  # of a template the rows are used for nothing else
                _check(term, found, fixed, where)
        for term in terms:
            if len(term.declared) == 1:
                term.value, *found = _by_batches(term, fixed, inputs)
                _check(term, found, fixed, where)
    except IndexError as error:
        name = _out_of_range(whole, value_vars, point)
        raise DataError(
            f"an index of {name} is out of range: {error.args[0]}. Check the index of its groups, "
            "which are counted from 0."
        ) from None


def _evaluate(
    terms: Sequence[Term], value_vars: Sequence[Variable], point: PointType
) -> list[np.ndarray]:
    """Return the elements of each term as PyMC's own graph gives them."""
    graphs = remove_checks([term.reference for term in terms])
    function = run_by_numpy(value_vars, graphs, STABLE)
    values = function(*[point[variable.name] for variable in value_vars])
    return [np.asarray(value) for value in values]


def _out_of_range(terms: Sequence[Term], value_vars: Sequence[Variable], point: PointType) -> str:
    """Return the first term that cannot be evaluated alone."""
    for term in terms:
        try:
            _evaluate([term], value_vars, point)
        except IndexError:
            return f'"{term.name}"'
    return "the model"


def _by_batches(
    term: Term, fixed: FixedValues, inputs: Mapping[Variable, np.ndarray]
) -> list[np.ndarray]:
    """Return the values of a term and its conditions whose rows the model picks in batches."""
    [declared] = term.declared
    leaves = [item.variable for item in declared.data]
    graphs = [term.graph, *term.conditions]
    has_rows = [any(variable in leaves for variable in ancestors([graph])) for graph in graphs]
    function = fixed.function(graphs, [*inputs, *leaves], STABLE)
    collected: list[list[np.ndarray]] = [[] for _ in graphs]
    table = Table({}, declared.total_size, declared.batch_size, declared.data)
    for block in read_blocks(table):
        values = function(*inputs.values(), *block.data)
        for kept, by_row, value in zip(collected, has_rows, values, strict=True):
            kept.append(value[block.old :] if by_row and np.ndim(value) else value)
    return [
        np.concatenate(kept) if by_row and np.ndim(kept[0]) else kept[0]
        for kept, by_row in zip(collected, has_rows, strict=True)
    ]


def _check(term: Term, checks: Sequence[np.ndarray], fixed: FixedValues, where: Where) -> None:
    if not np.isfinite(term.value).all():
        raise DataError(_explain(term.name, ~np.isfinite(term.value), term.value, fixed, where))
    for check in checks:
        if not check.all():
            raise DataError(_explain(term.name, ~check.astype(bool), None, fixed, where))


def _explain(
    name: str, wrong: np.ndarray, term: np.ndarray | None, fixed: FixedValues, where: Where
) -> str:
    found = "zero (a parameter is outside its range)"
    if term is not None:
        value = term[wrong][0] if term.ndim else term
        found = "zero" if np.isneginf(value) else str(value)
    rows = ""
    if wrong.ndim:
        row = int(np.argwhere(wrong)[0][0])
        count = len(np.unique(np.argwhere(wrong)[:, 0]))
        rows = f" in {count} row{'s'[: count != 1]}, the first is row {row}"
        missing = [f'"{source}"' for source in fixed.with_nan(row, len(wrong))]
        if missing:
            rows += f" (NaN in {', '.join(missing)})"
    return (
        f'the density of "{name}" is {found} at {where.name}{rows}. Likely reasons: data outside '
        f"the support of their distribution, NaN in the data, or {where.contradicted}"
    )
