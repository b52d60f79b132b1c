"""Check that batches have the log density that PyMC gives, and add up to all of it.

The selection of rows is right by construction. This is the test of it on the user's own model: the
graphs that an update evaluates, on every batch of an epoch, against the graphs that PyMC gives, in
which nothing was rewritten. Of any model, however long its data, the rows of one batch are
compared with what PyMC computes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from pymc.blocking import PointType
from pymc.logprob.utils import ParameterValueError
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import toposort

from pymc_sgld.backends.numpy_mode import run_by_numpy
from pymc_sgld.errors import MinibatchError
from pymc_sgld.minibatch.density import LogDensity, Place, Table
from pymc_sgld.minibatch.graph.fixed import FixedValues
from pymc_sgld.minibatch.graph.integers import INTEGERS, widen
from pymc_sgld.minibatch.graph.rebuild import tensor
from pymc_sgld.minibatch.groups.groups import GroupTerm
from pymc_sgld.minibatch.selection.rows import Data
from pymc_sgld.minibatch.tables import Tables
from pymc_sgld.minibatch.terms import Term

# each node of a graph costs a few microseconds a batch, without compilation
_CHEAP = 100_000
_COMPARED = 128  # groups of each class, of a template
# what is computed from small integers has single precision, and rewriting rounds it elsewhere
_SINGLE = float(np.sqrt(np.finfo("float32").eps))


def is_cheap(density: LogDensity) -> bool:
    """Whether an audit takes about a second at most, by the work that it has to do."""
    work = 0
    for table in density.tables:
        if not table.full and not table.sources:  # of these, only the template is compared
            nodes = sum(1 for _ in toposort(list(table.likelihoods.values())))
            work += nodes * (table.total_size // table.batch_size)
            entries = sum(item.array.size for item in table.data)
            work += entries // 1000
    return work <= _CHEAP


def compare_one_batch(
    tables: Tables, fixed: FixedValues, inputs: Mapping[Variable, np.ndarray]
) -> None:
    """Compare each term at the initial point, in the rows of one batch, with its ``value``.

    The graphs are evaluated as they are, and PyMC rewrites its own: where these differ in the
    meaning of a number, so would the sampler from the model.
    """
    data: dict[Variable, np.ndarray] = {}
    rows: dict[object, np.ndarray] = {}
    for key, selection in tables.selections.items():
        spread = np.linspace(0, selection.total_size - 1, selection.batch_size)
        rows[key] = spread.round().astype(int)
        data |= {item.variable: _rows_of(item, rows[key]) for item in selection.data}
    compare_groups(tables.group_terms.values(), fixed, inputs)
    placements = [
        p for p in tables.placements if not p.term.declared and p.key not in tables.group_terms
    ]
    with np.errstate(all="ignore"):
        found = fixed.evaluate([p.graph for p in placements], {**inputs, **data})
    for placement, ours in zip(placements, found, strict=True):
        name, theirs = placement.term.name, placement.term.value
        where = "at the initial point"
        if placement.key in rows:
            theirs = theirs[rows[placement.key]]
        # log(1 + exp(x)) overflows until it is rewritten: no number, and no other meaning
        wrong = np.isfinite(ours) & (np.abs(ours - theirs) > _SINGLE * (1 + np.abs(theirs)))
        if wrong.any():
            i = tuple(np.argwhere(wrong)[0])
            if placement.key in rows:
                where = f"in row {rows[placement.key][i[0]]} {where}"
            raise MinibatchError(
                f'the log density of "{name}" {where} is {ours[i]:.6g}, and PyMC computes '
                f"{theirs[i]:.6g}. {INTEGERS} If there are none, this is a defect of pymc_sgld: "
                "please report it."
            )


def compare_groups(
    terms: Iterable[GroupTerm], fixed: FixedValues, inputs: Mapping[Variable, np.ndarray]
) -> None:
    """Compare the joint log density of groups with what PyMC gives, at the initial point.

    Their effects have the values of that point: it is what is integrated that is compared.
    """
    for term in _known(terms):
        groups, spread = term.groups, np.linspace(0, len(term.members) - 1, term.batch_size)
        places = spread.round().astype(int)
        members = term.members.members[places]
        theirs, size = np.zeros((2, groups.count))
        for prior, effect in zip(groups.priors, groups.effects, strict=True):
            value = np.moveaxis(prior.value, effect.axis, 0).reshape((groups.count, -1))
            theirs += value.sum(axis=1, dtype="float64")
            size += np.abs(value).sum(axis=1, dtype="float64")
        for outcome in groups.outcomes:
            rows = outcome.value.reshape((len(outcome.value), -1)).astype("float64")
            index = groups.index[outcome.name]
            theirs += np.bincount(index, rows.sum(axis=1), groups.count)
            size += np.bincount(index, np.abs(rows).sum(axis=1), groups.count)
        effects = groups.of_point(inputs)
        at = tensor("effects", term.start.dtype, (term.batch_size, groups.q))
        joint = term.joint(at, 1)[0]  # which adds what it reads to the data
        data = {item.variable: _rows_of(item, places) for item in term.data}
        known = {v: value for v, value in inputs.items() if v not in groups.variables}
        with np.errstate(all="ignore"):
            [ours] = fixed.evaluate([joint], {**known, **data, at: effects[members]})
        wrong = np.abs(ours - theirs[members]) > _SINGLE * (1 + size[members])
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            raise MinibatchError(
                f"the log density of group {members[i]} of {groups.labels} at the initial point "
                f"is {ours[i]:.6g}, and PyMC computes {theirs[members][i]:.6g}. {INTEGERS} If "
                "there are none, this is a defect of pymc_sgld: please report it. "
                "marginalize=False samples the effects as other variables."
            )


def _known(terms: Iterable[GroupTerm]) -> list[GroupTerm]:
    """Return terms whose values are known: of sources, those of the rows of the template."""
    terms = list(terms)
    if not terms or not terms[0].groups.from_sources:
        return terms
    groups = terms[0].groups.in_template()
    return [groups.term(each, min(len(each), _COMPARED)) for each in groups.classes]


class _Expected(NamedTuple):
    """What PyMC's graph of a term gives: its elements, and the gradient of their sum."""

    value: np.ndarray
    gradient: np.ndarray


