"""The groups of a model whose effects are integrated out: their terms of the log density."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import vectorize_graph
from pytensor.graph.traversal import ancestors

from pymc_sgld.minibatch.graph.dispatch import RowsMixed
from pymc_sgld.minibatch.graph.fixed import FixedValues
from pymc_sgld.minibatch.graph.rebuild import rebuild
from pymc_sgld.minibatch.graph.simplified import simplified
from pymc_sgld.minibatch.groups.layout import SizeClass, classes_of, classes_of_sources
from pymc_sgld.minibatch.groups.levels import Levels
from pymc_sgld.minibatch.groups.quadrature import Nodes, derivatives, log_likelihood
from pymc_sgld.minibatch.groups.selection import (
    BatchOfGroups,
    GroupSelection,
    Picked,
    RowsOfGroups,
    repeated,
)
from pymc_sgld.minibatch.selection.rows import Data
from pymc_sgld.minibatch.terms import Term

_NODES, _NEWTON = 7, 4  # nodes and steps to a mode, to begin with


@dataclass(frozen=True, eq=False)
class Effect:
    """A variable with an effect for each group."""

    name: str  # as the user knows it
    variable: Variable  # in the graphs of the terms
    axis: int  # where it has the groups

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the effects of one group."""
        shape = self.variable.type.shape
        return shape[: self.axis] + shape[self.axis + 1 :]

    @property
    def size(self) -> int:
        """How many effects a group has of it."""
        return int(np.prod(self.shape))


class Groups:
    """The groups of a model whose effects are integrated out.

    Parameters
    ----------
    axes : dict
        By the name of a variable with an effect for each group, where it has the groups.
    index : dict
        By the name of an observed variable, the group of each of its rows.
    by_default : bool
        Whether nobody asked to integrate them out.
    of_template : bool
        Whether the rows are those of the template, where sources have them.
    """

    def __init__(
        self,
        fixed: FixedValues,
        parameters: Mapping[Variable, str],
        terms: Sequence[Term],
        axes: Mapping[str, int],
        index: Mapping[str, np.ndarray],
        by_default: bool = False,
        of_template: bool = False,
    ) -> None:
        self.by_default, self.terms = by_default, terms
        variables = {name: variable for variable, name in parameters.items()}
        by_name = {term.name: term for term in terms}
        self.fixed, self.parameters, self.index = fixed, parameters, index
        self.effects = [Effect(name, variables[name], axis) for name, axis in axes.items()]
        self.priors = [by_name[name] for name in axes]
        self.outcomes = [by_name[name] for name in index]
        first = self.effects[0]
        self.count = first.variable.type.shape[first.axis]
        self.q = sum(effect.size for effect in self.effects)
        dtype = first.variable.type.dtype
        streamed = {each for term in self.outcomes for each in term.streamed}
        self.levels = Levels(fixed, streamed, of_template)
        self.from_sources = bool(streamed) and not of_template
        of_size = self.count, self.q, dtype
        self.classes: Sequence[SizeClass] = (
            classes_of_sources(index, *of_size)
            if self.from_sources
            else classes_of(index, *of_size)
        )
        self._terms: dict[tuple[str, int], GroupTerm] = {}
        self.use_nodes(_NODES, _NEWTON)

    def in_template(self) -> Groups:
        """Return the same groups with the rows that the model has in the place of sources."""
        index = {}
        for term in self.outcomes:
            own = self.index[term.name]
            known = ((each.template, each.source.levels) for each in term.streamed)
            found = (rows for rows, of in known if of is not None and np.array_equal(of, own))
            index[term.name] = next(found).astype("int64") % self.count
        axes = {effect.name: effect.axis for effect in self.effects}
        return Groups(self.fixed, self.parameters, self.terms, axes, index, of_template=True)

    def use_nodes(self, count: int, newton: int = 1) -> None:
        """Take so many nodes along each effect; one where effects are normal given the others.

        They are around what so many of Newton's steps lead to from the modes that are stored.
        """
        self.nodes_each, self.newton = count, newton
        self.nodes = Nodes.of(count, self.q)

    def of_point(self, values: Mapping[Variable, np.ndarray]) -> np.ndarray:
        """Return the effects of all groups, shape (groups, q), of values by their variable."""
        parts = [np.moveaxis(values[effect.variable], effect.axis, 0) for effect in self.effects]
        return np.concatenate([part.reshape((self.count, -1)) for part in parts], axis=1)

    def start_from(self, values: Mapping[Variable, np.ndarray]) -> None:
        """Search modes from these effects, by their variable."""
        start = self.of_point(values)
        for members in self.classes:
            members.start[:] = start[members.members]

    def log_likelihood(self, term: GroupTerm, newton: int = 1) -> Variable:
        """Return the log-likelihood of the groups of a batch, their effects integrated out.

        Their modes are searched by ``newton`` steps at least.
        """
        newton = max(newton, self.newton) if len(self.nodes.z) > 1 else 1
        return log_likelihood(term.joint, term.start, self.nodes, newton)

    @property
    def labels(self) -> str:
        """The effects, for a sentence."""
        return " and ".join(f'"{effect.name}"' for effect in self.effects)

    def sentence(self, chosen: bool = True) -> str:
        """Say what is integrated out, and by how many nodes, if their number has been chosen."""
        names = " and ".join(effect.name for effect in self.effects)
        sizes = np.concatenate([members.sizes for members in self.classes])
        least, most = int(sizes.min()), int(sizes.max())
        span = f"{least:,} to {most:,} rows" if least < most else f"{most:,} row{'s'[: most != 1]}"
        if self.nodes_each == 1:
            how = "with 1 node (exact)"
        elif not chosen:
            how = "by quadrature"
        else:
            how = f"with {' x '.join([str(self.nodes_each)] * self.q)} nodes"
        return f"{names}: {self.count:,} groups of {span}, integrated out {how}"

    @property
    def variables(self) -> list[Variable]:
        """The effects, in the graphs of the terms."""
        return [effect.variable for effect in self.effects]

    @property
    def names(self) -> set[str]:
        """Of the terms that belong to the groups."""
        return {term.name for term in [*self.priors, *self.outcomes]}

    def term(self, members: SizeClass, batch_size: int) -> GroupTerm:
        """Return the joint log density of some groups of a class.

        Raises
        ------
        RowsMixed
            If their effects cannot be told from those of other groups.
        """
        key = members.name, batch_size
        if key not in self._terms:
            self._terms[key] = GroupTerm(self, members, batch_size)
        return self._terms[key]


