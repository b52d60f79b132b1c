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
    """

    counts: Sequence[int]  # blocks of each table
    places: Sequence[Variable]  # scalar: which block of each table an update reads
    total: Variable  # shape (d,): the sum of the vectors of all blocks
    # shape (d,): the vector of that block, and what takes its place
    stored: Sequence[Variable]
    renewed: Sequence[Variable]
    center: np.ndarray  # shape (d,): where the vectors are evaluated first


@dataclass(frozen=True)
class Estimate:
    """An estimate of the gradient."""

    gradient: Variable  # shape (d,)
    # the arrays that its graph reads
    arrays: dict[Variable, np.ndarray] = field(default_factory=dict)
    memory: Memory | None = None  # gives them other values as a chain goes on
    blocks: Blocks | None = None  # what every update changes


@dataclass(frozen=True)
class Estimator:
    """How an estimate is made."""

    # of the log density of a batch, a center, and passes over all rows
    make: Callable[..., Estimate]
    # its variance around the center, over that of the same expansion around the center itself: two,
    # for one around a position of the chain, which is as far off as the chain is
    noise: float = 1.0
    # its variance beside that, over the precision of the posterior: one, where what is subtracted
    # comes from many positions of the chain, and not all from one
    own: float = 0.0

    def __call__(self, *arguments: Any) -> Estimate:
        """Return the estimate."""
        return self.make(*arguments)
