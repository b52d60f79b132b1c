"""Rows whose index into the parameters is negative, as that of a missing category often is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pytensor.graph.traversal import toposort
from pytensor.tensor.subtensor import AdvancedSubtensor, indices_from_subtensor

from pymc_sgld.minibatch.fixed import FixedValues
from pymc_sgld.minibatch.terms import Term


def negative_indices(terms: Sequence[Term], fixed: FixedValues) -> list[str]:
    """Return a sentence for each index with negative entries by which rows pick their parameter.

    NumPy counts them from the end, PyTensor does the same, and so does NUTS. A few entries that
    the model was written with (``effect[[0, -1]]``) are meant.
    """
    found: dict[object, str] = {}
    for term in terms:
        for node in toposort([term.graph]):
            if not isinstance(node.op, AdvancedSubtensor) or fixed.is_fixed(node.outputs[0]):
                continue
            for index in indices_from_subtensor(node.inputs[1:], node.op.idx_list):
                if isinstance(index, slice) or index in found or not fixed.is_fixed(index):
                    continue
                values = fixed.value(index)
                if values.dtype.kind != "i" or values.shape[:1] != (term.rows,) or term.rows < 2:
                    continue
                negative = values < 0
                if negative.any():
                    found[index] = _sentence(term.name, negative, values, fixed.names(index))
    return list(found.values())


def _sentence(name: str, negative: np.ndarray, values: np.ndarray, names: Sequence[str]) -> str:
    row = int(np.argwhere(negative)[0][0])
    source = f'"{names[0]}"' if names else "an index"
    return (
        f"{source} has {int(negative.sum())} negative entries, the first is {values[negative][0]} "
        f'in row {row} of "{name}": they count from the end, so that -1 reads the last group. '
        "pandas codes a missing category so: leave these rows out, or give them a group of "
        "their own."
    )
