"""What an estimator gives: a graph of the gradient, and what it reads beside the data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pytensor.graph.basic import Variable


class Memory(ABC):
    """What an estimate remembers of a chain: arrays that are computed anew now and then.

    Attributes
    ----------
    every : int
        Updates after which they are.
    """

    every: int

    @abstractmethod
    def refresh(self, position: np.ndarray, others: list[np.ndarray]) -> list[np.ndarray]:
        """Return the values of ``Estimate.arrays``, in their order, at a position of a chain."""


@dataclass(frozen=True)
class Blocks:
    """What an estimate remembers of blocks of rows: a vector of each, renewed when it is read.

    Each table of rows that is read in batches has its blocks, which are the batches.

    Attributes
    ----------
    counts : sequence of int
        Blocks of each table.
    places : sequence of TensorVariable, scalar
        Which block of each table an update reads.
    total : TensorVariable, shape (d,)
        The sum of the vectors of all blocks.
    stored, renewed : sequence of TensorVariable, shape (d,)
        The vector of that block, and what takes its place.
    center : ndarray, shape (d,)
        Where the vectors are evaluated first.
    """

    counts: Sequence[int]
    places: Sequence[Variable]
    total: Variable
    stored: Sequence[Variable]
    renewed: Sequence[Variable]
    center: np.ndarray


@dataclass(frozen=True)
class Estimate:
    """An estimate of the gradient.

    Attributes
    ----------
    gradient : TensorVariable, shape (d,)
    arrays : dict
        The arrays that its graph reads.
    memory : Memory or None
        Gives them other values as a chain goes on.
    blocks : Blocks or None
        What every update changes.
    """

    gradient: Variable
    arrays: dict[Variable, np.ndarray] = field(default_factory=dict)
    memory: Memory | None = None
    blocks: Blocks | None = None


@dataclass(frozen=True)
class Estimator:
    """How an estimate is made.

    Attributes
    ----------
    make : callable
        Of the log density of a batch, a center, and passes over all rows.
    noise : float
        Its variance around the center, over that of the same expansion around the center itself:
        two, for one around a position of the chain, which is as far off as the chain is.
    own : float
        Its variance beside that, over the precision of the posterior: one, where what is
        subtracted comes from many positions of the chain, and not all from one.
    """

    make: Callable[..., Estimate]
    noise: float = 1.0
    own: float = 0.0

    def __call__(self, *arguments: Any) -> Estimate:
        """Return the estimate."""
        return self.make(*arguments)
