"""What an estimator gives: a graph of the gradient, and the arrays that it reads."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from pytensor.graph.basic import Variable


@dataclass(frozen=True)
class Estimate:
    """An estimate of the gradient, shape (d,), and the arrays that its graph reads."""

    gradient: Variable
    arrays: dict[Variable, np.ndarray] = field(default_factory=dict)
