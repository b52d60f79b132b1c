r"""The log-likelihood of groups with their effects integrated out, by adaptive quadrature.

For a group with effects :math:`b` of q numbers, let

.. math:: h(b) = \sum_{i} \log p(y_i | \phi, b) + \log p(b | \phi),

the sum over its rows. Its likelihood given the other parameters :math:`\phi` is an integral, which
Gauss-Hermite quadrature around the mode :math:`\hat b` gives:

.. math::

    \log \int e^{h(b)} db \approx \tfrac q2 \log 2 + \log \det C
        + \log \sum_k \exp \left[\log w_k + |z_k|^2 + h(\hat b + \sqrt 2\, C z_k) \right],
    \qquad C C^\top = (-\nabla^2 h(\hat b))^{-1}

with nodes :math:`z_k` and weights :math:`w_k` for the weight function :math:`e^{-|z|^2}`. The mode
comes from Newton steps from a point that is stored for each group. It need not be exact: where the
nodes are matters little, as long as they cover the mass. So they are held fixed when derivatives
are taken, which then are those of the integral as well, up to an error of the size of that of the
quadrature. One node is Laplace's approximation. It is exact, and so are its derivatives, where
:math:`h` is quadratic; then, and only then, one is used, and nothing is held fixed.

References
----------
Naylor and Smith (1982), Applications of a method for the efficient computation of posterior
distributions. Pinheiro and Chao (2006), Efficient Laplacian and adaptive Gaussian quadrature
algorithms for multilevel generalized linear mixed models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad, grad
from pytensor.graph.basic import Variable

Joint = Callable[[Variable, int], Variable]
"""Gives ``h`` for effects of shape (copies * groups, q), as shape (copies, groups)."""

_FARTHEST = 4.0  # standard deviations that a Newton step may lead


class Nodes(NamedTuple):
    """Nodes and weights of quadrature."""

    z: np.ndarray  # shape (nodes, q)
    log_weights: np.ndarray  # shape (nodes,): of the weight function one: ``log w + |z|^2``

    @classmethod
    def of(cls, count: int, q: int) -> Nodes:
        """Return a grid of so many nodes along each of the q effects."""
        z, weights = np.polynomial.hermite.hermgauss(count)
        grid = np.stack(np.meshgrid(*[z] * q, indexing="ij"), axis=-1).reshape(-1, q)
        logs = np.stack(np.meshgrid(*[np.log(weights)] * q, indexing="ij"), axis=-1)
        return cls(grid, logs.reshape(-1, q).sum(axis=1) + (grid**2).sum(axis=1))


class LaplaceApproximation(NamedTuple):
    """The Gaussian around the mode of the effects of each group of a batch."""

    mode: Variable  # shape (groups, q)
    # shape (groups,): the lower triangle of a Cholesky factor ``L`` of minus the Hessian of ``h``
    factor: list[list[Variable]]

    @property
    def log_det(self) -> Variable:
        """Of ``C``, shape (groups,)."""
        return -pt.add(*[pt.log(row[-1]) for row in self.factor], 0)

    def scaled(self, z: Sequence[Variable]) -> list[Variable]:
        """Return ``C z`` with ``C`` the inverse of the transpose of ``L``: one for each effect."""
        q = len(self.factor)
        found: list[Variable] = [None] * q
        for i in reversed(range(q)):
            known = [self.factor[j][i] * found[j] for j in range(i + 1, q)]
            found[i] = (z[i] - pt.add(*known, 0) if known else z[i]) / self.factor[i][i]
        return found

    def at(self, z: np.ndarray) -> Variable:
        """Return ``mode + sqrt(2) C z`` for nodes of shape (nodes, q), as (nodes * groups, q)."""
        nodes, q = z.shape
        groups = self.mode.type.shape[0]
        columns = [pt.constant(np.sqrt(2) * z[:, [i]], dtype=self.mode.dtype) for i in range(q)]
        moved = pt.stack([pt.zeros((nodes, groups)) + x for x in self.scaled(columns)], axis=-1)
        found = self.mode + moved.astype(self.mode.dtype)
        return found.reshape((nodes * groups, q))


def log_likelihood(joint: Joint, start: Variable, nodes: Nodes, newton: int) -> Variable:
    """Return the log-likelihood of the groups of a batch, shape (groups,).

    ``nodes``: one for a log density that is quadratic in the effects.
    """
    count, q = nodes.z.shape
    around = gaussian(joint, start, newton, quadratic=count == 1)
    if count > 1:
        around = LaplaceApproximation(
            disconnected_grad(around.mode),
            [[disconnected_grad(entry) for entry in row] for row in around.factor],
        )
    values = joint(around.at(nodes.z), count)
    logs = pt.constant(nodes.log_weights[:, None], dtype=values.dtype)
    constant = np.asarray(q / 2 * np.log(2), values.dtype)
    if count == 1:
        return constant + logs[0] + around.log_det + values[0]
    return constant + around.log_det + pt.logsumexp(values + logs, axis=0)


def gaussian(
    joint: Joint, start: Variable, newton: int, quadratic: bool = False
) -> LaplaceApproximation:
    """Return the Gaussian around the mode of each group, by Newton steps from a start.

    Its covariance is that of the point where the last step began. Of a log density that is
    quadratic in the effects, one step leads to the mode, however far that is.
    """
    mode = start
    for _ in range(newton):
        slope, factor = derivatives(joint, mode)
        step = LaplaceApproximation(mode, factor)
        # (L L^T)^-1 g, by the inverse of L, and then C
        z: list[Variable] = []
        for along, row in zip(columns(slope), factor, strict=True):
            known = [entry * x for entry, x in zip(row, z, strict=False)]
            z.append((along - pt.add(*known, 0) if known else along) / row[-1])
        if not quadratic:
            length = pt.sqrt(pt.add(*[x**2 for x in z], 0))
            z = [x * _FARTHEST / pt.maximum(length, _FARTHEST) for x in z]
        mode = mode + pt.stack(step.scaled(z), axis=-1).astype(mode.dtype)
    return LaplaceApproximation(mode, factor)


def columns(matrix: Variable) -> list[Variable]:
    """Return the columns of a matrix; the gradient by its only one is no sum over indices."""
    q = matrix.type.shape[1]
    return [matrix.squeeze(1)] if q == 1 else [matrix[:, i] for i in range(q)]


def derivatives(joint: Joint, effects: Variable) -> tuple[Variable, list[list[Variable]]]:
    """Return the gradient of ``h``, shape (groups, q), and a factor of minus its Hessian.

    Where the Hessian is not negative, its absolute values take its place; where an effect has no
    curvature at all, one does.
    """
    q = effects.type.shape[1]
    slope = grad(pt.sum(joint(effects, 1)), effects, disconnected_inputs="ignore")
    bends = [
        columns(
            -grad(pt.sum(along), effects, disconnected_inputs="ignore", return_disconnected="zero")
        )
        for along in columns(slope)
    ]
    factor: list[list[Variable]] = []
    for i in range(q):
        row: list[Variable] = []
        for j in range(i):
            known = [row[k] * factor[j][k] for k in range(j)]
            row.append((bends[i][j] - pt.add(*known, 0)) / factor[j][j])
        left = bends[i][i] - (pt.add(*[x**2 for x in row], 0) if row else 0)
        bend = pt.abs(bends[i][i])
        least = pt.switch(bend > 0, np.sqrt(np.finfo(effects.dtype).eps) * bend, 1)
        row.append(pt.sqrt(pt.maximum(pt.abs(left), least)))
        factor.append(row)
    return slope, factor
