"""The terms of a model's log density: one for every random variable and potential."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytensor.tensor as pt
from pymc.model import Model
from pymc.variational.minibatch_rv import MinibatchRandomVariable
from pytensor.graph.basic import Variable
from pytensor.tensor import NoneConst
from pytensor.tensor.type import TensorType

from pymc_sgld.errors import SettingError
from pymc_sgld.minibatch.graph.factors import use_factors
from pymc_sgld.minibatch.graph.fixed import FixedValues
from pymc_sgld.minibatch.graph.integers import widen
from pymc_sgld.minibatch.graph.named_dimensions import lower, rows_first
from pymc_sgld.minibatch.graph.rebuild import rebuild
from pymc_sgld.minibatch.graph.support import conditions_of, remove_checks
from pymc_sgld.minibatch.position import Inputs
from pymc_sgld.minibatch.selection.fixed_index import pick_from_data
from pymc_sgld.minibatch.selection.from_sources import Streamed, check_length
from pymc_sgld.minibatch.selection.pm_minibatch import Declared
from pymc_sgld.sources.source import Source


@dataclass(eq=False)
class Term:
    """A term of the log density, elementwise, on all the data."""

    name: str  # of the random variable or potential
    kind: str  # "free", "potential" or "observed"
    graph: Variable  # the elementwise log density, without its parameter checks
    conditions: list[Variable]  # boolean tensors: where an entry is false the density is zero
    # the elementwise log density as PyMC gives it, a graph of the value variables, and of the rows
    # of a template in the precision of their source
    reference: Variable
    declared: list[Declared]  # the calls of ``pm.Minibatch`` that it takes its rows from
    total_size: bool  # whether the model scales it by a ``total_size`` of its rows
    streamed: list[Streamed]  # the data with a source that it reads
    rows: int = 0  # rows of the data of an observed variable, or of its sources
    # what PyMC's own graph of it gives at the initial point, on all rows
    value: np.ndarray = field(default_factory=lambda: np.zeros(0), repr=False)


def make_terms(
    model: Model, inputs: Inputs, sources: Mapping[str, Source] | None = None
) -> tuple[list[Term], FixedValues]:
    """Return the terms of a model as graphs of the position and of data, and these data."""
    rvs = [*model.free_RVs, *model.potentials, *model.observed_RVs]
    first = len(rvs) - len(model.observed_RVs)
    logps = model.logp(vars=rvs, sum=False)
    observed = [model.rvs_to_values[rv] for rv in model.observed_RVs]
    logps[first:] = map(rows_first, logps[first:], observed)
    plain = lower([*logps, *map(rows_first, observed, observed)])
    logps, observed = plain[: len(rvs)], plain[len(rvs) :]
    conditions = [conditions_of(logp) for logp in logps]
    graphs = [*logps, *[condition for of_term in conditions for condition in of_term]]
    graphs = remove_checks(widen(use_factors(graphs)))
    declared = Declared.find(graphs)
    leaves = {output: leaf for d in declared for output, leaf in d.leaves.items()}
    found = Streamed.find(model, sources or {})
    leaves |= {variable: each.leaf for variable, each in found.items()}
    for rv, graph in zip(rvs, graphs, strict=False):
        check_length(rv.name, graph, found)
    narrower = {
        variable: pt.constant(each.as_read)
        for variable, each in found.items()
        if each.source.dtype != each.template.dtype and isinstance(variable.type, TensorType)
    }
    references = rebuild(logps, narrower)
    streamed = list(found.values())
    fixed = FixedValues([*graphs, *observed], {**inputs.replacements, **leaves})
    for call in declared:
        fixed.sources.update(call.sources)
    pick_from_data(fixed, inputs.names)
    outputs = iter(fixed.outputs)
    graphs = [next(outputs) for _ in rvs]
    terms = []
    for rv, graph, of_term, logp in zip(rvs, graphs, conditions, references, strict=True):
        term = Term(
            name=rv.name,
            kind="free",
            graph=graph,
            conditions=[next(outputs) for _ in of_term],
            reference=logp,
            declared=Declared.of(graph, declared),
            total_size=_has_total_size(rv),
            streamed=Streamed.of([graph], streamed),
        )
        terms.append(term)
    for term in terms[len(model.free_RVs) : first]:
        term.kind = "potential"
    for term in terms[first:]:
        term.kind = "observed"
        value = next(outputs)
        if term.declared:
            term.rows = term.declared[0].total_size
        elif not term.streamed:
            shape = np.shape(fixed.value(value))
            term.rows = shape[0] if shape else 1
    for term in terms:
        if term.streamed:
            term.rows = _rows_of(term)
    _check_all_read(terms, streamed)
    return terms, fixed


def _rows_of(term: Term) -> int:
    """Return the number of rows that the sources of a term have."""
    first, *others = term.streamed
    if term.declared:
        raise SettingError(
            f'"{term.name}" reads rows of pm.Minibatch, and rows of data["{first.source.name}"]: '
            "give all of its data sources, and leave pm.Minibatch and total_size out."
        )
    if term.total_size:  # a factor for the rows of the template, and batches have another
        raise SettingError(
            f'"{term.name}" has a total_size, and rows of data["{first.source.name}"]: leave '
            f"total_size out, data= says how many rows there are ({len(first.source)})."
        )
    for other in others:
        if len(other.source) != len(first.source):
            raise SettingError(
                f'"{term.name}" reads {len(first.source)} rows of data["{first.source.name}"] and '
                f'{len(other.source)} of data["{other.source.name}"]: sources that are read '
                "together must have equally many rows."
            )
        if len(other.template) != len(first.template):
            raise SettingError(
                f'"{term.name}" reads "{first.source.name}" and "{other.source.name}", of which '
                f"the model has {len(first.template)} and {len(other.template)} rows: build it "
                "with equally many of both."
            )
    return len(first.source)


def _check_all_read(terms: Sequence[Term], streamed: Sequence[Streamed]) -> None:
    """Refuse a source that nothing reads."""
    read = {each for term in terms for each in term.streamed}
    for each in streamed:
        if each not in read:
            raise SettingError(
                f'data has "{each.source.name}", which the log density of the model does not '
                "depend on: leave it out. If it depends on it, but the rows in the model are all "
                "alike, build the model with rows that differ."
            )


def _has_total_size(rv: Variable) -> bool:
    """Whether a random variable has a ``total_size``, and that of its rows."""
    node = rv.owner
    if node is None or not isinstance(node.op, MinibatchRandomVariable):
        return False
    return not NoneConst.equals(node.inputs[1])
