"""The minibatch gradient of Welling and Teh."""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable

from pymc_sgld.gradients.base import Estimate
from pymc_sgld.minibatch.density import LogDensity, gradient_of
from pymc_sgld.minibatch.full_data import Center, FullData


def minibatch(
    density: LogDensity, center: Center | None = None, data: FullData | None = None
) -> Estimate:
    r"""Return the minibatch gradient.

    .. math::

        \hat g(\theta) = \nabla \log p(\theta)
            + \frac{N}{n} \sum_{i \in B} \nabla \ell_i(\theta)

    The prior enters once, whole, with the log-Jacobians of the transforms. With :math:`n = N` it
    is the full gradient. Outside the support of the density it is NaN, never a silent zero.

    References
    ----------
    Welling and Teh (2011), equation 4.
    """
    gradient = gradient_of([density.log_prior, *density.scaled], density)
    return Estimate(inside(density, gradient))


def inside(density: LogDensity, gradient: Variable) -> Variable:
    """Return a gradient that is NaN outside the support of the density."""
    conditions = [c for of_term in density.conditions.values() for c in of_term]
    if not conditions:
        return gradient
    is_inside = pt.all([pt.all(condition) for condition in conditions])
    return pt.switch(is_inside, gradient, np.asarray(np.nan, density.position.dtype))
