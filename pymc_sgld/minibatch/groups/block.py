r"""The effects of a block of groups given the other variables: modes, proposals, exact draws.

Given the other variables :math:`\phi`, groups are independent. Around the mode :math:`\hat b` of a
group, its effects are nearly normal with the covariance :math:`C C^\top` of Laplace's
approximation. Draws of a Student distribution around it,

.. math:: b = \hat b + C t, \qquad t \sim t_5,

are proposals of an independence Metropolis sampler. Two of its chains that share their proposals
are one as soon as the one with the larger ratio of the densities, :math:`w`, accepts. So k steps
from a proposal leave a total variation of about

.. math:: E [(1 - a(b))^k], \qquad a(b) = E \min(1, w(b') / w(b)),

over effects b of the group and proposals b' (Liu 1996 has the eigenvalues, :math:`1 - a(b)`). This
is estimated from proposals and their weights for every group: there are so many steps that it is
below 0.001 in the worst of them. Where effects are normal, given the others, they are drawn without
these steps.

References
----------
Liu (1996), Metropolized independent sampling with comparisons to rejection sampling and importance
sampling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pymc_sgld.minibatch.density import DensityFunction, Table
from pymc_sgld.minibatch.groups.layout import SizeClass
from pymc_sgld.minibatch.groups.quadrature import Nodes

PROPOSALS = 6  # that are evaluated at once
MOST_ROUNDS = 50  # of proposals
ITERATIONS, NEAR = 100, 1e-6  # of Newton's method, and standard deviations that it ends with
_FREEDOM = 5.0  # degrees of freedom of a proposal
_PILOT = 20  # times as many proposals measure how many steps are needed
_HALVINGS = 20  # of an iteration that went too far
_FARTHEST = 4.0  # standard deviations that one may lead
_AWAY, _SAME = 3.0, 1e-5  # standard deviations from a mode, and the difference from a normal there
_ABOUT = 0.3  # standard deviations that proposals may be off the mode: they are wider


@dataclass(frozen=True, eq=False)
class OfClass:
    """The groups of a class, and functions of a block of them."""

    members: SizeClass
    table: Table  # their data
    # of effects of shape (groups, q): the slope of the log density, likewise, and the entries of
    # the lower triangle of a Cholesky factor of minus its Hessian, each of shape (groups,)
    derivatives: DensityFunction
    make_joint: Callable[[], DensityFunction]  # makes ``joint``

    @cached_property
    def joint(self) -> DensityFunction:
        """The log density, shape (copies, groups), of effects of shape (copies * groups, q).

        Normal effects do without, and it is not compiled.
        """
        return self.make_joint()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "make_joint"}


class Around:
    """Gaussians around the modes of some groups.

    Attributes
    ----------
    mode : ndarray, shape (groups, q)
    inverse : ndarray, shape (groups, q, q)
        ``C``, an upper triangle with ``C C^T`` the covariance.
    """

    def __init__(self, mode: np.ndarray, inverse: np.ndarray) -> None:
        self.mode, self.inverse = mode, inverse

    def at(self, z: np.ndarray) -> np.ndarray:
        """Return ``mode + C z`` for z of shape (copies, groups, q)."""
        return self.mode + np.einsum("gij,kgj->kgi", self.inverse, z)


@dataclass(frozen=True)
class GroupBlock:
    """Some groups of a class, given the other variables."""

    each: OfClass
    # the other variables
    position: np.ndarray
    others: Sequence[np.ndarray]
    rows: Sequence[np.ndarray]  # the data of the groups
    start: np.ndarray  # shape (groups, q): effects from which modes are searched
    normal: bool  # whether the effects are known to be normal

    def slope(self, effects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the slope at effects, shape (groups, q), and ``C``, shape (groups, q, q)."""
        at = effects.astype(self.start.dtype, copy=False)
        with np.errstate(all="ignore"):
            found = self.each.derivatives(self.position, self.others, self.rows, [at])
        slope, *entries = found
        q = effects.shape[1]
        factor = np.zeros((len(effects), q, q))
        for entry, (i, j) in zip(entries, zip(*np.tril_indices(q), strict=True), strict=True):
            factor[:, i, j] = entry
        return np.asarray(slope, dtype=float), np.linalg.inv(factor).swapaxes(1, 2)

    def joint(self, effects: np.ndarray) -> np.ndarray:
        """Return the log density at effects of shape (PROPOSALS, groups, q), without the last."""
        flat = effects.astype(self.start.dtype).reshape((-1, effects.shape[2]))
        with np.errstate(all="ignore"):
            return self.each.joint(self.position, self.others, self.rows, [flat])[0]

    def around(self, most: int = ITERATIONS, near: float = NEAR) -> Around:
        """Return the Gaussians around the modes, by so many of Newton's iterations at most.

        ``near``: standard deviations that a mode may be off.
        """
        mode, near = self.start, max(near, 10 * np.sqrt(np.finfo(self.start.dtype).eps))
        slope, inverse = self.slope(mode)
        for iteration in range(most):
            pulled = np.einsum("gji,gj->gi", inverse, slope)  # C^T g
            length = np.sqrt((pulled**2).sum(axis=1))
            if not (length > near).any():
                break
            farthest = np.inf if self.normal else _FARTHEST
            share = np.minimum(1, farthest / np.maximum(length, 1e-300))
            new = mode + share[:, None] * np.einsum("gij,gj->gi", inverse, pulled)
            new = new.astype(mode.dtype)
            if self.normal or iteration + 1 == most:
                return Around(new, inverse)
            new_slope, new_inverse = self.slope(new)
            # half of the way, as long as the slope along it turns round by more than it was
            back = np.einsum("gji,gj->gi", inverse, new_slope)
            for _ in range(_HALVINGS):
                worse = ~((back * pulled).sum(axis=1) > -0.9 * length**2)
                if not worse.any():
                    break
                new = np.where(worse[:, None], (mode + new) / 2, new)
                new_slope, new_inverse = self.slope(new)
                back = np.einsum("gji,gj->gi", inverse, new_slope)
            if (new == mode).all():
                break
            mode, slope, inverse = new, new_slope, new_inverse
        return Around(mode, inverse)

    def propose(self, around: Around, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return proposals, shape (PROPOSALS, groups, q), and the logarithms of their weights."""
        groups, q = around.mode.shape
        z = rng.standard_normal((PROPOSALS, groups, q))
        z /= np.sqrt(rng.chisquare(_FREEDOM, (PROPOSALS, groups, 1)) / _FREEDOM)
        proposals = around.at(z).astype(around.mode.dtype)
        values = self.joint(proposals)
        log_proposal = -(_FREEDOM + q) / 2 * np.log1p((z**2).sum(axis=-1) / _FREEDOM)
        return proposals, np.where(np.isnan(values), -np.inf, values) - log_proposal

    def draw(self, rng: np.random.Generator, rounds: int) -> np.ndarray:
        """Return a draw of the effects, shape (groups, q), by so many rounds of proposals."""
        around = self.around(near=_ABOUT)
        if self.normal:
            return around.at(rng.standard_normal((1, *around.mode.shape)))[0]
        proposals, weights = self.propose(around, rng)
        now, weight = proposals[0].copy(), weights[0].copy()
        for count in range(rounds):
            if count:
                proposals, weights = self.propose(around, rng)
            uniform = np.log(rng.random(weights.shape))
            for k in range(0 if count else 1, len(proposals)):
                accepted = uniform[k] < weights[k] - weight
                now[accepted], weight[accepted] = proposals[k][accepted], weights[k][accepted]
        now[~np.isfinite(weight)] = np.nan  # no proposal has a density
        return now

    def left(self, rng: np.random.Generator) -> np.ndarray:
        """Return how far draws are from exact, in total variation, shape (rounds, groups).

        After one round of proposals, two, and so on to the most; NaN where none has a density.
        """
        around = self.around(near=_ABOUT)
        logs = np.concatenate([self.propose(around, rng)[1] for _ in range(_PILOT)])
        weights = np.sort(np.exp(logs - logs.max(axis=0)), axis=0)
        above = np.arange(len(logs))[::-1, None]  # proposals that are accepted for certain
        stay = 1 - (np.cumsum(weights, axis=0) / np.maximum(weights, 1e-300) + above) / len(logs)
        share = weights / weights.sum(axis=0)
        steps = PROPOSALS * np.arange(1, MOST_ROUNDS + 1) - 1
        return np.array([(share * np.maximum(stay, 0) ** k).sum(axis=0) for k in steps])

    def at_nodes(self, around: Around, rule: Nodes) -> np.ndarray:
        """Return what the sum of a quadrature is made of, shape (nodes, groups), as logarithms."""
        groups, q = around.mode.shape
        short = -len(rule.z) % PROPOSALS
        z = np.concatenate([rule.z, np.zeros((short, q))]).reshape(-1, PROPOSALS, 1, q)
        values = [
            self.joint(around.at(np.sqrt(2) * np.broadcast_to(nodes, (PROPOSALS, groups, q))))
            for nodes in z
        ]
        found = np.concatenate(values)[: len(rule.z)]
        return found.astype(float) + rule.log_weights[:, None]

    def is_normal(self, rng: np.random.Generator) -> bool:
        """Whether the log density is quadratic in the effects.

        Its curvature is the same everywhere, and its slope is what that makes of the way from the
        mode: a density with kinks may have the first without the second.
        """
        slope, inverse = self.slope(self.start)
        mode = self.start + np.einsum("gij,gkj,gk->gi", inverse, inverse, slope)
        around, z = Around(mode, inverse), rng.standard_normal((1, *mode.shape))
        tolerance = max(_SAME, 3 * np.sqrt(np.finfo(self.start.dtype).eps))
        for times in (0, _AWAY, -_AWAY):
            slope, here = self.slope(around.at(times * z)[0])
            pulled = np.einsum("gji,gj->gi", inverse, slope)
            apart = np.abs(pulled + times * z[0]) / (1 + _AWAY * np.abs(z[0]))
            spread = np.linalg.norm(inverse, axis=2, keepdims=True)
            same = np.abs(here - inverse) < tolerance * spread
            if not (apart.max() < tolerance and same.all()):
                return False
        return True
