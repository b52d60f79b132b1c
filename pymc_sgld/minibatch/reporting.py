"""What is minibatched, by which data, at which cost; and what is not, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from pymc.blocking import PointType
from pymc.model import Model
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors

from pymc_sgld.arguments import (
    complete_point,
    effects_named,
    model_of,
    names,
    placed,
    value_variables,
    whole_number,
)
from pymc_sgld.minibatch.graph.fixed import FixedValues
from pymc_sgld.minibatch.groups.groups import Groups
from pymc_sgld.minibatch.model import SMALL, Minibatcher
from pymc_sgld.minibatch.selection.from_sources import check_moved
from pymc_sgld.minibatch.selection.rows import Data
from pymc_sgld.minibatch.tables import Placement, Tables
from pymc_sgld.sources.bind import bind


@dataclass(frozen=True)
class Report:
    """What an update reads of a model. It prints as a table, in notebooks too.

    Attributes
    ----------
    table : DataFrame
        One line for every observed variable, every potential, and every free variable whose prior
        reads data. ``rows`` and ``batch`` are the numbers of rows of its data and of a batch,
        ``treatment`` is ``"minibatched"``, ``"in full"``, ``"prior"`` or ``"refused"``, ``data``
        names what it reads, and ``entries`` and ``full_entries`` count the entries of these arrays
        that an update and a full gradient read. A variable whose effects of groups are
        ``"integrated out"`` has groups in the place of rows. What is observed of the groups is read
        ``"by groups"``, a group with all of its rows, and the ``batch`` is an average.
    refusals : dict
        For each variable that cannot be minibatched, the reason and the way out: the message of
        the error that a step method raises.
    notes : list of str
        What is integrated out, or not and why; what is read in full at every update.
    """

    table: pd.DataFrame
    refusals: dict[str, str]
    notes: list[str]

    def __repr__(self) -> str:
        """Return the report as text."""
        return "\n".join([_shown(self.table).to_string(index=False), *self._sentences()])

    def _repr_html_(self) -> str:
        sentences = "".join(f"<p>{escape(sentence)}</p>" for sentence in self._sentences())
        return _shown(self.table).to_html(index=False, border=0) + sentences

    def _sentences(self) -> list[str]:
        return [*self.refusals.values(), *self.notes]


def report(
    model: Model | None = None,
    *,
    vars: object = None,
    batch_size: int | None = None,
    potentials: Mapping[str, str] | None = None,
    full: str | Collection[str] = (),
    data: Mapping[str, Any] | None = None,
    marginalize: str | Collection[str] | bool | None = None,
    initial_point: PointType | None = None,
) -> Report:
    """Say what ``SGLD`` would minibatch of a model, by which data, and what not and why.

    Parameters
    ----------
    model : Model, optional
        By default the model of the context.
    vars, batch_size, potentials, full, data, marginalize, initial_point
        As for :class:`~pymc_sgld.SGLD`.

    Returns
    -------
    Report
        A refused model is a report too: it raises no MinibatchError for what it can describe.

    Raises
    ------
    SettingError
        For an argument that does not fit the model.
    DataError
        If the density is zero or NaN at the initial point, with the variable and the row.

    Examples
    --------
    >>> import numpy as np
    >>> import pymc as pm
    >>> from pymc_sgld import minibatch
    >>> x = np.random.default_rng(1).normal(size=(1000, 3))
    >>> with pm.Model() as model:
    ...     beta = pm.Normal("beta", shape=3)
    ...     y = pm.Normal("y", pm.Data("x", x) @ beta, 1, observed=x[:, 0])
    >>> minibatch.report(model, batch_size=50)
    variable rows batch   treatment data entries per update of the full gradient
           y 1000    50 minibatched y, x                200                  5 %
    """
    model = model_of(model)
    moved = value_variables(vars, model)
    size = None if batch_size is None else whole_number("batch_size", batch_size)
    check_moved(moved, model, data)
    rows = Minibatcher(
        model,
        moved,
        complete_point(initial_point, model),
        placed(potentials),
        names("full", full),
        bind(data),
        effects_named(marginalize),
        read=False,
    )
    tables = rows.tables(size)
    lines: list[dict[str, object]] = []
    refusals: dict[str, str] = {}
    notes = [
        f"{kept} {'are' if ' and ' in kept else 'is'} not integrated out: {reason}."
        for kept, reason in rows.kept.items()
    ]
    if rows.groups is not None:
        notes.insert(0, f"{rows.groups.sentence(chosen=False)}.")
        for line, read in _of_groups(rows.groups, tables):
            lines.append(line)
            notes += _in_full(str(line["variable"]), read)
    for placement in tables.placements:
        if placement.key in tables.group_terms:
            continue
        read = data_of(placement, rows.fixed, tables)
        if placement.term.kind == "free" and not read:
            continue
        lines.append(_line(placement, read))
        name = placement.term.name
        if placement.refusal is not None:
            refusals[name] = str(placement.refusal)
        else:
            notes += _in_full(name, read)
    columns = ["variable", "rows", "batch", "treatment", "data", "entries", "full_entries"]
    return Report(pd.DataFrame(lines, columns=columns), refusals, notes)


def data_of(placement: Placement, fixed: FixedValues, tables: Tables) -> list[Data]:
    """Return the data that the graph of a term reads."""
    found = set(ancestors([placement.graph]))
    selection = tables.selections.get(placement.key)
    by_row = [item for item in selection.data if item.variable in found] if selection else []
    return by_row + [
        item
        for item in _whole(placement.graph, fixed)
        if item.array.size > SMALL
        or (placement.total_size > 1 and placement.total_size in item.array.shape)
    ]


def _whole(graph: Variable, fixed: FixedValues) -> list[Data]:
    """Return the data that a graph reads as a whole."""
    return [
        Data(variable, fixed.value(variable), tuple(fixed.names(variable)), by_row=False)
        for variable in fixed.largest_fixed([graph])
    ]


def _of_groups(groups: Groups, tables: Tables) -> Iterator[tuple[dict[str, object], list[Data]]]:
    """Give a line for each variable of groups that are integrated out, and the data it reads."""
    terms = list(tables.group_terms.values())
    batch = sum(term.batch_size for term in terms)
    rest = [(item, term) for term in terms for item in term.data]
    lines = []
    for outcome in groups.outcomes:
        read, rows = _Read(), 0.0
        for term in terms:
            graph = term.by_outcome[outcome.name]
            above = set(ancestors([graph]))
            own = [item for item in term.data if item.variable in above]
            rest = [(item, of) for item, of in rest if item not in own]
            counts = term.members.counts[outcome.name]
            padding = term.members.as_read(counts)  # says which rows fill a group up
            own = [item for item in own if item.array is not padding]
            whole = [item for item in _whole(graph, groups.fixed) if item.array.size > SMALL]
            read.add([*own, *whole], term.batch_size)
            rows += counts.sum() * term.batch_size / len(term.members)
        treatment = "in full" if batch == groups.count else "by groups"
        lines.append((read.line(outcome.name, outcome.rows, round(rows), treatment), read.data))
    for effect, prior in zip(groups.effects, groups.priors, strict=True):
        read = _Read()
        of_prior = {name for item in _whole(prior.graph, groups.fixed) for name in item.names}
        for term in terms:
            own = [each for each, of in rest if of is term and of_prior.intersection(each.names)]
            read.add(own, term.batch_size)
        line = read.line(effect.name, groups.count, batch, "integrated out")
        yield line, read.data
    yield from lines


class _Read:
    """What an update reads of some data."""

    def __init__(self) -> None:
        self.data: list[Data] = []
        self.entries = 0

    def add(self, data: Sequence[Data], batch_size: int) -> None:
        """Add data, of which an update reads so many rows, or all of them."""
        self.data += data
        for item in data:
            size = item.array.size
            self.entries += size // len(item.array) * batch_size if item.by_row else size

    def line(self, variable: str, rows: int, batch: int, treatment: str) -> dict[str, object]:
        """Return the line of a table."""
        return {
            "variable": variable,
            "rows": rows,
            "batch": batch,
            "treatment": treatment,
            "data": ", ".join(dict.fromkeys(_name(item) for item in self.data)),
            "entries": 0 if treatment == "refused" else self.entries,
            "full_entries": sum(item.array.size for item in self.data),
        }


def _line(placement: Placement, data: list[Data]) -> dict[str, object]:
    read = _Read()
    read.add(data, placement.batch_size)
    if placement.refusal is not None:
        treatment = "refused"
    elif placement.key is None:
        treatment = "prior"
    else:
        in_full = placement.batch_size == placement.total_size
        treatment = "in full" if in_full else "minibatched"
    name, sizes = placement.term.name, (placement.total_size, placement.batch_size)
    return read.line(name, *sizes, treatment)


def _in_full(name: str, data: list[Data]) -> list[str]:
    """Return a sentence on what is read in full at every update, if there is something."""
    whole = [item for item in data if not item.by_row]
    if not whole:
        return []
    times = Counter((_name(item), item.array.size) for item in whole)
    listing = ", ".join(
        f"{read_name} ({f'{n} arrays of ' if n > 1 else ''}{size} entries)"
        for (read_name, size), n in times.items()
    )
    return [f'"{name}" reads in full at every update: {listing}.']


def _name(item: Data) -> str:
    shape = " x ".join(map(str, item.array.shape))
    return " & ".join(item.names) or f"array {shape}"


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table as it is printed."""
    share = table["entries"] / np.maximum(table["full_entries"], 1)
    refused = table["treatment"] == "refused"
    return pd.DataFrame(
        {
            "variable": table["variable"],
            "rows": table["rows"].where(table["rows"] > 0, "").astype(str),
            "batch": table["batch"].where(table["batch"] > 0, "").astype(str),
            "treatment": table["treatment"],
            "data": table["data"],
            "entries per update": table["entries"].where(~refused, "").astype(str),
            "of the full gradient": [
                "" if no else f"{100 * part:.3g} %" for no, part in zip(refused, share, strict=True)
            ],
        }
    )
