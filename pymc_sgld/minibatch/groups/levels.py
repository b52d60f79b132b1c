"""The lists of integers by which a model picks the effect of each row: the groups of the rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors
from pytensor.scalar.basic import Cast
from pytensor.tensor.elemwise import Elemwise
from pytensor.tensor.subtensor import indices_from_subtensor

from pymc_sgld.errors import DataError
from pymc_sgld.minibatch.graph.dispatch import RowsMixed
from pymc_sgld.minibatch.graph.fixed import FixedValues
from pymc_sgld.minibatch.selection.from_sources import Streamed
from pymc_sgld.progress import progress
from pymc_sgld.sources.source import Source

_BLOCK_BYTES = 2**23  # of an index that are read at once


@dataclass(frozen=True)
class ByIndex:
    """A variable that is indexed by a fixed list on one axis, by numbers or slices on others."""

    of: Variable  # what is indexed
    group_axis: int  # on which axis by the list
    entry: Variable  # shape (rows,): the list
    others: tuple[Any, ...]  # indices of the other axes
    axis: int  # where the entries are in the result

    @property
    def groups(self) -> int:
        """How many entries there are to pick from."""
        return self.of.type.shape[self.group_axis]

    @classmethod
    def find(cls, variable: Variable) -> ByIndex | None:
        """Return how a variable is indexed, if by a list on one axis; else None."""
        of, *flat = variable.owner.inputs
        entries = list(indices_from_subtensor(flat, variable.owner.op.idx_list))
        entries += [slice(None)] * (of.type.ndim - len(entries))
        arrays = [a for a, entry in enumerate(entries) if not isinstance(entry, slice)]
        lists = [a for a in arrays if entries[a].type.ndim]
        if len(lists) != 1 or len(entries) != of.type.ndim:
            return None
        [place] = lists
        entry = entries[place]
        is_list = entry.type.ndim == 1 and entry.type.dtype.startswith(("int", "uint"))
        if not is_list or of.type.shape[place] is None:
            return None
        others = tuple(entry for a, entry in enumerate(entries) if a != place)
        consecutive = arrays == list(range(arrays[0], arrays[-1] + 1))
        kept = () if all(isinstance(o, slice) and o == slice(None) for o in others) else others
        return cls(of, place, entry, kept, arrays[0] if consecutive else 0)


class Levels:
    """The groups of rows, by the list that picks their effects.

    Parameters
    ----------
    streamed : collection of Streamed
        Data of which a source has all rows.
    of_template : bool
        Whether the rows are those of the template, and not those of the sources.
    """

    def __init__(
        self, fixed: FixedValues, streamed: Collection[Streamed] = (), of_template: bool = False
    ) -> None:
        self._fixed, self._of_template = fixed, of_template
        self._streamed = {each.leaf: each for each in streamed}

    def of(self, picked: ByIndex) -> np.ndarray | None:
        """Return the group of each row, or None where no data tell it.

        Raises
        ------
        RowsMixed
            If it is computed of a source, or some entries of it are negative.
        DataError
            If there are no such groups, with the row.
        """
        entry, groups = picked.entry, picked.groups
        behind = Streamed.of([entry], list(self._streamed.values()))
        if behind:
            found = self._streamed.get(_without_casts(entry, groups))
            if found is None:
                names = " and ".join(f'"{each.source.name}"' for each in behind)
                raise RowsMixed(
                    f"the index of the groups is computed from {names}: store the result in the "
                    "source, and use that as the index"
                )
            if not self._of_template:
                return levels_of(found.source, groups)
            index = found.template
        elif self._fixed.is_fixed(entry):
            index = self._fixed.value(entry)
        else:
            return None
        index = index.astype("int64")
        index = np.where(index < 0, index + groups, index)
        if not len(index) or index.min() < 0 or index.max() >= groups:
            return None
        return index

    def is_read(self, graph: Variable) -> bool:
        """Whether a graph has rows of sources in it."""
        return not self._streamed.keys().isdisjoint(ancestors([graph]))

    def rows(self, variable: Variable) -> Source | np.ndarray | None:
        """Return the rows that data of the model stand for, or None for other variables."""
        found = self._streamed.get(variable)
        if found is None:
            return None
        return found.as_read if self._of_template else found.source


def _without_casts(entry: Variable, groups: int) -> Variable:
    """Return what a list of integers is cast from, as long as the casts change no number."""
    while entry.owner is not None and isinstance(entry.owner.op, Elemwise):
        if not isinstance(entry.owner.op.scalar_op, Cast):
            break
        [inner] = entry.owner.inputs
        whole = inner.type.dtype.startswith(("int", "uint"))
        if not whole or np.iinfo(entry.type.dtype).max < groups - 1:
            break
        entry = inner
    return entry


def levels_of(source: Source, groups: int) -> np.ndarray:
    """Return the group of each row of a source, in as few bits as they need. It is read once."""
    dtype, known = np.min_scalar_type(groups - 1), source.levels
    if known is None or known.dtype != dtype or known.max() >= groups:
        source.levels = known = _read(source, groups, dtype)
    return known


def _read(source: Source, groups: int, dtype: np.dtype) -> np.ndarray:
    found = np.empty(len(source), dtype)
    length = source.chunk * max(1, _BLOCK_BYTES // source.row_bytes // source.chunk)
    starts = range(0, len(source), length)
    with progress(f'reading "{source.name}"', len(starts)) as update:
        for start in starts:
            block = source[start : start + length]
            for wrong in np.flatnonzero((block < 0) | (block >= groups))[:1]:
                value, row = int(block[wrong]), start + int(wrong)
                where = f'"{source.name}" is {value} in row {row} of data='
                if -groups <= value < 0:
                    raise RowsMixed(
                        f"{where}: negative numbers count from the end, and pandas codes a missing "
                        "category so: leave these rows out, or give them a group of their own"
                    )
                raise DataError(
                    f"an index in the model is out of range: {where}, and there are {groups} "
                    f"groups, 0 to {groups - 1}."
                )
            found[start : start + length] = block
            update()
    return found
