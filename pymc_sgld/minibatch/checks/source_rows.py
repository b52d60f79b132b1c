"""The first pass over the rows of sources: the density must be finite in each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors

from pymc_sgld.errors import DataError, warn
from pymc_sgld.minibatch.blocks import read_blocks
from pymc_sgld.minibatch.checks.negative_indices import explain_negative, indices_into_parameters
from pymc_sgld.minibatch.density import LogDensity, Table
from pymc_sgld.progress import progress
from pymc_sgld.sources.grouped import OfGroups

_SAMPLE, _SAMPLE_BYTES, _LEAST_SAMPLE = 262_144, 2**26, 4096  # rows that are kept
_LEAST_GROUPS = 16  # as many as a window has at least
_SEED = 20190705  # fixed: what is measured is a property of the model, not of a chain


def check_rows(density: LogDensity, inputs: Mapping[Variable, np.ndarray]) -> None:
    """Evaluate the likelihoods of sources once, on all their rows, block by block.

    On the way, some rows are kept as the ``sample`` of each source.

    """
    tables = [table for table in density.tables if table.sources]
    blocks = sum(-(-table.total_size // table.batch_size) for table in tables)
    with progress("reading the data", blocks) as update:
        for table in tables:
            check, sample = _row_check(table, density), _Sample(table)
            first: dict[str, int] = {}  # row with a negative index
            negative, seen = Counter[str](), 0
            for start, block in read_blocks(table):
                for name, (right, in_range) in check(inputs, start, block).items():
                    if not right.all():
                        raise DataError(_explain(name, start, right, table, block))
                    rows = start + np.flatnonzero(~in_range)
                    rows = rows[rows >= seen]  # the last two blocks may overlap
                    if len(rows):
                        first.setdefault(name, int(rows[0]))
                        negative[name] += len(rows)
                seen = start + table.batch_size
                sample.take(start, block)
                update()
            sample.keep()
            for name, row in first.items():
                sentence = explain_negative("a source", name, row, negative[name])
                warn(sentence)


class _Sample:
    """Rows of the sources of a table, picked at random while all of them pass by."""

    def __init__(self, table: Table) -> None:
        row_bytes = max(1, sum(source.row_bytes for source in table.sources))
        least = max(_LEAST_GROUPS, round(_LEAST_SAMPLE / max(1, table.rows_each)))
        size = max(least, min(_SAMPLE, _SAMPLE_BYTES // row_bytes))
        rows = table.total_size
        rng = np.random.default_rng(_SEED)
        picked = np.unique(rng.integers(rows, size=size)) if size < rows else np.arange(rows)
        self._picked, self._filled, self._table = picked, 0, table
        self._rows = [np.empty((len(picked), *s.shape[1:]), s.dtype) for s in table.sources]

    def take(self, start: int, block: Sequence[np.ndarray]) -> None:
        """Take those of a block that were not seen in an earlier one."""
        stop = np.searchsorted(self._picked, start + self._table.batch_size)
        here = self._picked[self._filled : stop] - start
        for rows, array in zip(self._rows, block, strict=True):
            rows[self._filled : stop] = array[here]
        self._filled = int(stop)

    def keep(self) -> None:
        """Give each source its rows, in random order."""
        order = np.random.default_rng(_SEED).permutation(len(self._picked))
        for source, rows in zip(self._table.sources, self._rows, strict=True):
            source.keep(self._picked[order], rows[order])


def _row_check(
    table: Table, density: LogDensity
) -> Callable[..., dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Return a function that looks at each term in the rows of a block.

    It says of each row whether the term is finite there, and no index negative.
    """
    right: dict[str, Variable] = {}
    in_range: dict[str, Variable] = {}

    def is_data(variable: Variable) -> bool:
        return density.position not in ancestors([variable])

    for name, log_likelihood in table.likelihoods.items():
        conditions = density.conditions.get(name, [])
        right[name] = _by_row(pt.isfinite(log_likelihood), table.batch_size)
        for condition in conditions:
            right[name] = right[name] & _by_row(condition.astype(bool), table.batch_size)
        in_range[name] = pt.ones(table.batch_size, dtype=bool)
        for index in indices_into_parameters(log_likelihood, is_data):
            if index.type.shape[:1] == (table.batch_size,):
                in_range[name] = in_range[name] & _by_row(index >= 0, table.batch_size)
    function = density.function([*right.values(), *in_range.values()], table)

    def check(
        inputs: Mapping[Variable, np.ndarray], start: int, block: list[np.ndarray]
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        others = [inputs[other] for other in density.others.values()]
        try:
            with np.errstate(all="ignore"):
                found = function(inputs[density.position], others, block)
        except IndexError as error:
            raise DataError(
                f"an index in the model is out of range, in rows {start} to "
                f"{start + table.batch_size} of data=: {error.args[0]}"
            ) from None
        return dict(zip(right, zip(found[: len(right)], found[len(right) :]), strict=True))

    return check


def _by_row(right: Variable, rows: int) -> Variable:
    """Return whether all entries of each row are true; one that is for all rows, for each.

    Where rows are groups, their own rows follow each other.
    """
    if right.type.ndim and right.type.shape[0] and right.type.shape[0] % rows == 0:
        return right.reshape((rows, -1)).all(axis=1)
    return pt.alloc(right.all(), rows)


def _explain(
    name: str, start: int, right: np.ndarray, table: Table, block: list[np.ndarray]
) -> str:
    place = int(np.flatnonzero(~right)[0])
    what, where, kind = f'"{name}"', f" in row {start + place} of data=", "rows"
    if table.members is not None:
        group = table.members[start + place]
        what, where = f"group {group} of the effects that are integrated out", ""
        kind = "groups"
    return (
        f"the density of {what} is not finite at the initial point{where} "
        f"({_why(place, table, block)}; {np.sum(~right)} such {kind} in the block). {_REASONS}"
    )


def _why(row: int, table: Table, block: list[np.ndarray]) -> str:
    missing = [
        f'"{source.name}"'
        for source, array in zip(table.sources, block, strict=True)
        if array.dtype.kind == "f"
        and not isinstance(source, OfGroups)
        and np.isnan(array[row]).any()
    ]
    return f"NaN in {', '.join(missing)}" if missing else "zero or not a number"


_REASONS = (
    "Data outside the support of their distribution, NaN in the data, or an initial point that the "
    "data contradict: pass another point as initial_point=."
)
