"""What costs more than the user may think: rows in full at every update, rows with every draw."""

from __future__ import annotations

from math import prod

import numpy as np
from pymc.blocking import PointType
from pymc.model import Model

from pymc_sgld.backends.numpy_mode import run_by_numpy
from pymc_sgld.minibatch.graph.named_dimensions import lower
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.minibatch.reporting import data_of
from pymc_sgld.minibatch.tables import Placement, Tables

MOST_ENTRIES = 100_000  # of a likelihood, at every update: from here on they are most of its time
MOST_STORED = 100e6  # bytes that Deterministics take in 1,000 draws of a chain


def of_updates(model: Minibatcher, batch_size: int | None) -> list[str]:
    """Return a sentence for each likelihood of which an update reads very much, unasked."""
    if batch_size is not None:
        return []
    tables = model.tables(None)
    found = [_of_update(placement, model, tables) for placement in tables.placements]
    return [sentence for sentence in found if sentence]


def _of_update(placement: Placement, model: Minibatcher, tables: Tables) -> str:
    term, read = placement.term, data_of(placement, model.fixed, tables)
    grouped = placement.key in tables.group_terms  # groups are read with all of their rows
    if grouped or tables.is_placed(term) or term.declared or placement.refusal is not None:
        return ""
    entries = (placement.batch_size or len(np.atleast_1d(term.value))) * prod(term.value.shape[1:])
    in_full = placement.batch_size == placement.total_size
    if in_full:
        entries = max(entries, sum(item.array.size for item in read))
    if entries <= MOST_ENTRIES or term.kind == "free":
        return ""
    size = f"{entries:,} entries ({entries * term.value.itemsize / 1e6:.3g} MB)"
    if term.kind == "potential":
        how = "" if term.value.ndim else ", after it is written with one entry per row, not a sum,"
        return (
            f'the pm.Potential "{term.name}" reads all of its data at every update, {size}. Pass '
            f'potentials={{"{term.name}": "rows"}}{how} if it has one entry per row of the data, '
            'or "prior" if this is meant.'
        )
    turn = (
        "Rows are on the first axis: if the observations are on another, transpose the data and "
        "what they depend on, so that each observation is a row (y.T). If this is meant, "
    )
    if in_full:
        return (
            f'"{term.name}" is read in full at every update, {size}: its {placement.total_size} '
            f'rows are no more than a batch. {turn}pass full=["{term.name}"].'
        )
    return (
        f'every update reads {placement.batch_size} of the {placement.total_size} rows of "'
        f'{term.name}", {size}. {turn}pass batch_size={placement.batch_size}, or fewer.'
    )


def of_draws(model: Model, point: PointType) -> list[str]:
    """Return a sentence on Deterministics that are too large to be stored with every draw."""
    deterministics = [v for v in model.deterministics if v.type.ndim]
    if not deterministics:
        return []
    graphs = lower(model.replace_rvs_by_values(deterministics))
    # which PyTensor infers: nothing is computed
    shapes_at = run_by_numpy(model.value_vars, [graph.shape for graph in graphs])
    shapes = shapes_at(*[point[v.name] for v in model.value_vars])
    entries = {v.name: prod(shape) for v, shape in zip(deterministics, shapes, strict=True)}
    large = {name: n for name, n in entries.items() if 8000 * n >= MOST_STORED}
    if not large:
        return []
    names = " and ".join(f'"{name}"' for name in large)
    rest = ", ".join(f'"{v.name}"' for v in model.unobserved_RVs if v.name not in large)
    return [
        f"the pm.Deterministic {names} has {sum(large.values()):,} entries, which are computed and "
        f"stored with every draw: {0.008 * sum(large.values()):,.0f} MB for 1,000 draws of a "
        f"chain. Pass var_names=[{rest}] to pm.sample to leave them out (Bambi's fit does so)."
    ]
