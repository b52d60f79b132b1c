"""What an estimator gives: a graph of the gradient, and the arrays that it reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

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
class Estimate:
    """An estimate of the gradient.

    Attributes
    ----------
    gradient : TensorVariable, shape (d,)
    arrays : dict
        The arrays that its graph reads.
    memory : Memory or None
        Gives them other values as a chain goes on.
    """

    gradient: Variable
    arrays: dict[Variable, np.ndarray] = field(default_factory=dict)
    memory: Memory | None = None
