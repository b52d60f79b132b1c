"""How narrow the prior is around a point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytensor.tensor as pt

from pymc_sgld.minibatch.density import LogDensity, gradient_of

_LEAST = 1e-6  # of a precision, where the prior is flat or has a heavy tail


def prior_precision(density: LogDensity, others: Sequence[np.ndarray]) -> np.ndarray:
    """Return minus the second derivatives of the log prior near the origin, shape (d,).

    Those of one coordinate each, for a prior of independent coordinates; else the sums of rows of
    its Hessian.

    ``others``: values of the variables that the step does not move.
    """
    slope = gradient_of([density.log_prior], density)
    curvature = density.gradient(pt.sum(slope), density.position)
    size = density.position.type.shape[0]
    rng = np.random.default_rng(1)
    [found] = density.function([curvature])(0.1 * rng.standard_normal(size), others)
    return np.maximum(-np.nan_to_num(np.asarray(found, float)), _LEAST)