def audit_batches(
    density: LogDensity, terms: Sequence[Term], value_vars: Sequence[Variable], point: PointType
) -> None:
    """Compare the batches of one epoch with the full data, near a point."""
    terms = [term for term in terms if not term.declared]  # of these PyMC knows one batch only
    point, expected = _expect(density, terms, value_vars, point)
    position = np.concatenate([np.ravel(point[c.value_name]) for c in density.coordinates])
    at = position, [point[name] for name in density.others]
    of_rows: set[str] = set()
    for table in density.tables:
        for name in set(table.likelihoods) & set(expected):
            of_rows.add(name)
            if table.full and not table.sources:
                graph = pt.sum(table.likelihoods[name], dtype="float64")
                _compare_sums(f'"{name}"', graph, density, at, [expected[name]])
            else:
                _compare_rows(name, table, density, at, expected[name])
    prior = [part for name, part in expected.items() if name not in of_rows]
    _compare_sums("the prior", density.log_prior, density, at, prior)


def _expect(
    density: LogDensity, terms: Sequence[Term], value_vars: Sequence[Variable], point: PointType
) -> tuple[PointType, dict[str, _Expected]]:
    """Return a point, and what the terms are there."""
    moved = {variable.name: variable for variable in value_vars}
    wrt = [moved[c.value_name] for c in density.coordinates]
    values = widen([term.reference for term in terms])
    gradients = [density.gradient(pt.sum(value, dtype="float64"), wrt, "none") for value in values]
    known = [part for of_term in gradients for part in of_term if part is not None]
    function = run_by_numpy(value_vars, [*values, *known])
    for candidate in _candidates(density, point):
        try:
            with np.errstate(all="ignore"):
                found = iter(function(*[candidate[v.name] for v in value_vars]))
        except ParameterValueError:
            continue
        elements = [np.asarray(next(found)) for _ in terms]
        flat = [
            np.concatenate(
                [
                    np.zeros(c.size) if part is None else np.ravel(next(found))
                    for part, c in zip(of_term, density.coordinates, strict=True)
                ]
            )
            for of_term in gradients
        ]
        parts = {t.name: _Expected(*pair) for t, *pair in zip(terms, elements, flat, strict=True)}
        if all(np.isfinite(part.value).all() for part in parts.values()):
            break
    return candidate, parts