class GroupTerm:
    """The joint log density of the groups of a batch, and the integral over their effects."""

    def __init__(self, groups: Groups, members: SizeClass, batch_size: int) -> None:
        self.groups, self.members, self.batch_size = groups, members, batch_size
        self._batch = BatchOfGroups(members, batch_size)
        self.start = self._batch.read(members.as_read(members.start), "start")
        self._rows: list[tuple[Variable, RowsOfGroups]] = []
        self.conditions: list[Variable] = []
        for term in groups.outcomes:
            rows = RowsOfGroups(groups, term, self._batch)
            self._rows.append((self._of_rows(term, rows), rows))
        above = set(groups.variables)
        for term in groups.priors:
            self.conditions += [c for c in term.conditions if above.isdisjoint(ancestors([c]))]

    @property
    def data(self) -> list[Data]:
        """What an update reads by the group."""
        return self._batch.data

    @property
    def by_outcome(self) -> dict[str, Variable]:
        """The log-likelihood of each row, by the name of its observed variable."""
        names = (term.name for term in self.groups.outcomes)
        return {name: graph for name, (graph, _) in zip(names, self._rows, strict=True)}

    def _of_rows(self, term: Term, rows: RowsOfGroups) -> Variable:
        """Return the log-likelihood of each row of the groups of a batch, shape (rows,)."""
        graph = rows.select(term.graph, 0)
        graph = (
            pt.sum(graph, axis=list(range(1, graph.type.ndim))) if graph.type.ndim > 1 else graph
        )
        for condition in term.conditions:
            selected = rows.condition(condition)
            if not any(each.variable in ancestors([selected]) for each in rows.picked):
                self.conditions.append(selected)
                continue
            inside = pt.all(selected.reshape((rows.batch_size, -1)), axis=1)
            graph = pt.switch(inside, graph, np.asarray(-np.inf, graph.dtype))
        counts = self.members.counts[term.name]
        if counts.min() < rows.longest:
            of_batch = self._batch.read(self.members.as_read(counts), None)
            counted = pt.constant(np.arange(rows.longest)) < of_batch[:, None]
            graph = pt.switch(counted.reshape((rows.batch_size,)), graph, 0)
        reason = rows.leftover(graph)
        if reason is not None:
            raise RowsMixed(reason)
        return graph

    def joint(self, effects: Variable, copies: int) -> Variable:
        """Return ``h`` at effects of shape (copies * groups, q), as shape (copies, groups)."""
        groups, start, alone = self.batch_size, 0, len(self.groups.effects) == 1
        taken = {}
        for effect in self.groups.effects:
            part = effects if alone else effects[:, start : start + effect.size]
            part = part.reshape((copies * groups, *effect.shape))
            taken[effect.variable] = effect.axis, part.astype(effect.variable.type.dtype)
            start += effect.size
        selection = GroupSelection(self.groups, self._batch, taken, copies)
        total = pt.zeros((copies, groups), dtype=effects.dtype)
        for term, effect in zip(self.groups.priors, self.groups.effects, strict=True):
            prior = pt.moveaxis(selection.select(term.graph, effect.axis), effect.axis, 0)
            total = total + prior.reshape((copies, groups, -1)).sum(axis=2)
        for graph, rows in self._rows:
            replaced = {
                each.variable: _for_rows(each.select(selection), each, copies, rows.longest)
                for each in rows.picked
            }
            if copies == 1:
                replaced = {old: new.squeeze(0) for old, new in replaced.items()}
                [by_row] = rebuild([graph], replaced)
            else:
                by_row = vectorize_graph(graph, replaced)
            total = total + by_row.reshape((copies, groups, rows.longest)).sum(axis=2)
        found = set(ancestors([total]))
        for effect in self.groups.effects:
            if effect.variable in found:
                raise RowsMixed(f'all of "{effect.name}" enters the density of every group')
        return simplified([total], [effects, *self.groups.parameters])[0]

    def derivatives(self, effects: Variable) -> list[Variable]:
        """Return the slope of ``h`` at effects, and the entries of a factor of its curvature."""
        slope, factor = derivatives(self.joint, effects)
        return [slope, *[entry for row in factor for entry in row]]


def _for_rows(found: Variable, picked: Picked, copies: int, longest: int) -> Variable:
    """Return what is picked by the group, for each row of each copy: shape (copies, ...)."""
    wide = repeated(found, longest, 1)
    rows = wide.type.shape[0] // copies
    wide = wide.reshape((copies, rows, *wide.type.shape[1:]))
    return pt.moveaxis(wide, 1, picked.axis + 1) if picked.axis else wide
