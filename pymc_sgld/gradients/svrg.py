"""Stochastic variance reduced gradients: a control variate whose center follows the chain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pymc_sgld.gradients.base import Estimate, Memory
from pymc_sgld.gradients.control_variates import control_variate
from pymc_sgld.minibatch.density import LogDensity
from pymc_sgld.minibatch.full_data import Center, FullData


def svrg(density: LogDensity, center: Center, data: FullData) -> Estimate:
    r"""Return the minibatch gradient with a control variate at a recent position of the chain.

    .. math::

        \hat g(\theta) = \nabla \log p(\theta) + \sum_{i=1}^N \nabla \ell_i(\tilde\theta)
            + \frac{N}{n} \sum_{i \in B}
              \left[ \nabla \ell_i(\theta) - \nabla \ell_i(\tilde\theta) \right]

    The anchor :math:`\tilde\theta` is the center at first. After every epoch of batches it is the
    position of the chain, for one more pass over all rows. It needs no good center. Around one,
    the anchor is further from the chain than the center is, and the noise about twice as large as
    that of :func:`~pymc_sgld.gradients.control_variates.control_variate`.

    ``center``: the first anchor.

    References
    ----------
    Johnson and Zhang (2013), Accelerating stochastic gradient descent using predictive variance
    reduction. Dubey, Reddi, Póczos, Smola, Xing and Williamson (2016), Variance reduction in
    stochastic gradient Langevin dynamics, algorithm 2.
    """
    estimate = control_variate(density, center)
    if density.full:
        return estimate
    return replace(estimate, memory=_Anchors(density, data))


class _Anchors(Memory):
    """Anchors of the control variate: the arrays that it reads there."""

    def __init__(self, density: LogDensity, data: FullData) -> None:
        batched = [i for i, table in enumerate(density.tables) if not table.full]
        self._terms = [1 + i for i in batched]
        self._data, self._dtype = data, np.dtype(density.position.dtype)
        rows = [(t.total_size, t.batch_size) for t in density.tables if not t.full]
        self.every = max(-(-total // batch) for total, batch in rows)

    def refresh(self, position: np.ndarray, others: list[np.ndarray]) -> list[np.ndarray]:
        """Return position, values of other variables, and the gradient of all rows."""
        place = position.astype(self._data.dtype)
        center = self._data.center(place, others, second_order=False)
        gradient = center.gradients[self._terms].sum(axis=0)
        return [position.astype(self._dtype), *others, gradient.astype(self._dtype)]
