"""The log-likelihood of one observed variable in blocks of its rows, at the draws of a result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pymc.model import Model

from pymc_sgld.diagnostics.trust.unconstrained import Draws, check_row_count
from pymc_sgld.errors import MinibatchError, NonFiniteError, SettingError
from pymc_sgld.minibatch.block_functions import inside
from pymc_sgld.minibatch.blocks import BLOCK, read_blocks
from pymc_sgld.minibatch.density import Place
from pymc_sgld.minibatch.graph.dispatch import RowsMixed
from pymc_sgld.minibatch.model import Minibatcher

_NUMBERS = 2**22  # of all draws in a block, at most: 32 MB
_FEWEST = 64  # rows of a block


class RowLikelihood:
    """The log-likelihood of an observed variable, row by row.

    Parameters
    ----------
    draws : Draws
        Those of all free variables of the model.
    name : str
        Of the observed variable.
    total_size : int or None
        Rows of the data of the run, if they are known.

    Attributes
    ----------
    shape : tuple of int
        Of the log-likelihood of all rows; these come first.
    rows, entries : int
        Rows of the data, and numbers of each of them.
    table : Table
        The rows, for `read_blocks`.
    batch_size : int
        Rows of a block.
    """

    def __init__(self, draws: Draws, name: str, total_size: int | None) -> None:
        self.draws, self.name = draws, name
        count = draws.shape[0] * draws.shape[1]
        made = draws.minibatcher()
        block = min(BLOCK, max(_FEWEST, _NUMBERS // count))
        _check_rows(made, block, total_size, draws.purpose)
        try:
            density = made.likelihood(name, block)
        except MinibatchError as error:
            mixed = error.__cause__
            reason = f"{mixed.reason}." if isinstance(mixed, RowsMixed) else str(error)
            raise SettingError(
                f'cannot {draws.purpose} of "{name}" in blocks of rows: {reason} '
                "pymc.compute_log_likelihood computes what all rows enter at once, in memory."
            ) from error
        [self.table] = density.tables
        graph = inside(self.table.likelihoods[name], density.conditions.get(name, ()))
        self._function = density.function([graph], self.table)
        self._others, self._position = made.others, draws.position
        self.batch_size, self.rows = self.table.batch_size, self.table.total_size
        first = next(read_blocks(self.table)).data
        found = self._function(*self.mean, first)[0]
        if found.shape[:1] != (self.batch_size,) and (found.ndim or self.rows > 1):
            raise SettingError(
                f'cannot {draws.purpose}: the log-likelihood of "{name}" has the shape '
                f"{found.shape} for {self.rows} rows, which are not independent given the "
                "parameters."
            )
        self.shape = (self.rows, *found.shape[1:]) if found.ndim else ()
        self.entries = found.size // self.batch_size

    @property
    def mean(self) -> Place:
        """The mean of the draws on the unconstrained scale; discrete variables as they are last."""
        return self._position.mean(axis=(0, 1)), self.draws.values(self._others, 0, -1)

    @property
    def places(self) -> list[Place]:
        """All draws, one chain after the other."""
        return [
            (self._position[place], self.draws.values(self._others, *place))
            for place in np.ndindex(*self.draws.shape)
        ]

    def at(self, place: Place, data: Sequence[np.ndarray]) -> np.ndarray:
        """Return the log-likelihood of the rows of a block, shape (batch_size, entries)."""
        return self._function(*place, data)[0].reshape(self.batch_size, self.entries)

    def at_draws(
        self, places: Sequence[Place], rows: np.ndarray, data: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Return the log-likelihood of some rows at all draws, shape (draws, rows, entries).

        ``rows``: their numbers, at most as many as a block has, and ``data`` what these hold.
        """
        fill = np.arange(self.batch_size) % len(rows)
        picked = np.arange(len(rows)) if self.table.data else rows  # else a block has all
        block = [array[fill] for array in data]
        return np.array([self.at(place, block)[picked] for place in places])

    def check_finite(self, found: np.ndarray, rows: np.ndarray, where: str) -> None:
        """Refuse rows whose log-likelihood is not finite. ``found``: shape (rows, ...)."""
        wrong = ~np.isfinite(found.reshape(len(found), -1))
        if wrong.any():
            place = int(np.flatnonzero(wrong.any(axis=1))[0])
            value = found[place].ravel()[wrong[place]][0]
            raise NonFiniteError(
                f'the log-likelihood of "{self.name}" is {value} in row {rows[place]} {where}: '
                "data outside the support of their distribution, NaN in the data, or draws of "
                "another model."
            )


def _check_rows(made: Minibatcher, block: int, total_size: int | None, purpose: str) -> None:
    """Refuse a model that has not as many rows as the run read."""
    try:
        tables = made.blocks(block).tables
    except MinibatchError:  # of another term than is asked for, maybe
        return
    check_row_count(sum(table.total_size for table in tables), made, total_size, purpose)


def observed_of(model: Model, var_name: str | None, purpose: str) -> str:
    """Return the name of an observed variable: the only one, or the one that is asked for."""
    known = [rv.name for rv in model.observed_RVs]
    if var_name is None and len(known) == 1:
        return known[0]
    if var_name is None or var_name not in known:
        if not known:
            raise SettingError(f"cannot {purpose}: the model has no observed variable.")
        what = "it has several" if var_name is None else f"var_name={var_name!r} is none of them"
        raise SettingError(
            f"cannot {purpose}: the observed variables of the model are {known}, and {what}. "
            "Pass var_name= with one of these."
        )
    return var_name
