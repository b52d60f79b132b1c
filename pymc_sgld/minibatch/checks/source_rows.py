"""The first pass over the rows of sources: the density must be finite in each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors

from pymc_sgld.errors import DataError, warn
from pymc_sgld.minibatch.blocks import Part, by_part, over_parts, parts_of
from pymc_sgld.minibatch.checks.initial_point import INITIAL_POINT, Where
from pymc_sgld.minibatch.checks.negative_indices import explain_negative, indices_into_parameters
from pymc_sgld.minibatch.density import LogDensity, Place, Table
from pymc_sgld.progress import progress
from pymc_sgld.sources.grouped import OfGroups

_SAMPLE, _SAMPLE_BYTES, _LEAST_SAMPLE = 262_144, 2**26, 4096  # rows that are kept
_LEAST_GROUPS = 16  # as many as a window has at least
_SEED = 20190705  # fixed: what is measured is a property of the model, not of a chain


def check_rows(
    density: LogDensity,
    inputs: Mapping[Variable, np.ndarray],
    where: Where = INITIAL_POINT,
    workers: Any = None,
) -> None:
    """Evaluate the likelihoods of sources once, on all their rows, block by block.

    On the way, some rows are kept as the ``sample`` of each source.

    ``where``: the point that ``inputs`` are of, in words. ``workers``: other processes that the
    rows are divided among.
    """
    tables = {i: table for i, table in enumerate(density.tables, start=1) if table.sources}
    parts = {i: parts_of(table) for i, table in tables.items()}
    place = inputs[density.position], [inputs[other] for other in density.others.values()]
    check = RowCheck(density, where)
    with progress("reading the data", sum(map(len, parts.values()))) as update:
        for i, table in tables.items():
            picked = _picked(table)
            taken: list[list[np.ndarray]] = []
            first: dict[str, int] = {}  # row with a negative index
            negative = Counter[str]()
            for found in over_parts(check, i, parts[i], "of_parts", place, picked, workers=workers):
                first = found.first | first
                negative.update(found.negative)
                taken.append(found.taken)
                update()
            order = np.random.default_rng(_SEED).permutation(len(picked))
            for source, rows in zip(table.sources, zip(*taken, strict=True), strict=True):
                source.keep(picked[order], np.concatenate(rows)[order])
            for name, row in first.items():
                sentence = explain_negative("a source", name, row, negative[name])
                warn(sentence)


def _picked(table: Table) -> np.ndarray:
    """Return the rows of a table that are kept, picked at random, in ascending order."""
    row_bytes = max(1, sum(source.row_bytes for source in table.sources))
    least = max(_LEAST_GROUPS, round(_LEAST_SAMPLE / max(1, table.rows_each)))
    size = max(least, min(_SAMPLE, _SAMPLE_BYTES // row_bytes))
    rows = table.total_size
    if size >= rows:
        return np.arange(rows)
    return np.unique(np.random.default_rng(_SEED).integers(rows, size=size))


class _Seen(NamedTuple):
    """What was seen of a part of a table."""

    taken: list[np.ndarray]  # of each source, the rows that are kept
    first: dict[str, int]  # by term, the first row with a negative index
    negative: dict[str, int]  # and how many there are


class RowCheck:
    """Looks at the rows of sources, to see whether the density is finite in each."""

    def __init__(self, density: LogDensity, where: Where) -> None:
        self.density, self.where = density, where
        self._checks: dict[int, Callable[..., dict[str, tuple[np.ndarray, np.ndarray]]]] = {}

    def portable(self) -> RowCheck:
        """Return the same for another process."""
        return RowCheck(self.density.portable(), self.where)

    def of_parts(
        self, i: int, parts: Sequence[Part], place: Place, picked: np.ndarray
    ) -> Iterator[_Seen]:
        """Give what is seen of each of some parts of a table.

        Raises
        ------
        DataError
            If the density is not finite in a row.
        """
        table = self.density.tables[i - 1]
        check = self._checks.setdefault(i, _row_check(table, self.density))
        for _, blocks in by_part(table, parts):
            taken: list[list[np.ndarray]] = []
            first: dict[str, int] = {}
            negative = Counter[str]()
            for block in blocks:
                for name, (right, in_range) in check(place, block.first, block.data).items():
                    if not right.all():
                        where = self.where
                        raise DataError(
                            _explain(name, block.first, right, table, block.data, where)
                        )
                    rows = block.first + block.old + np.flatnonzero(~in_range[block.old :])
                    if len(rows):
                        first.setdefault(name, int(rows[0]))
                        negative[name] += len(rows)
                here = block.places(picked)
                taken.append([array[here] for array in block.data])
            joined = [np.concatenate(arrays) for arrays in zip(*taken, strict=True)]
            yield _Seen(joined, first, dict(negative))


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
        place: Place, start: int, block: list[np.ndarray]
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        try:
            with np.errstate(all="ignore"):
                found = function(*place, block)
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
    name: str,
    start: int,
    right: np.ndarray,
    table: Table,
    block: list[np.ndarray],
    where: Where,
) -> str:
    place = int(np.flatnonzero(~right)[0])
    what, row, kind = f'"{name}"', f" in row {start + place} of data=", "rows"
    if table.members is not None:
        group = table.members[start + place]
        what, row = f"group {group} of the effects that are integrated out", ""
        kind = "groups"
    return (
        f"the density of {what} is not finite at {where.name}{row} "
        f"({_why(place, table, block)}; {np.sum(~right)} such {kind} in the block). Likely "
        f"reasons: data outside the support of their distribution, NaN in the data, or "
        f"{where.contradicted}"
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
