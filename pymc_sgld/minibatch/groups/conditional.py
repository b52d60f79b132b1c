"""The effects of all groups given the other variables: their modes, and exact draws of them.

What is done with a block of groups, and why draws are exact, is in ``block``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import scipy

from pymc_sgld.errors import NonFiniteError, warn
from pymc_sgld.minibatch.blocks import read_blocks
from pymc_sgld.minibatch.groups.block import ITERATIONS, MOST_ROUNDS, NEAR, GroupBlock, OfClass
from pymc_sgld.minibatch.groups.groups import Effect
from pymc_sgld.minibatch.groups.quadrature import Nodes

MEASURED_AT, MEASURED_ROWS = 4, 50_000  # positions and rows: how effects are to be drawn
_WRONG = 1e-3  # total variation
_BESIDE = 0.5  # from a position: where the other variables have values that are not special
_SEED = 20190712  # fixed: what is measured is a property of the model, not of a chain


class Conditional:
    """The effects of all groups given the other variables.

    ``normal``: whether they are normal given the other variables, as is assumed until
    :meth:`settle` runs.
    """

    def __init__(self, effects: Sequence[Effect], classes: Sequence[OfClass]) -> None:
        self._effects = [(e.name, e.axis, e.shape, e.size) for e in effects]
        self._classes = classes
        self._count = sum(len(each.members) for each in classes)
        self._q = sum(effect.size for effect in effects)
        self._rounds = 1
        self.normal = True

    @property
    def size(self) -> int:
        """How many effects all groups have."""
        return self._count * self._q

    @property
    def names(self) -> list[str]:
        """Of the variables."""
        return [name for name, *_ in self._effects]

    def settle(
        self, position: np.ndarray, others: Sequence[np.ndarray], near: float = NEAR
    ) -> None:
        """Store the modes at a position as those from which others are searched.

        ``near``: standard deviations that a mode may be off.
        """
        self.normal = self.normal and self._settle(position, others, near)
        if not self.normal:
            self._settle(position, others, near)

    def _settle(self, position: np.ndarray, others: Sequence[np.ndarray], near: float) -> bool:
        """Store the modes, of normal effects if they are, and return whether they are."""
        rng = np.random.default_rng(_SEED)
        beside = position + _BESIDE * rng.standard_normal(len(position)).astype(position.dtype)
        for each in self._classes:
            for part, _, block in self._blocks(each, position, others):
                mode = block.around(near=near).mode
                if part.start == 0 and self.normal:  # what holds for these holds for all
                    if not replace(block, position=beside, start=mode).is_normal(rng):
                        return False
                each.members.start[part] = mode
        return True

    def measure(
        self,
        positions: Sequence[np.ndarray],
        others: Sequence[np.ndarray],
    ) -> float:
        """Choose how many steps a draw takes, and return the total variation in the worst group.

        Parameters
        ----------
        positions : sequence of ndarray, shape (d,)
            Where it is measured: the worst of them counts. Of more than `MEASURED_ROWS` rows, the
            first blocks of each class are.
        """
        if self.normal:
            return 0.0
        rng = np.random.default_rng(_SEED)
        left = np.zeros(MOST_ROUNDS)
        for position, each in itertools.product(positions, self._classes):
            for _, _, block in self._blocks(each, position, others, MEASURED_ROWS):
                with np.errstate(all="ignore"):
                    left = np.maximum(left, np.nan_to_num(block.left(rng), nan=1.0).max(axis=1))
        enough = np.flatnonzero(left < _WRONG)
        self._rounds = int(enough[0]) + 1 if len(enough) else MOST_ROUNDS
        found = float(left[self._rounds - 1])
        if not len(enough):
            names = " and ".join(f'"{name}"' for name in self.names)
            warn(
                f"draws of {names} given the other variables are not exact: in the worst group "
                f"they may be {found:.2g} off in total variation. Pass marginalize=False."
            )
        return found

    def log_likelihoods(
        self,
        position: np.ndarray,
        others: Sequence[np.ndarray],
        counts: Sequence[int],
        most_rows: float = np.inf,
        steps: int = ITERATIONS,
    ) -> np.ndarray:
        """Return the log-likelihood of all groups by quadratures of so many nodes, a sum for each.

        Where groups have more than ``most_rows`` rows, the first blocks of each class count for
        the others. Their modes are searched by ``steps`` steps at most, as updates do.
        """
        q = self._q
        rules = [Nodes.of(count, q) for count in counts]
        total = np.zeros(len(counts))
        for each in self._classes:
            sums, seen = np.zeros(len(counts)), 0
            for part, old, block in self._blocks(each, position, others, most_rows):
                around = block.around(steps)
                log_det = np.log(np.abs(np.diagonal(around.inverse, axis1=1, axis2=2))).sum(axis=1)
                for k, rule in enumerate(rules):
                    found = scipy.special.logsumexp(block.at_nodes(around, rule), axis=0)
                    sums[k] += (found + q / 2 * np.log(2) + log_det)[old:].sum()
                seen = part.stop
            total += sums * len(each.members) / seen
        return total

    def draw(
        self, rng: np.random.Generator, position: np.ndarray, others: Sequence[np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Return a draw of the effects of all groups, by the name of their variable."""
        found = np.empty((self._count, self._q), self._classes[0].members.start.dtype)
        for each in self._classes:
            for part, _, block in self._blocks(each, position, others):
                with np.errstate(all="ignore"):  # what is not finite is found in the result
                    found[each.members.members[part]] = block.draw(rng, self._rounds)
        if not np.isfinite(found).all():
            names = " and ".join(f'"{name}"' for name in self.names)
            raise NonFiniteError(
                f"the density of {names} given the other variables is not finite: see "
                "model.debug(), or pass marginalize=False."
            )
        values, first = {}, 0
        for name, axis, shape, size in self._effects:
            value = found[:, first : first + size].reshape((self._count, *shape))
            values[name] = np.moveaxis(value, 0, axis)
            first += size
        return values

    def _blocks(
        self,
        each: OfClass,
        position: np.ndarray,
        others: Sequence[np.ndarray],
        most_rows: float = np.inf,
    ) -> Iterator[tuple[slice, int, GroupBlock]]:
        """Give blocks of a class, each with the groups that it has, and how many of them are old.

        Of more than ``most_rows`` rows in all, they are the first blocks, and one at least.
        """
        all_rows = sum(each.table.total_size * each.table.rows_each for each in self._classes)
        for block in read_blocks(each.table):
            part = slice(block.first, block.end)
            at = each.members.start[part]
            yield part, block.old, GroupBlock(each, position, others, block.data, at, self.normal)
            if part.stop * all_rows >= most_rows * len(each.members):
                break
