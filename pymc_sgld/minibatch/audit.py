"""Check that the batches of an epoch add up to the full log-likelihood and its gradient.

The selection of rows is right by construction. This is the test of it on the user's own model: the
graphs that an update evaluates, on every batch of an epoch, against the graphs without selection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import toposort

from pymc_sgld.errors import MinibatchError
from pymc_sgld.minibatch.density import LogDensity, Table
from pymc_sgld.minibatch.fixed import FixedValues
from pymc_sgld.minibatch.terms import Term

_MODE = Mode("py", "fast_compile")
# each node of a graph costs a few microseconds a batch, without compilation
_CHEAP = 100_000


def is_cheap(density: LogDensity) -> bool:
    """Whether an audit takes about a second at most, by the work that it has to do."""
    work = 0
    for table in density.tables:
        if not table.full:
            nodes = sum(1 for _ in toposort(list(table.likelihoods.values())))
            work += nodes * (table.total_size // table.batch_size)
            entries = sum(item.array.size for item in table.data)
            work += entries // 1000
    return work <= _CHEAP


def audit_batches(
    density: LogDensity,
    terms: Mapping[str, Term],
    fixed: FixedValues,
    inputs: Mapping[Variable, np.ndarray],
) -> None:
    """Compare the batches of one epoch with the full data, near the initial point.

    Parameters
    ----------
    density : LogDensity
        What updates evaluate.
    terms : dict
        By name, the terms of the model, with all rows.
    fixed : FixedValues
        The data.
    inputs : dict
        The position, and the values of other variables.

    Raises
    ------
    MinibatchError
        If rows of a batch are not those of the data, or gradients do not add up.
    """
    # at the initial point coefficients are often zero, and what multiplies them would not be seen
    jitter = 0.1 * np.random.default_rng(0).standard_normal(density.position.type.shape)
    moved = dict(inputs)
    moved[density.position] = inputs[density.position] + jitter.astype(density.position.dtype)
    for table in density.tables:
        for name, log_likelihood in table.likelihoods.items():
            if not table.full and not terms[name].declared:
                _audit(name, log_likelihood, table, density, terms[name], fixed, [moved, inputs])


def _audit(
    name: str,
    log_likelihood: Variable,
    table: Table,
    density: LogDensity,
    term: Term,
    fixed: FixedValues,
    points: Sequence[Mapping[Variable, np.ndarray]],
) -> None:
    position = density.position
    rows = log_likelihood.reshape((table.batch_size, -1)).sum(axis=1, dtype="float64")
    counted = pt.vector("counted", dtype="float64")
    evaluate = pytensor.function(
        [*points[0], counted, *[item.variable for item in density.data]],
        [rows, density.gradient(pt.sum(rows * counted), position)],
        mode=_MODE,
        on_unused_input="ignore",
    )
    full = [
        term.graph.reshape((table.total_size, -1)).sum(axis=1, dtype="float64"),
        density.gradient(term.graph.sum(dtype="float64"), position),
    ]
    for inputs in points:  # the first one where the density is finite
        expected, full_gradient = fixed.evaluate(full, inputs, _MODE)
        if np.isfinite(expected).all() and np.isfinite(full_gradient).all():
            break
    tolerance = np.sqrt(np.finfo(position.dtype).eps)
    gradient, size = np.zeros(full_gradient.shape), np.zeros(full_gradient.shape)
    for first in range(0, table.total_size, table.batch_size):
        start = min(first, table.total_size - table.batch_size)
        batch = slice(start, start + table.batch_size)
        once = (np.arange(table.batch_size) >= first - start).astype("float64")
        data = [item.array[batch] for item in table.data]
        values, part = evaluate(*inputs.values(), once, *_arrange(density, table, data))
        wrong = np.abs(values - expected[batch]) > tolerance * (1 + np.abs(expected[batch]))
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise MinibatchError(
                f'audit of "{name}": the log-likelihood of row {start + row} is {values[row]:.6g} '
                f"in a batch and {expected[start + row]:.6g} in the full data. {_DEFECT}"
            )
        gradient += part
        size += np.abs(part)
    wrong = np.abs(gradient - full_gradient) > tolerance * (1 + size)
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        label = next(c for c in density.coordinates if c.start <= i < c.start + c.size).label(i)
        raise MinibatchError(
            f'audit of "{name}": the gradients by {label} of all batches add up to '
            f"{gradient[i]:.6g}, and that of the full data is {full_gradient[i]:.6g}. {_DEFECT}"
        )


_DEFECT = (
    "This is a defect of pymc_sgld, not of the model: please report it. Until it is mended, "
    "full=[...] with this name evaluates it in full."
)


def _arrange(density: LogDensity, table: Table, batch: list[np.ndarray]) -> list[np.ndarray]:
    """Return a value for each of ``density.data``: the batch, and some rows of other tables."""
    values = []
    for other in density.tables:
        values += batch if other is table else [d.array[: other.batch_size] for d in other.data]
    return values + [item.array for item in density.whole]
