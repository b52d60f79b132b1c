"""Where each term of the log density belongs: to the prior, or to a table of rows; refusals."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pytensor.graph.basic import Variable

from pymc_sgld.errors import DataError, MinibatchError, SettingError
from pymc_sgld.minibatch.graph.dispatch import RowsMixed
from pymc_sgld.minibatch.graph.fixed import FixedValues
from pymc_sgld.minibatch.groups.groups import Groups, GroupTerm
from pymc_sgld.minibatch.groups.layout import SizeClass
from pymc_sgld.minibatch.selection.from_sources import StreamedRows
from pymc_sgld.minibatch.selection.pm_minibatch import DeclaredRows
from pymc_sgld.minibatch.selection.rows import BatchSelection, Data, StoredRows
from pymc_sgld.minibatch.terms import Term

DEFAULT_BATCH_SIZE = 128
NEWTON = 2  # steps to the modes of effects at least, where all rows are evaluated


@dataclass(frozen=True, eq=False)
class Placement:
    """What becomes of one term."""

    term: Term
    graph: Variable  # its elementwise log density, for the rows of a batch
    conditions: tuple[Variable, ...] = ()  # its conditions, likewise
    # the same for terms that share the rows of a batch; None for a part of the prior
    key: Hashable = None
    # rows of the data, and of a batch
    total_size: int = 0
    batch_size: int = 0
    # rows of the data that one of these has: more than one where it is a group
    rows_each: float = 1.0
    refusal: MinibatchError | None = None  # why it cannot be minibatched


class Tables:
    """The tables of rows of a model, one for every number of rows, and what reads them.

    Observed variables with the same number of rows share their batches; those with another number
    have batches of their own. So each has its own N/n, and the gradient is unbiased for all.

    Parameters
    ----------
    batch_size : int or None
        Rows of a batch; a table of fewer rows is read in full.
    groups : Groups, optional
        Those whose effects are integrated out: each is a row of a table.
    block : int, optional
        Rows of the data that a batch of each class of groups is to have, about; by default all of
        them have ``batch_size`` together, each class the same share of its groups.
    """

    def __init__(
        self,
        terms: Sequence[Term],
        fixed: FixedValues,
        parameters: Mapping[Variable, str],
        batch_size: int | None,
        potentials: Mapping[str, str],
        full: Collection[str],
        groups: Groups | None = None,
        block: int | None = None,
    ) -> None:
        _check_names("potentials", potentials, terms, "potential")
        _check_names("full", full, terms, "observed")
        self._fixed, self._parameters = fixed, parameters
        self._potentials, self._full = potentials, full
        grouped = groups.names if groups is not None else set()
        rows = lengths(terms, potentials)
        self.largest = max(rows, default=0)
        _check_batch_size(batch_size, self.largest, terms)
        self.batch_size = DEFAULT_BATCH_SIZE if batch_size is None else batch_size
        self._no_rows = not any(term.rows for term in terms)
        self._all_rows = bool(rows) and batch_size == self.largest
        self._streamed = [each for term in terms for each in term.streamed]
        self.selections: dict[Hashable, BatchSelection] = {}
        alone = [term for term in terms if term.name not in grouped]
        self.placements = [self._place_or_refuse(term) for term in alone]
        self.group_terms: dict[Hashable, GroupTerm] = {}
        if groups is not None:
            all_rows = max(term.rows for term in groups.outcomes)
            for members in groups.classes:
                share = min(1.0, self.batch_size / all_rows) * len(members)
                size = share if block is None else block / members.longest
                size = min(max(1, round(size)), len(members))
                self._place_groups(groups, members, size, block)

    def is_placed(self, term: Term) -> bool:
        """Whether the user said what is to become of a term."""
        return term.name in self._full or term.name in self._potentials

    def _place_or_refuse(self, term: Term) -> Placement:
        try:
            return self._place(term)
        except MinibatchError as error:
            return Placement(term, term.graph, total_size=term.rows, refusal=error)

    def _place(self, term: Term) -> Placement:
        prior = Placement(term, term.graph, tuple(term.conditions))
        if term.declared:
            return self._place_declared(term)
        if term.streamed:
            return self._place_streamed(term)
        if term.kind == "free" or self._potentials.get(term.name) == "prior":
            return prior
        if term.kind == "potential" and term.name not in self._potentials:
            if self._all_rows or self._no_rows:
                return prior
            raise MinibatchError(
                f'cannot minibatch a model with the pm.Potential "{term.name}": it may belong to '
                "the prior or be a sum over rows, and nothing tells which. Pass "
                f'potentials={{"{term.name}": "prior"}} to add it once, whole, at every update, or '
                '"rows" if it has one entry per row of the data.'
            )
        if term.name in self._full:
            return self._whole(term, ("full", term.name))
        key = ("rows", term.rows)
        if self._all_rows:
            return self._whole(term, key)
        _refuse_other_lengths(term)
        if term.rows <= self.batch_size:
            return self._whole(term, key)
        if key not in self.selections:
            self.selections[key] = StoredRows(
                self._fixed, self._parameters, term.rows, self.batch_size
            )
        return self._select(term, key, term.rows)

    def _place_groups(
        self, groups: Groups, members: SizeClass, batch_size: int, block: int | None
    ) -> None:
        """Add the likelihood of some groups, their effects integrated out."""
        key = "groups", members.name
        self.group_terms[key] = made = groups.term(members, batch_size)
        size = len(members)
        graph = groups.log_likelihood(made, 1 if block is None else NEWTON)
        term = Term(members.name, "observed", graph, made.conditions, graph, [], False, [], size)
        each = float(members.sizes.mean())
        conditions = tuple(made.conditions)
        self.placements.append(Placement(term, graph, conditions, key, size, batch_size, each))

    def data_of(self, key: Hashable) -> list[Data]:
        """Return what the terms of a table read by the row."""
        if key in self.group_terms:
            return self.group_terms[key].data
        return self.selections[key].data if key in self.selections else []

    def members_of(self, key: Hashable) -> np.ndarray | None:
        """Return which groups the rows of a table are, or None."""
        return self.group_terms[key].members.members if key in self.group_terms else None

    def _whole(self, term: Term, key: Hashable) -> Placement:
        return Placement(term, term.graph, tuple(term.conditions), key, term.rows, term.rows)

    def _place_declared(self, term: Term) -> Placement:
        if len(term.declared) > 1:
            raise MinibatchError(
                f'cannot minibatch "{term.name}": its data come from several calls of '
                "pm.Minibatch, each of which picks rows of its own. Pass all of them to one call."
            )
        [declared] = term.declared
        if term.kind != "observed":
            raise MinibatchError(
                f'cannot minibatch "{term.name}": it reads rows of pm.Minibatch, which only '
                "observed variables can. Write the model with all its data, without pm.Minibatch "
                "and total_size."
            )
        if not term.total_size:
            raise MinibatchError(
                f'cannot minibatch "{term.name}": it uses pm.Minibatch without total_size, and '
                "would count as many rows as a batch has. Pass "
                f"total_size={declared.total_size}, or write the model with all its data, without "
                "pm.Minibatch."
            )
        if term.name in self._full:
            raise SettingError(
                f'full has "{term.name}", which uses pm.Minibatch: write the model with all its '
                "data, without pm.Minibatch and total_size."
            )
        _refuse_other_lengths(term)
        if declared not in self.selections:
            self.selections[declared] = DeclaredRows(declared, self._fixed, self._parameters)
        return self._select(term, declared, declared.total_size)

    def _place_streamed(self, term: Term) -> Placement:
        """Return a term whose rows come from sources."""
        names = " and ".join(f'"{each.source.name}"' for each in term.streamed)
        by_rows = self._potentials.get(term.name) == "rows"
        if term.kind != "observed" and not by_rows:
            raise MinibatchError(
                f'cannot minibatch "{term.name}": it reads {names} from data=, which only '
                'observed variables and potentials by "rows" can. Put these data into the model, '
                "with all their rows."
            )
        if term.name in self._full:
            raise SettingError(
                f'full has "{term.name}", which reads {names} from data=: put these data into the '
                "model, with all their rows, and leave them out of data."
            )
        template = len(term.streamed[0].template)
        if term.value.shape[:1] != (template,):
            raise MinibatchError(
                f'cannot minibatch "{term.name}": the model has {template} rows of {names}, and a '
                f"log-likelihood of shape {term.value.shape}, which must have one entry a row."
            )
        key = ("sources", term.rows, template)
        if key not in self.selections:
            size = term.rows, template
            alike = [e for e in self._streamed if (len(e.source), len(e.template)) == size]
            self.selections[key] = StreamedRows(
                alike, self._fixed, self._parameters, min(self.batch_size, term.rows)
            )
        return self._select(term, key, term.rows)

    def _select(self, term: Term, key: Hashable, total_size: int) -> Placement:
        """Return the term for the rows of a batch."""
        rows = self.selections[key]
        try:
            graph = rows.select(term.graph, 0)
            mixed = rows.leftover(graph)
            if mixed is not None:
                raise RowsMixed(mixed)
            conditions = [rows.condition(c) for c in term.conditions]
        except RowsMixed as error:
            raise MinibatchError(
                f'cannot minibatch "{term.name}" ({total_size} rows): {error.reason}. '
                f"{_way_out(term)}"
            ) from error
        return Placement(term, graph, tuple(conditions), key, total_size, rows.batch_size)


def lengths(terms: Sequence[Term], potentials: Mapping[str, str]) -> list[int]:
    """Return how many rows each term has that batches can be taken from."""
    for term in terms:
        by_rows = term.kind == "potential" and potentials.get(term.name) == "rows"
        if by_rows and not term.streamed:
            term.rows = term.value.shape[0] if term.value.ndim else 1
    return [term.rows for term in terms if term.rows and not term.declared]


def _way_out(term: Term) -> str:
    if term.streamed:
        return "Rows of data= must be used row by row: compute the rest beforehand."
    if term.declared:
        return "Write the model with all its data, without pm.Minibatch and total_size."
    if term.kind == "potential":
        return f'Pass potentials={{"{term.name}": "prior"}} to evaluate it in full at every update.'
    return f'Pass full=["{term.name}"] to evaluate it in full at every update.'


def _check_names(argument: str, names: Collection[str], terms: Sequence[Term], kind: str) -> None:
    known = [term.name for term in terms if term.kind == kind]
    unknown = [name for name in names if name not in known]
    if unknown:
        what = {"potential": "potentials", "observed": "observed variables"}[kind]
        raise SettingError(f"{argument} has {unknown}, but the {what} of the model are {known}.")


def _check_batch_size(batch_size: int | None, largest: int, terms: Sequence[Term]) -> None:
    if any(term.kind == "observed" and not term.rows for term in terms):
        empty = next(term.name for term in terms if term.kind == "observed" and not term.rows)
        raise DataError(f'observed variable "{empty}" has no rows.')
    if batch_size is None:
        return
    declared = {call.batch_size for term in terms for call in term.declared}
    if declared and not largest:
        if declared != {batch_size}:
            raise SettingError(
                f"batch_size={batch_size}, but the model takes batches of "
                f"{' and '.join(map(str, sorted(declared)))} rows by pm.Minibatch. Leave "
                "batch_size out, or write the model with all its data, without pm.Minibatch and "
                "total_size."
            )
    elif not largest:
        raise SettingError(
            f"batch_size={batch_size!r}, but the model has no observed variables to take rows "
            "from. Leave it out for full-gradient Langevin dynamics."
        )
    elif batch_size > largest:
        longest = next(term for term in terms if term.rows == largest)
        raise SettingError(
            f"batch_size={batch_size} is above the number of rows, {largest}. Use at most "
            f"{largest}, which gives the full gradient. (Rows are on the first axis of "
            f'"{longest.name}", whose log-likelihood has the shape {longest.value.shape}.)'
        )


def _refuse_other_lengths(term: Term) -> None:
    """Refuse a log-likelihood that is not one number (or one list of numbers) a row."""
    shape = term.value.shape
    if not shape and term.kind == "potential":
        raise MinibatchError(
            f'cannot minibatch the pm.Potential "{term.name}" by rows: it is one number. Write it '
            "with one entry per row, without the sum over them. " + _way_out(term)
        )
    if not shape and term.rows > 1:
        raise MinibatchError(
            f'cannot minibatch "{term.name}": its log-likelihood is one number for all of its '
            f"{term.rows} rows: either they are not independent given the parameters (a time "
            "series, a Gaussian process, one multivariate draw), or its logp sums over rows; then "
            f"return one entry per row. {_way_out(term)}"
        )
    if shape and shape[0] != term.rows:
        raise MinibatchError(
            f'cannot minibatch "{term.name}": it has {term.rows} rows, but its log-likelihood has '
            f"{shape[0]} entries. {_way_out(term)}"
        )
