"""From a PyMC model to a log density of batches of rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytensor.tensor as pt
from pymc.blocking import PointType
from pymc.model import Model
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import ancestors

from pymc_sgld.backends.backend import NUMPY, Backend
from pymc_sgld.errors import MinibatchError
from pymc_sgld.minibatch.blocks import BLOCK
from pymc_sgld.minibatch.checks.audit import audit_batches, compare_one_batch, is_cheap
from pymc_sgld.minibatch.checks.initial_point import INITIAL_POINT, Where, check_start
from pymc_sgld.minibatch.checks.source_rows import check_rows
from pymc_sgld.minibatch.density import LogDensity, Table, total
from pymc_sgld.minibatch.graph.fixed import FixedValues
from pymc_sgld.minibatch.graph.rebuild import rebuild, tensor
from pymc_sgld.minibatch.graph.simplified import simplified
from pymc_sgld.minibatch.groups.block import PROPOSALS, OfClass
from pymc_sgld.minibatch.groups.choose import choose_factor
from pymc_sgld.minibatch.groups.conditional import Conditional
from pymc_sgld.minibatch.groups.find import FactorSearch
from pymc_sgld.minibatch.groups.groups import Groups
from pymc_sgld.minibatch.position import Inputs
from pymc_sgld.minibatch.selection import rules  # noqa: F401  registers them
from pymc_sgld.minibatch.selection.rows import Data
from pymc_sgld.minibatch.tables import Placement, Tables, lengths
from pymc_sgld.minibatch.terms import make_terms
from pymc_sgld.sources.grouped import Grouped
from pymc_sgld.sources.source import Source

_NEAR = 0.1  # standard deviations from a mode, at the initial point
_CALLS = 1000  # draws of effects that are made, about
SMALL = 64  # entries up to which an array is better a constant of the graph than an input


class Minibatcher:
    """A model that gives its log density for batches of any size.

    Parameters
    ----------
    vars : sequence of Variable
        Value variables that form the position, in this order.
    point : dict
        A point of the model where its density is finite; gives the shapes.
    sources : dict, optional
        Where the rows of data are read from, for data of which the model has a few only.
    marginalize : collection of str or bool, optional
        Effects of groups to integrate out, by name; None where that helps.
    backend : Backend
        What runs passes over all rows.
    read : bool
        Whether to sort rows of sources by groups and to search modes of effects, which reads all of
        them; else the densities can be described, and not evaluated.
    where : Where
        What ``point`` is, in words.
    """

    def __init__(
        self,
        model: Model,
        vars: Sequence[Variable],
        point: PointType,
        potentials: Mapping[str, str] | None = None,
        full: Collection[str] = (),
        sources: Mapping[str, Source] | None = None,
        marginalize: Collection[str] | bool | None = False,
        backend: Backend = NUMPY,
        read: bool = True,
        where: Where = INITIAL_POINT,
    ) -> None:
        self.backend = backend
        self.inputs = Inputs(model, vars, point)
        self.terms, self.fixed = make_terms(model, self.inputs, sources)
        self._potentials, self._full = potentials or {}, full
        self._value_vars, self._point, self._where = list(model.value_vars), point, where
        check_start(self.terms, self.fixed, self.inputs.values, self._value_vars, point, where)
        self.groups: Groups | None = None
        self.effects: Conditional | None = None
        self.kept: dict[str, str] = {}
        if marginalize is not False:
            self._integrate_out(model, vars, point, sources, marginalize)
        if self.groups is not None and (read or not self.groups.from_sources):
            self._settle(self.groups)

    def _integrate_out(
        self,
        model: Model,
        vars: Sequence[Variable],
        point: PointType,
        sources: Mapping[str, Source] | None,
        marginalize: Collection[str] | bool | None,
    ) -> None:
        """Take effects of groups out of the position, if there are any that can be."""
        moved = [c.name for c in self.inputs.coordinates]
        factors = FactorSearch(
            self.terms, self.fixed, self.inputs.names, moved, self._full
        ).factors()
        factor, self.kept = choose_factor(factors, moved, marginalize)
        if factor is None:
            return
        values = {term.name: term.value for term in self.terms}
        left = [v for v in vars if model.values_to_rvs[v].name not in factor.axes]
        self.inputs = Inputs(model, left, point)
        self.terms, self.fixed = make_terms(model, self.inputs, sources)
        for term in self.terms:
            term.value = values[term.name]
        names, of_groups = self.inputs.names, (factor.axes, factor.index)
        self.groups = Groups(self.fixed, names, self.terms, *of_groups, marginalize is None)

    def _settle(self, groups: Groups) -> None:
        """Search the modes of the effects, and see whether these are normal."""
        values = self.inputs.values
        groups.start_from(values)
        nodes = groups.nodes_each, groups.newton
        groups.use_nodes(1)  # the effects given the other variables need no integral
        self.effects = self._conditional()
        self.effects.settle(values[self.inputs.position], self.values_of_others, near=_NEAR)
        if not self.effects.normal:
            groups.use_nodes(*nodes)

    @property
    def others(self) -> dict[str, Variable]:
        """Inputs for the variables that the step does not move, but for effects of groups."""
        effects = self.groups.variables if self.groups is not None else []
        return {name: other for name, other in self.inputs.others.items() if other not in effects}

    @property
    def values_of_others(self) -> list[np.ndarray]:
        """Their values at the initial point."""
        return [self.inputs.values[other] for other in self.others.values()]

    @property
    def parents(self) -> dict[str, set[str]]:
        """By the name of a variable, those that the step moves and that its prior depends on."""
        found: dict[str, set[str]] = {}
        for term in self.terms:
            if term.kind == "free":
                above = set(ancestors([term.graph]))
                pairs = zip(self.inputs.coordinates, self.inputs.pieces, strict=True)
                names = {c.name for c, piece in pairs if piece in above and c.name != term.name}
                found[term.name] = names
        return found

    def check_sources(self) -> None:
        """Read all rows of the sources once, to see whether the density is finite in each."""
        if any(term.streamed for term in self.terms):
            density, workers = self.blocks(BLOCK), self.backend.workers
            check_rows(density, self.inputs.values, self._where, workers)

    def tables(self, batch_size: int | None, block: int | None = None) -> Tables:
        """Return the terms in their tables of rows, refused ones among them."""
        names = self.inputs.names
        placed = self._potentials, self._full
        return Tables(self.terms, self.fixed, names, batch_size, *placed, self.groups, block)

    def blocks(self, rows: int) -> LogDensity:
        """Return the log density for blocks of at most that many rows."""
        largest = self.largest
        return self._density(self.tables(min(rows, largest) if largest else None, rows))

    def likelihood(self, name: str, rows: int) -> LogDensity:
        """Return the log-likelihood of one observed variable for blocks of at most so many rows."""
        tables = self.tables(min(rows, self.largest) if self.largest else None, rows)
        [own] = [placement for placement in tables.placements if placement.term.name == name]
        if own.refusal is not None:
            raise own.refusal
        return self._assemble(tables, [own])

    @property
    def largest(self) -> int:
        """Rows of the longest table: a batch of so many is all of the data."""
        return max(lengths(self.terms, self._potentials), default=0)

    def density(self, batch_size: int | None = None, audit: bool | None = False) -> LogDensity:
        """Return the log density for batches of ``batch_size`` rows.

        All of them are graphs of the same position and other variables.

        Parameters
        ----------
        batch_size : int or None
            Rows of a batch; data of fewer rows are read in full. None for 128.
        audit : bool or None
            Whether to compare the batches of an epoch with the full data; None for yes if it is
            cheap. The rows of one batch are always compared.
        """
        tables = self.tables(batch_size)
        density = self._density(tables)
        if audit or (audit is None and is_cheap(density)):
            grouped = self.groups.names if self.groups is not None else set()
            terms = [term for term in self.terms if term.name not in grouped]
            audit_batches(density, terms, self._value_vars, self._point)
        compare_one_batch(tables, self.fixed, self.inputs.values)
        return density

    def _conditional(self) -> Conditional:
        """Return the effects of the groups given the other variables."""
        assert self.groups is not None
        tables = self.tables(None, BLOCK)
        graphs: list[Variable] = []
        effects = []
        for term in tables.group_terms.values():
            one, many = (
                tensor("effects", term.start.dtype, (copies * term.batch_size, self.groups.q))
                for copies in (1, PROPOSALS)
            )
            effects.append((one, many))
            graphs += [*term.derivatives(one), term.joint(many, PROPOSALS)]
        graphs, whole = take_out_data(graphs, self.fixed, set(ancestors(self.inputs.pieces)))
        own = [placement for placement in tables.placements if placement.key in tables.group_terms]
        density = self._assemble(tables, own)  # other terms may be refused
        density = replace(density, whole=whole)
        for source in (source for table in density.tables for source in table.sources):
            if isinstance(source, Grouped):
                source.sort()
        each = len(graphs) // len(effects)
        found = []
        for i, (members, (one, many)) in enumerate(zip(self.groups.classes, effects, strict=True)):
            table = density.tables[i]
            make = partial(self.backend.function, calls=_CALLS * table.scale)
            *derivatives, joint = graphs[i * each : (i + 1) * each]
            found.append(
                OfClass(
                    members,
                    table,
                    density.function(derivatives, table, extra=[one], make=make),
                    partial(density.function, [joint], table, extra=[many], make=make),
                )
            )
        return Conditional(self.groups.effects, found)

    def _density(self, tables: Tables) -> LogDensity:
        refusals = [p.refusal for p in tables.placements if p.refusal is not None]
        if len(refusals) == 1:
            raise refusals[0]
        if refusals:
            raise MinibatchError(
                f"{refusals[0]} {len(refusals) - 1} more of its terms cannot be minibatched: "
                "pymc_sgld.minibatch.report(model) lists them."
            )
        return self._assemble(tables, tables.placements)

    def _assemble(self, tables: Tables, placements: Sequence[Placement]) -> LogDensity:
        """Put terms together: the prior, and a sum over each table of rows."""
        inputs, fixed = self.inputs, self.fixed
        dtype = inputs.position.dtype
        by_key: dict[object, list[Placement]] = {}
        for placement in placements:
            by_key.setdefault(placement.key, []).append(placement)
        prior = [placement.graph for placement in by_key.pop(None, [])]
        likelihoods = [placement for members in by_key.values() for placement in members]
        conditions = {
            p.term.name: [c for c in p.conditions if not fixed.is_fixed(c)] for p in placements
        }
        graphs = [
            total(prior, dtype),
            *[_unscaled(placement) for placement in likelihoods],
            *[condition for of_term in conditions.values() for condition in of_term],
        ]
        outputs, whole = take_out_data(graphs, fixed, set(ancestors(inputs.pieces)))
        log_prior, *rest = simplified(outputs, inputs.pieces)
        graph_of = dict(zip(likelihoods, rest, strict=False))
        remaining = iter(rest[len(likelihoods) :])
        return LogDensity(
            position=inputs.position,
            pieces=inputs.pieces,
            coordinates=tuple(inputs.coordinates),
            others=self.others,
            log_prior=log_prior,
            tables=tuple(
                Table(
                    likelihoods={p.term.name: graph_of[p] for p in members},
                    total_size=members[0].total_size,
                    batch_size=members[0].batch_size,
                    data=list(tables.data_of(key)),
                    rows_each=members[0].rows_each,
                    members=tables.members_of(key),
                )
                for key, members in by_key.items()
            ),
            conditions={
                name: [next(remaining) for _ in of_term] for name, of_term in conditions.items()
            },
            whole=whole,
            sources=fixed.sources,
            batch_size=min(tables.batch_size, tables.largest),
        )


def _unscaled(placement: Placement) -> Variable:
    """Return a likelihood without the factor ``total_size / batch_size`` of ``pm.Minibatch``."""
    if not placement.term.declared:
        return placement.graph
    scale = np.asarray(placement.batch_size / placement.total_size, placement.graph.type.dtype)
    return placement.graph * scale


def take_out_data(
    outputs: list[Variable], fixed: FixedValues, of_position: Collection[Variable]
) -> tuple[list[Variable], list[Data]]:
    """Put fixed values into graphs: large ones as inputs, so that no graph holds the data.

    What the pieces of the position are made of stays: gradients are taken by these variables.
    """
    replacements: dict[Variable, Variable] = {}
    whole = []
    for variable in fixed.largest_fixed(outputs):
        value = fixed.value(variable)
        if value.size <= SMALL:
            if isinstance(variable, Constant) and (not value.ndim or variable in of_position):
                continue
            # a copy: the user's array may change, and this one is to stay as it was
            replacements[variable] = pt.constant(value.copy(), dtype=variable.type.dtype)
        else:
            stand_in = tensor(variable.name, variable.type.dtype, value.shape)
            replacements[variable] = stand_in
            names = tuple(fixed.names(variable))
            whole.append(Data(stand_in, value, names, by_row=False))
    return rebuild(outputs, replacements), whole
