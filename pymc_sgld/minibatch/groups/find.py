"""Which effects of a model belong to groups of rows, and are independent from group to group.

It is found by trying: a selection of groups is pushed through the graphs, as one of rows is. What
it reaches of the parameters has one entry for each group; an op that mixes groups stops it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors, toposort
from pytensor.tensor.subtensor import AdvancedSubtensor

from pymc_sgld.minibatch.graph.dispatch import RowsMixed
from pymc_sgld.minibatch.graph.fixed import FixedValues
from pymc_sgld.minibatch.graph.rebuild import tensor
from pymc_sgld.minibatch.groups.groups import Groups
from pymc_sgld.minibatch.groups.layout import counted
from pymc_sgld.minibatch.groups.levels import ByIndex, Levels
from pymc_sgld.minibatch.selection.from_sources import without_source
from pymc_sgld.minibatch.selection.rows import RowSelection
from pymc_sgld.minibatch.terms import Term
from pymc_sgld.sources.reader import LEAST_BLOCKS, MOST_BYTES

MOST_EFFECTS = 2  # of a group: a grid of nodes has so many dimensions


@dataclass(eq=False)
class Factor:
    """Variables with an effect for each of some groups."""

    groups: int  # how many groups there are
    axes: dict[str, int]  # by the name of a variable, where it has the groups
    # by the name of an observed variable, the group of each of its rows
    index: dict[str, np.ndarray] = field(default_factory=dict)
    q: int = 0  # effects of a group
    refusal: str | None = None  # why they cannot be integrated out

    @property
    def names(self) -> str:
        """The variables, for a sentence."""
        return " and ".join(f'"{name}"' for name in self.axes)


class _Trial(RowSelection):
    """A selection of groups that notes which parameters it reaches, and on which axis."""

    def __init__(self, fixed: FixedValues, parameters: Mapping[Variable, str], groups: int) -> None:
        super().__init__(fixed, parameters, groups, 3 if groups != 3 else 4)
        self.reached: dict[Variable, int] = {}

    def leaf(self, variable: Variable, axis: int) -> Variable | None:
        if variable in self.parameters:
            if self.reached.setdefault(variable, axis) != axis:
                raise RowsMixed(f'"{self.parameters[variable]}" has its groups on two axes')
            shape = [*variable.type.shape]
            shape[axis] = self.batch_size
            return tensor(None, variable.type.dtype, shape)
        return self.read_fixed(variable, axis)

    def read(self, array: np.ndarray, name: str | None, sources: Sequence[str] = ()) -> Variable:
        return tensor(name, array.dtype.name, (self.batch_size, *array.shape[1:]))


class FactorSearch:
    """Finds the factors of a model."""

    def __init__(
        self,
        terms: Sequence[Term],
        fixed: FixedValues,
        parameters: Mapping[Variable, str],
        moved: Sequence[str],
        full: Collection[str] = (),
    ) -> None:
        self._full = full
        self._terms, self._fixed, self._parameters = terms, fixed, parameters
        self._variables = {name: variable for variable, name in parameters.items()}
        self._levels = Levels(fixed, {each for term in terms for each in term.streamed})
        self._moved = set(moved)
        self._priors = {term.name: term for term in terms if term.kind == "free"}
        self._above = {
            term.name: {parameters[v] for v in ancestors([term.graph]) if v in parameters}
            for term in terms
        }

    def factors(self) -> list[Factor]:
        """Return the factors of the model, the one with the most groups (and effects) first."""
        found: list[Factor] = []
        for term in self._terms:
            if term.kind == "observed" and term.rows > 1:
                for factor in self._uses(term):
                    self._include(found, factor)
        for factor in found:
            factor.refusal = factor.refusal or self._refusal(factor)
        return sorted(self._joined(found), key=lambda factor: (-factor.groups, -factor.q))

    def _joined(self, factors: Sequence[Factor]) -> list[Factor]:
        """Join variables that one index picks, such as intercepts and slopes, while they can be."""
        found: list[Factor] = []
        for factor in factors:
            for i, other in enumerate(found):
                together = self._together(other, factor)
                if together is not None:
                    found[i] = together
                    break
            else:
                found.append(factor)
        return found

    def _together(self, one: Factor, other: Factor) -> Factor | None:
        """Return two factors as one, or None if they cannot be integrated out together."""
        shared = one.index.keys() & other.index.keys()
        same = one.groups == other.groups and all(
            np.array_equal(one.index[name], other.index[name]) for name in shared
        )
        if not (shared and same) or one.refusal or other.refusal:
            return None
        together = Factor(one.groups, one.axes | other.axes, one.index | other.index)
        together.refusal = self._refusal(together)
        return None if together.refusal else together

    def _uses(self, term: Term) -> Iterator[Factor]:
        """Give what has an entry for each group, with the group of each row of a term."""
        for node in toposort([term.graph]):
            if not isinstance(node.op, AdvancedSubtensor) or self._fixed.is_fixed(node.outputs[0]):
                continue
            picked = ByIndex.find(node.outputs[0])
            if picked is None:
                continue
            axes = self._reached(picked.of, picked.group_axis, picked.groups)
            if not axes:
                yield from self._mixed(picked)
            else:
                found = Factor(picked.groups, axes)
                try:
                    index = self._levels.of(picked)
                    self._check_source(picked, term)
                    if index is None or len(index) != term.rows:
                        continue
                    found.index[term.name] = index
                except RowsMixed as error:
                    found.refusal = error.reason
                yield found
        by_row = term.graph.type.ndim and not term.streamed
        axes = self._reached(term.graph, 0, term.rows) if by_row else {}
        if axes:
            yield Factor(term.rows, axes, {term.name: np.arange(term.rows)})

    def _mixed(self, picked: ByIndex) -> Iterator[Factor]:
        """Give parameters with about as many entries as groups, of which a group has no own one."""
        alike = {picked.groups, picked.groups - 1}  # one less where they have a sum of zero
        above = set(ancestors([picked.of]))
        for variable, name in self._parameters.items():
            if variable in above and name in self._moved and alike & {*variable.type.shape}:
                refusal = "an effect of one group depends on entries of all groups"
                yield Factor(picked.groups, {name: 0}, refusal=refusal)

    def _check_source(self, picked: ByIndex, term: Term) -> None:
        """Refuse a list of the model that has an entry for each row of a template."""
        if not term.streamed or not self._fixed.is_fixed(picked.entry):
            return
        if picked.entry.type.shape == (len(term.streamed[0].template),):
            raise RowsMixed(without_source(self._fixed.names(picked.entry)))

    def _reached(self, graph: Variable, axis: int, groups: int) -> dict[str, int]:
        """Return the parameters with one entry for each group in a graph, and on which axis."""
        trial = _Trial(self._fixed, self._parameters, groups)
        try:
            trial.select(graph, axis)
        except RowsMixed:
            return {}
        return {self._parameters[variable]: axis for variable, axis in trial.reached.items()}

    def _include(self, found: list[Factor], new: Factor) -> None:
        """Add a use of effects to the factor that they belong to."""
        new.axes = axes = self._with_priors(new.axes, new.groups)
        for factor in [factor for factor in found if factor.axes.keys() & axes.keys()]:
            found.remove(factor)
            if factor.groups != new.groups or any(
                factor.axes.get(name, axis) != axis for name, axis in new.axes.items()
            ):
                new.refusal = "one of them has groups on two axes"
            new.axes = factor.axes | new.axes
            for name, of_rows in factor.index.items():
                if not np.array_equal(new.index.setdefault(name, of_rows), of_rows):
                    new.refusal = f'"{name}" picks their entries by two different indices'
            new.refusal = new.refusal or factor.refusal
        found.append(new)

    def _with_priors(self, axes: dict[str, int], groups: int) -> dict[str, int]:
        """Return effects with those that their priors depend on, group by group."""
        todo, found = list(axes.items()), dict(axes)
        while todo:
            name, axis = todo.pop()
            prior = self._priors.get(name)
            if prior is None or prior.graph.type.ndim <= axis:
                continue
            for other, own in self._reached(prior.graph, axis, groups).items():
                if other not in found:
                    found[other] = own
                    todo.append((other, own))
        return found

    def _refusal(self, factor: Factor) -> str | None:
        """Return why the effects of a factor cannot be integrated out, or None."""
        if factor.groups < 2:
            return "there is only one group"
        for name, axis in factor.axes.items():
            variable, prior = self._variables[name], self._priors.get(name)
            if prior is None or name not in self._moved:
                return f'"{name}" is sampled by another step'
            shape = variable.type.shape
            factor.q += int(np.prod(shape[:axis] + shape[axis + 1 :]))
            for term in self._terms:
                belongs = term.name in factor.axes or term.name in factor.index
                if not belongs and name in self._above[term.name]:
                    what = {"free": "the prior of ", "potential": "the potential "}
                    return f'"{name}" enters {what.get(term.kind, "")}"{term.name}" as a whole'
            if prior.graph.type.ndim <= axis:
                return f'the prior of "{name}" couples the groups: it is one number for all'
            trial = _Trial(self._fixed, self._parameters, factor.groups)
            try:
                trial.select(prior.graph, axis)
            except RowsMixed as error:
                return f'the prior of "{name}" couples the groups: {error.reason}'
            if variable not in trial.reached:
                return f'the prior of "{name}" couples the groups'
        if self._moved <= factor.axes.keys():
            return "they are all that is sampled, and nothing would be left"
        if factor.q > MOST_EFFECTS:
            return f"a group has {factor.q} effects, and at most {MOST_EFFECTS} are integrated out"
        outcomes = [term for term in self._terms if term.name in factor.index]
        for term in outcomes:
            if term.name in self._full:
                return f'"{term.name}" is in full='
            if term.declared:
                return f'the rows of "{term.name}" come from pm.Minibatch'
        return self._refusal_of_sources(factor, outcomes) or self._refusal_of_graphs(factor)

    def _refusal_of_sources(self, factor: Factor, outcomes: Sequence[Term]) -> str | None:
        """Return why the rows of groups cannot be read from sources, or None."""
        streamed = [term for term in outcomes if term.streamed]
        if not streamed:
            return None
        for term in outcomes:
            if not term.streamed:
                return (
                    f'the rows of "{streamed[0].name}" come from data=, and those of "{term.name}" '
                    "do not: give them sources, too"
                )
        rows = group_bytes = 0
        for term in outcomes:
            most = int(counted(factor.index[term.name], factor.groups).max())
            rows += most
            group_bytes += most * sum(each.source.row_bytes for each in term.streamed)
        if LEAST_BLOCKS * group_bytes > MOST_BYTES:
            return (
                f"a group has up to {rows:,} rows, {group_bytes:,} bytes, and {LEAST_BLOCKS} of "
                f"them have to be in memory together, {MOST_BYTES:,} bytes at most: pass "
                "marginalize=False"
            )
        return None

    def _refusal_of_graphs(self, factor: Factor) -> str | None:
        """Return why groups cannot be told apart in the graphs, or None."""
        try:
            groups = Groups(self._fixed, self._parameters, self._terms, factor.axes, factor.index)
            term = groups.term(groups.classes[0], 1)
            for copies in (1, 2):  # without and with nodes
                term.joint(tensor(None, term.start.type.dtype, (copies, groups.q)), copies)
        except RowsMixed as error:
            return error.reason
        return None
