"""Check that the density is finite at the initial point, in every row of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pytensor.compile.mode import Mode
from pytensor.graph.basic import Variable

from pymc_sgld.errors import DataError
from pymc_sgld.minibatch.fixed import FixedValues


def check_start(
    names: Sequence[str],
    terms: Sequence[Variable],
    conditions: Sequence[Sequence[Variable]],
    fixed: FixedValues,
    inputs: Mapping[Variable, np.ndarray],
) -> list[tuple[int, ...]]:
    """Evaluate every term of the log density once, on all the data.

    A gradient does not show data outside of the support of their distribution, and a batch only
    its own rows.

    Parameters
    ----------
    names : sequence of str
        The random variables and potentials of the model.
    terms, conditions
        Of each, the elementwise log density and the boolean tensors that it needs to be true.
    fixed : FixedValues
        The data.
    inputs : dict
        The position, and the values of the other variables.

    Returns
    -------
    list of tuple of int
        The shape of each term.

    Raises
    ------
    DataError
        If a term is not finite, or an index is out of range.
    """
    graphs = [
        graph for pair in zip(terms, conditions, strict=True) for graph in (pair[0], *pair[1])
    ]
    try:
        values = iter(fixed.evaluate(graphs, inputs, Mode("py", "stabilize")))
    except IndexError as error:
        raise DataError(f"an index in the model is out of range: {error.args[0]}") from None
    shapes = []
    for name, of_term in zip(names, conditions, strict=True):
        term = next(values)
        shapes.append(term.shape)
        checks = [next(values) for _ in of_term]
        if not np.isfinite(term).all():
            raise DataError(_explain(name, ~np.isfinite(term), term, fixed))
        for check in checks:
            if not check.all():
                raise DataError(_explain(name, ~check.astype(bool), None, fixed))
    return shapes


def _explain(name: str, wrong: np.ndarray, term: np.ndarray | None, fixed: FixedValues) -> str:
    found = "zero (a parameter is outside its range)"
    if term is not None:
        value = term[wrong][0] if term.ndim else term
        found = "zero" if np.isneginf(value) else str(value)
    where = ""
    if wrong.ndim:
        row = int(np.argwhere(wrong)[0][0])
        where = f" in {len(np.unique(np.argwhere(wrong)[:, 0]))} rows, the first is row {row}"
        missing = [f'"{source}"' for source in fixed.with_nan(row, len(wrong))]
        if missing:
            where += f" (NaN in {', '.join(missing)})"
    return (
        f'the density of "{name}" is {found} at the initial point{where}. Data outside the support '
        "of their distribution, NaN in the data, or an initial point that the data contradict: "
        "see model.debug(); initial_point= takes another point."
    )
