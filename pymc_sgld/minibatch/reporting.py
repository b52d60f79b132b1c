"""What is minibatched, by which data, at which cost; and what is not, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from pymc.blocking import PointType
from pymc.model import Model
from pytensor.graph.traversal import ancestors

from pymc_sgld.arguments import complete_point, model_of, names, placed, value_variables
from pymc_sgld.minibatch.graph.fixed import FixedValues
from pymc_sgld.minibatch.model import SMALL, Minibatcher
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
        that an update and a full gradient read.
    refusals : dict
        For each variable that cannot be minibatched, the reason and the way out: the message of
        the error that ``SGLD`` raises.
    notes : list of str
        What is read in full at every update.
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
    initial_point: PointType | None = None,
) -> Report:
    """Say what ``SGLD`` would minibatch of a model, by which data, and what not and why.

    Parameters
    ----------
    model : Model, optional
        By default the model of the context.
    vars, batch_size, potentials, full, data, initial_point
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
    rows = Minibatcher(
        model,
        value_variables(vars, model),
        complete_point(initial_point, model),
        placed(potentials),
        names("full", full),
        bind(data),
    )
    tables = rows.tables(batch_size)
    lines, refusals, notes = [], {}, []
    for placement in tables.placements:
        read = data_of(placement, rows.fixed, tables)
        if placement.term.kind == "free" and not read:
            continue
        lines.append(_line(placement, read))
        name = placement.term.name
        if placement.refusal is not None:
            refusals[name] = str(placement.refusal)
        elif whole := [item for item in read if not item.by_row]:
            times = Counter((_name(item), item.array.size) for item in whole)
            listing = ", ".join(
                f"{read_name} ({f'{n} arrays of ' if n > 1 else ''}{size} entries)"
                for (read_name, size), n in times.items()
            )
            notes.append(f'"{name}" reads in full at every update: {listing}.')
    columns = ["variable", "rows", "batch", "treatment", "data", "entries", "full_entries"]
    return Report(pd.DataFrame(lines, columns=columns), refusals, notes)


def data_of(placement: Placement, fixed: FixedValues, tables: Tables) -> list[Data]:
    """Return the data that the graph of a term reads."""
    found = set(ancestors([placement.graph]))
    selection = tables.selections.get(placement.key)
    by_row = [item for item in selection.data if item.variable in found] if selection else []
    whole = [
        Data(variable, fixed.value(variable), tuple(fixed.names(variable)), by_row=False)
        for variable in fixed.largest_fixed([placement.graph])
    ]
    return by_row + [
        item
        for item in whole
        if item.array.size > SMALL
        or (placement.total_size > 1 and placement.total_size in item.array.shape)
    ]


def _line(placement: Placement, read: list[Data]) -> dict[str, object]:
    per_update = sum(
        item.array.size
        // (len(item.array) if item.by_row else 1)
        * (placement.batch_size if item.by_row else 1)
        for item in read
    )
    refused = placement.refusal is not None
    if refused:
        treatment = "refused"
    elif placement.key is None:
        treatment = "prior"
    else:
        in_full = placement.batch_size == placement.total_size
        treatment = "in full" if in_full else "minibatched"
    return {
        "variable": placement.term.name,
        "rows": placement.total_size,
        "batch": placement.batch_size,
        "treatment": treatment,
        "data": ", ".join(dict.fromkeys(_name(item) for item in read)),
        "entries": 0 if refused else per_update,
        "full_entries": sum(item.array.size for item in read),
    }


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