def _candidates(density: LogDensity, point: PointType) -> Iterator[PointType]:
    """Give a point beside the initial one, where coefficients are often zero, and then that."""
    rng = np.random.default_rng(0)
    beside = dict(point)
    for c in density.coordinates:
        jitter = 0.1 * rng.standard_normal(c.shape)
        beside[c.value_name] = np.asarray(point[c.value_name] + jitter, dtype=c.dtype)
    yield beside
    yield point


@np.errstate(invalid="ignore")  # both may be -inf, where they overflow
def _compare_rows(
    name: str,
    table: Table,
    density: LogDensity,
    at: Place,
    expected: _Expected,
) -> None:
    """Compare the rows of all batches, and the sum of their gradients."""
    position = density.position
    rows = table.likelihoods[name].reshape((table.batch_size, -1)).sum(axis=1, dtype="float64")
    counted = pt.vector("counted", dtype="float64")
    sums = density.gradient(pt.sum(rows * counted), position)
    evaluate = density.function([rows, sums], table, extra=[counted])
    all_rows = expected.value.reshape((len(expected.value), -1)).sum(axis=1, dtype="float64")
    tolerance = np.sqrt(np.finfo(position.dtype).eps)
    gradient, size = np.zeros((2, len(at[0])))
    for first in range(0, len(all_rows), table.batch_size):
        batch = np.arange(first, first + table.batch_size)
        once, batch = (batch < len(all_rows)).astype("float64"), batch % len(all_rows)
        data = [_rows_of(item, batch) for item in table.data]
        values, part = evaluate(*at, data, [once])
        whole = all_rows[batch]
        wrong = is_off(values, whole, tolerance * (1 + np.abs(whole)))
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            raise MinibatchError(
                f'audit of "{name}": the log-likelihood of row {batch[i]} is {values[i]:.6g} '
                f"in a batch and {whole[i]:.6g} in the full data. {_DEFECT}"
            )
        gradient += part
        size += np.abs(part)
    _compare_gradients(f'"{name}"', gradient, expected.gradient, tolerance * (1 + size), density)


def _rows_of(item: Data, rows: np.ndarray) -> np.ndarray:
    """Return rows of data, of the template where the model has no others."""
    array = item.array if item.template is None else item.template
    return array[rows].astype(item.variable.type.dtype, copy=False)


@np.errstate(invalid="ignore")
def _compare_sums(
    label: str,
    graph: Variable,
    density: LogDensity,
    at: Place,
    expected: Sequence[_Expected],
) -> None:
    """Compare what every update evaluates in full."""
    evaluate = density.function([graph, density.gradient(graph, density.position)])
    value, gradient = evaluate(*at)
    all_values = float(sum(part.value.sum(dtype="float64") for part in expected))
    scale = 1 + sum(np.abs(part.value).sum(dtype="float64") for part in expected)
    tolerance = np.sqrt(np.finfo(density.position.dtype).eps)
    if is_off(value, all_values, tolerance * scale):
        raise MinibatchError(
            f"audit of {label}: its log density is {value:.6g}, and in PyMC {all_values:.6g}. "
            f"{_DEFECT}"
        )
    gradients = [part.gradient for part in expected]
    size = 1 + scale + np.sum(np.abs(gradients), axis=0)
    full = np.sum(gradients, axis=0) + np.zeros(len(at[0]))
    _compare_gradients(label, gradient, full, tolerance * size, density)


def _compare_gradients(
    label: str,
    found: np.ndarray,
    expected: np.ndarray,
    tolerance: np.ndarray,
    density: LogDensity,
) -> None:
    wrong = is_off(found, expected, tolerance)
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        entry = next(c for c in density.coordinates if c.start <= i < c.start + c.size).label(i)
        raise MinibatchError(
            f"audit of {label}: the gradients by {entry} add up to {found[i]:.6g}, and that of "
            f"the full data is {expected[i]:.6g}. {_DEFECT}"
        )


def is_off(found: Any, expected: Any, tolerance: Any) -> Any:
    """Whether numbers are not those that are expected, where these are finite."""
    return np.isfinite(expected) & ~(np.abs(found - expected) <= tolerance)


_DEFECT = (
    "This is a defect of pymc_sgld, not of the model: please report it. Until it is fixed, "
    "batch_size=N samples with the full gradient, if the audit of that passes."
)
