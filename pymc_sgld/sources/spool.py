"""Rows that can be read in one order only: written once to a file, from which any can be read."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from typing import Any

from numpy.typing import DTypeLike

from pymc_sgld.errors import DataError
from pymc_sgld.sources.shared import Shared
from pymc_sgld.sources.source import ArraySource, Source, converted, readable, unmasked


def batches(
    batches: Iterable[Any] | Callable[[], Iterable[Any]],
    shape: tuple[int, ...],
    dtype: DTypeLike = "float64",
    folder: str | None = None,
) -> Source:
    """Return the rows of an iterator of batches as a source.

    An iterator gives its rows in one order, and batches are to be random: so all rows are written
    to a temporary file, here and once, and read from there. The file has no name where the system
    allows it, and is gone with the source.

    Parameters
    ----------
    batches : iterable, or callable that returns one
        Arrays of rows, of any length.
    shape : tuple of int
        Of all rows together: their number first.
    dtype : dtype
        What they are stored as.
    folder : str, optional
        Where the file is to be; by default the system's folder for temporary files. It needs as
        much room as all rows take.

    Returns
    -------
    Source
        For ``SGLD(data={name: source})``.

    Raises
    ------
    DataError
        If there are more or fewer rows than ``shape`` says, or rows of another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from pymc_sgld import sources
    >>> source = sources.batches((np.full((2, 3), i) for i in range(5)), shape=(10, 3))
    >>> source[3:5].tolist()
    [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]
    """
    kind = readable(dtype)
    stored = Shared(tuple(shape), kind, tempfile.gettempdir() if folder is None else folder)
    filled = 0
    for batch in batches() if callable(batches) else batches:
        try:
            rows = unmasked(batch)
        except ValueError as error:
            raise DataError(f"the batch after row {filled}: {error}.") from None
        if rows.shape[1:] != tuple(shape[1:]):
            raise DataError(
                f"the batch after row {filled} has the shape {rows.shape}: its rows must have the "
                f"shape {tuple(shape[1:])}."
            )
        if filled + len(rows) > shape[0]:
            raise DataError(
                f"the batches have more than the {shape[0]} rows of shape={tuple(shape)}: pass "
                "their true number."
            )
        try:
            stored.array[filled : filled + len(rows)] = converted(rows, kind)
        except TypeError as error:
            raise DataError(f"the batch after row {filled}: {error}.") from None
        filled += len(rows)
    if filled < shape[0]:
        raise DataError(
            f"the batches have {filled} rows, and shape={tuple(shape)} says {shape[0]}: pass their "
            "true number."
        )
    return ArraySource(stored)
