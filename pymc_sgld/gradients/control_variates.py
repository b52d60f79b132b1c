"""Control variates for the minibatch gradient: its expansion around a center."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace

from pymc_sgld.gradients.base import Estimate
from pymc_sgld.gradients.minibatch import minibatch
from pymc_sgld.minibatch.density import LogDensity, gradient_of
from pymc_sgld.minibatch.full_data import Center, FullData


def control_variate(density: LogDensity, center: Center, data: FullData | None = None) -> Estimate:
    r"""Return the minibatch gradient with a control variate at the center.

    .. math::

        \hat g(\theta) = \nabla \log p(\theta) + \sum_{i=1}^N \nabla \ell_i(\hat\theta)
            + \frac{N}{n} \sum_{i \in B}
              \left[ \nabla \ell_i(\theta) - \nabla \ell_i(\hat\theta) \right]

    Its variance vanishes at the center, and grows with the square of the distance from it.

    ``center``: it fixes all variables, those of other steps included.

    References
    ----------
    Baker, Fearnhead, Fox and Nemeth (2019), Control variates for stochastic gradient MCMC,
    equation 6.
    """
    return _controlled(density, center, second_order=False)


def taylor(density: LogDensity, center: Center, data: FullData | None = None) -> Estimate:
    r"""Return the minibatch gradient with a control variate of second order at the center.

    .. math::

        \hat g(\theta) = \nabla \log p(\theta) + \sum_{i=1}^N \left[
            \nabla \ell_i(\hat\theta) + H_i \delta \right]
            + \frac{N}{n} \sum_{i \in B} \left[ \nabla \ell_i(\theta)
            - \nabla \ell_i(\hat\theta) - H_i \delta \right],
            \qquad H_i = \nabla^2 \ell_i(\hat\theta)

    The remainder of a Taylor expansion is what the batch estimates: zero for a log-likelihood that
    is quadratic in the unconstrained coordinates. Prior and log-Jacobians are never expanded.

    ``center``: it fixes all variables, those of other steps included.
    """
    return _controlled(density, center, second_order=True)


def _controlled(density: LogDensity, center: Center, second_order: bool) -> Estimate:
    """Return the minibatch gradient less its expansion at the center, plus that of all rows."""
    estimate = minibatch(density)
    if density.full:
        return estimate
    at_center = _AtCenter(density, center)
    rows, exact = _constant("rows_gradient", at_center.of_all(center), density)
    arrays = {**at_center.arrays, rows: exact}
    gradient = estimate.gradient - at_center.gradient + rows
    if second_order:
        assert center.hessians is not None
        hessian = center.hessians[at_center.terms].sum(axis=0)
        rows_hessian, exact = _constant("rows_hessian", hessian, density)
        arrays[rows_hessian] = exact
        distance = density.position - at_center.position
        gradient = gradient - at_center.product(distance) + rows_hessian @ distance
    return Estimate(gradient, arrays)


class _AtCenter:
    """What a batch gives at the center: its gradient, and products with its Hessian."""

    def __init__(self, density: LogDensity, center: Center) -> None:
        self._density = density
        batched = [i for i, table in enumerate(density.tables) if not table.full]
        self.terms = [1 + i for i in batched]  # of the arrays of a center: the prior comes first
        dtype, likelihoods = density.position.dtype, density.log_likelihoods
        scales = [np.asarray(table.scale, dtype) for table in density.tables]
        self._stored = {1 + i: density.tables[i].at_center for i in batched}
        computed = [scales[i] * likelihoods[i] for i in batched if not self._stored[1 + i]]
        zero = pt.zeros_like(density.position)
        self._gradient = gradient_of(computed, density) if computed else zero
        self.position, value = _constant("center", center.position, density)
        self.arrays = {self.position: value}
        self._replacements = {density.position: self.position}
        for (name, other), value in zip(density.others.items(), center.others, strict=True):
            at_center = other.type(f"center_{name}")
            self._replacements[other] = at_center
            self.arrays[at_center] = np.asarray(value, other.type.dtype)
        read = [
            scales[term - 1] * pt.sum(stored.variable, axis=0)
            for term, stored in self._stored.items()
            if stored is not None
        ]
        self.gradient = pt.add(self._moved(self._gradient), *read, zero)

    def of_all(self, center: Center) -> np.ndarray:
        """Return the gradient of all rows at the center, shape (d,): the mean of the batches'."""
        found = np.zeros(center.gradients.shape[1])
        for term, stored in self._stored.items():
            at_center = center.gradients[term] if stored is None else stored.whole.sum(axis=0)
            found = found + at_center
        return found

    def product(self, vector: Variable) -> Variable:
        """Return the product of the batch's Hessian at the center with a vector."""
        tangent = self._density.position.type("tangent")
        product = gradient_of([pt.sum(self._gradient * tangent)], self._density)
        return self._moved(product, {tangent: vector})

    def _moved(self, graph: Variable, more: dict[Variable, Variable] | None = None) -> Variable:
        return clone_replace([graph], self._replacements | (more or {}), rebuild_strict=False)[0]


def _constant(name: str, value: Any, density: LogDensity) -> tuple[Variable, np.ndarray]:
    array = np.asarray(value, density.position.dtype)
    return pt.tensor(name, dtype=array.dtype.name, shape=array.shape), array
