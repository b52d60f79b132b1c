"""Rows whose index into the parameters is negative, as that of a missing category often is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import toposort
from pytensor.tensor.subtensor import AdvancedSubtensor, indices_from_subtensor

from pymc_sgld.minibatch.graph.fixed import FixedValues
from pymc_sgld.minibatch.terms import Term


def negative_indices(terms: Sequence[Term], fixed: FixedValues) -> list[str]:
    """Return a sentence for each index with negative entries by which rows pick their parameter.

    NumPy counts them from the end, PyTensor does the same, and so does NUTS. A few entries that
    the model was written with (``effect[[0, -1]]``) are meant.
    """
    found: dict[object, str] = {}
    for term in terms:
        for index in indices_into_parameters(term.graph, fixed.is_fixed):
            if index in found or not fixed.is_fixed(index):
                continue
            values = fixed.value(index)
            if values.shape[:1] != (term.rows,) or term.rows < 2:
                continue
            if (values < 0).any():
                row = int(np.argwhere(values < 0)[0][0])
                names = fixed.names(index)
                source = f'"{names[0]}"' if names else "an index"
                found[index] = explain_negative(source, term.name, row, int((values < 0).sum()))
    return list(found.values())


def indices_into_parameters(
    graph: Variable, is_fixed: Callable[[Variable], bool]
) -> Iterator[Variable]:
    """Give the arrays of integers by which a graph picks from what is not fixed."""
    for node in toposort([graph]):
        if isinstance(node.op, AdvancedSubtensor) and not is_fixed(node.inputs[0]):
            for index in indices_from_subtensor(node.inputs[1:], node.op.idx_list):
                if not isinstance(index, slice) and index.type.dtype.startswith("int"):
                    yield index


def explain_negative(source: str, name: str, row: int, entries: int) -> str:
    """Return the sentence on an index with so many negative entries, the first in a row."""
    return (
        f'{source} has {entries} negative entries, the first in row {row} of "{name}": they count '
        "from the end, so that -1 reads the last group. pandas codes a missing category so: leave "
        "these rows out, or give them a group of their own."
    )
