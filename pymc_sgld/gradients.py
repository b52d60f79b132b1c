"""Estimators of the full-data gradient of the log posterior, as graphs."""

from __future__ import annotations

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable

from pymc_sgld.minibatch.density import LogDensity


def minibatch(density: LogDensity) -> Variable:
    r"""Return the minibatch gradient, shape (d,).

    .. math::

        \hat g(\theta) = \nabla \log p(\theta)
            + \frac{N}{n} \sum_{i \in B} \nabla \log p(x_i \mid \theta)

    for a batch :math:`B` of :math:`n` of :math:`N` rows, summed over the tables of rows where
    there are several. The prior enters once, whole, with the
    log-Jacobians of the transforms. With :math:`n = N` it is the full gradient. Outside the
    support of the density it is NaN, never a silent zero.

    Parameters
    ----------
    density : LogDensity
        The log density of the model for a batch of rows.

    Raises
    ------
    SettingError
        If an operation of the model has no gradient.

    References
    ----------
    Welling and Teh (2011), equation 4.
    """
    dtype = density.position.dtype
    estimate = density.log_prior
    for table, log_likelihood in zip(density.tables, density.log_likelihoods, strict=True):
        scaled = np.asarray(table.scale, dtype) * log_likelihood
        estimate = estimate + (log_likelihood if table.full else scaled)
    parts = density.gradient(estimate, density.pieces)
    gradient = pt.concatenate([part.flatten() for part in parts]).astype(dtype)
    conditions = [c for of_term in density.conditions.values() for c in of_term]
    if conditions:
        inside = pt.all([pt.all(condition) for condition in conditions])
        gradient = pt.switch(inside, gradient, np.asarray(np.nan, dtype))
    return gradient
