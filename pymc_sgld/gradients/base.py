"""What an estimator gives: a graph of the gradient, and the arrays that it reads."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable

from pymc_sgld.minibatch.density import LogDensity


@dataclass(frozen=True)
class Estimate:
    """An estimate of the gradient, shape (d,), and the arrays that its graph reads."""

    gradient: Variable
    arrays: dict[Variable, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Center:
    """A point, and the derivatives of the log density of all rows there.

    Attributes
    ----------
    position : ndarray, shape (d,)
        The point.
    others : list of ndarray
        Values of the variables that the step does not move.
    gradients : ndarray, shape (parts, d)
        Gradient of the prior, then of each table's log-likelihood.
    hessians : ndarray, shape (parts, d, d), or None
        Their Hessians, which only the second order needs.
    """

    position: np.ndarray
    others: list[np.ndarray]
    gradients: np.ndarray
    hessians: np.ndarray | None = None


def gradient_of(graphs: list[Variable], density: LogDensity) -> Variable:
    """Return the gradient of a sum of scalars by the position."""
    parts = density.gradient(pt.add(*graphs) if len(graphs) > 1 else graphs[0], density.pieces)
    return pt.concatenate([part.flatten() for part in parts]).astype(density.position.dtype)
