r"""Chains that look for a mode of their own first, as networks need it.

The posterior of a network has very many modes, and no Gaussian to begin with. While a chain tunes,
it

1. *searches* for a mode in the first half, by `Adam`, with steps that end at zero;
2. *settles* around it in the second half: at the temperature of the posterior, with the
   preconditioner

   .. math:: M \approx \left(P + \tfrac nN \overline{\hat g \hat g^\top}\right)^{-1} .

   The mean product of the gradients of the last draws is the mean Hessian, where the chain samples
   the posterior; that of batches of n of N rows is N/n times the Fisher information. :math:`P`, the
   precision of the prior, is added, as few gradients tell little. Of this matrix :math:`M` has the
   diagonal, and the directions in which it is largest. A few times it is measured anew, and the
   step size with it: a share of the largest that is stable for the curvature, or the largest at
   which the noise of gradients widens the posterior by as much as is tolerated.

After tuning both stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pymc_sgld.chain.draw import ATTEMPTS, Transition
from pymc_sgld.chain.failures import is_finite
from pymc_sgld.chain.noise_monitor import Reading
from pymc_sgld.chain.state import Chain, Draw, GradientMoments
from pymc_sgld.compiled.updates import Outcome, Plan, Updates
from pymc_sgld.dynamics.adam import Adam
from pymc_sgld.dynamics.base import State
from pymc_sgld.preconditioners import FisherLowRank

SEARCH = 4000  # updates of the search, about, if tuning is twice as long
LEARNING_RATE = 0.02  # of the search, at its begin
SPREAD = 0.1  # sd of where coordinates start that are no matrices
MEASURED = 0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1  # shares of settling, before which it is measured
POWERS = 10  # iterations for the largest curvature
SHARE = 0.35  # of the largest stable step
MOST_HEAT = 1.5  # times the temperature, after a draw: more is an explosion
HEATING = 0.1  # by the noise of gradients: what it adds to variances, the mean over directions
SMALLER = 0.9  # steps that are tried for that
MOST_BATCHES = 200  # whose gradients are averaged, and whose noise is measured
APART = 0.05  # posterior sds between two gradients, for a curvature
FEW_ROWS, BATCH = 2048, 1024  # an update reads all of so many rows, or a batch of more
MOST_DIRECTIONS, ROWS_OF_DIRECTION = 100, 10  # of M; more rows of an update take longer than one
MOST_KEPT = 2**22  # numbers of gradients that a chain keeps for them
PER_DIRECTION = 5  # gradients


def batch_of_network(rows: int) -> int:
    """Return how many rows an update reads by default."""
    return rows if rows <= FEW_ROWS else BATCH


def directions_of_network(size: int, rows: int) -> int:
    """Return how many directions a preconditioner of so many coordinates has.

    ``rows``: of an update, whose gradient is to take longer than what they add.
    """
    most = min(MOST_DIRECTIONS, rows // ROWS_OF_DIRECTION, MOST_KEPT // PER_DIRECTION // size)
    return max(1, min(most, size // 2))


@dataclass(frozen=True)
class WarmStart(Transition):
    """The transition of chains that look for a mode first.

    Parameters
    ----------
    precision : ndarray, shape (d,)
        Of the prior.
    search : Updates
        Of Adam.
    """

    precision: np.ndarray
    search: Updates[Adam]

    watches: ClassVar[bool] = False  # the search swings, and is to
    retries: ClassVar[bool] = True
    remedy: ClassVar[str] = (
        "Standardise predictors and outcome, take a narrower prior of the weights, or pass "
        "initvals to pm.sample"
    )

    def searches(self, chain: Chain) -> bool:
        """Whether the next draw is part of the search for a mode."""
        return chain.draw < self._searched(chain)

    def _searched(self, chain: Chain) -> int:
        """Return the draws of the search."""
        return min(chain.tune // 2, -(-SEARCH // self.steps_per_draw))

    def check(self, position: np.ndarray, others: list[np.ndarray]) -> None:
        """Compile both kinds of updates."""
        super().check(position, others)
        if self.run.waits:
            return
        rng, updates = np.random.default_rng(0), self.steps_per_draw if self.run.static else 1
        state = position, *self.search.start(rng)
        self._climb(state, rng, (0, 0), np.zeros(updates), others)

    def start(self, rng: np.random.Generator, tune: int, draws: int) -> Chain:
        """Return a chain before its first draw."""
        chain = super().start(rng, tune, draws)
        chain.preconditioner = None
        if self.searches(chain):
            chain.extra = self.search.start(rng)
        return chain

    def updates_of_draw(self, chain: Chain) -> int:
        """Return as many for all draws."""
        return self.steps_per_draw

    def step_sizes(self, chain: Chain, count: np.ndarray) -> np.ndarray:
        """Return those of some updates, shape (k,): they fall while a chain searches."""
        if not self.searches(chain):
            return np.full(len(count), chain.refinement)
        share = count / (self.steps_per_draw * self._searched(chain))
        return chain.refinement * LEARNING_RATE * np.cos(np.pi / 2 * share) ** 2

    def without_noise(self, chain: Chain, first: int, updates: int) -> np.ndarray | None:
        """Return that none is injected into updates of the search, shape (k,)."""
        of_search = first < self.steps_per_draw * self._searched(chain)
        return np.ones(updates, bool) if of_search else None

    def draw(
        self,
        chain: Chain,
        rng: np.random.Generator,
        position: np.ndarray,
        others: list[np.ndarray],
        parameters: Callable[[np.ndarray], np.ndarray],
    ) -> Draw:
        """Run the updates of one draw; now and then measure first what they need."""
        searched = self._searched(chain)
        settling = chain.tune - searched
        if chain.draw in {searched + int(settling * share) for share in MEASURED}:
            self._settle(chain, rng, position, others)
        made = super().draw(chain, rng, position, others, parameters)
        temperature = self._heat(chain) if chain.draw > searched else np.nan
        if chain.draw > chain.tune:
            chain.heat += temperature
        return made._replace(stats=made.stats | {"kinetic_temperature": temperature})

    def _attempt(
        self,
        chain: Chain,
        rng: np.random.Generator,
        start: np.ndarray,
        others: list[np.ndarray],
        parameters: Callable[[np.ndarray], np.ndarray],
        attempts: int,
    ) -> Draw | None:
        """Run the updates of a draw; None if smaller steps are to be tried."""
        if not self.searches(chain):
            before = copy(chain)
            made = super()._attempt(chain, rng, start, others, parameters, attempts)
            if self._exploded(chain) and attempts < ATTEMPTS:
                vars(chain).update(vars(before) | {"batches": chain.batches})
                return None
            return made
        updates, state = self.steps_per_draw, (start, *chain.extra)
        steps = self.step_sizes(chain, np.arange(chain.updates, chain.updates + updates))
        outcome = self._climb(state, rng, (chain.row_seed, chain.updates), steps, others)
        chain.batches += updates
        if not is_finite(outcome.position, outcome.log_density):
            return None
        chain.updates += updates
        chain.last_step_size, chain.extra = float(steps[-1]), outcome.state[1:]
        self._adapt_preconditioner(chain, outcome.gradients)
        return Draw(outcome.position, outcome.gradients[-1], self._nothing(), {})

    def _exploded(self, chain: Chain) -> bool:
        """Whether the momentum is hotter than it can be by chance: a mean of squares of normals."""
        if not self.temperature:  # nothing says how fast it climbs
            return False
        allowed = MOST_HEAT + 6 * np.sqrt(2 / len(self.origin))
        return not self._heat(chain) <= allowed * self.temperature  # NaN is not

    def _heat(self, chain: Chain) -> float:
        """Return the kinetic temperature: the mean square of momenta, in units of M."""
        assert isinstance(chain.preconditioner, FisherLowRank)
        momentum = np.asarray(chain.extra[0], float)[None]
        return float(np.mean(chain.preconditioner.whiten(momentum) ** 2))

    def _climb(
        self,
        state: State,
        rng: np.random.Generator,
        place: tuple[int, int],
        steps: np.ndarray,
        others: list[np.ndarray],
    ) -> Outcome:
        """Run updates of the search; ``place``: the seed of the rows, and updates before."""
        rows = self.search.reads(rng, *place, len(steps))
        return self.search(state, Plan(steps, np.zeros((len(steps), 0)), rows, others))

    def _begin_phase(self, chain: Chain) -> None:
        """Do nothing: what a phase needs is measured where it begins."""

    def _remember(self, chain: Chain, position: np.ndarray, others: list[np.ndarray]) -> None:
        """Do nothing: the preconditioner is measured, and there is no other memory."""

    def _read(self, *_: Any) -> Reading:
        return self._nothing()

    def _nothing(self) -> Reading:
        """Return the reading of a draw: the bias of a weight says little, the temperature more."""
        return Reading(1, np.nan, np.nan, np.zeros(len(self.origin)))

    def _disperse(self, rng: np.random.Generator, position: np.ndarray, scale: float) -> np.ndarray:
        """Return where a chain starts; values of the user's own stay.

        The entries of a matrix of n rows have the variance 1 / n, so that units of a network are
        about as large as those before them (LeCun and others, Efficient backprop).
        """
        sds = np.full(len(position), SPREAD)
        for c in self.coordinates:
            if len(c.shape) > 1:
                sds[c.start : c.start + c.size] = c.shape[-2] ** -0.5
        drawn = position + scale * sds * rng.standard_normal(len(position))
        return np.where(position == self.origin, drawn, position).astype(self.run.dtype)

    def _adapt_preconditioner(self, chain: Chain, gradients: np.ndarray) -> None:
        """Include the gradients of a draw, shape (k, d), in what M will be measured by."""
        squares = np.mean(np.square(gradients, dtype=float), axis=0)
        known = chain.gradients or GradientMoments(squares, gradients[:0])
        # the last tenth of a search
        most = self._searched(chain) // 10 if self.searches(chain) else np.inf
        share = 1 / (min(known.draws, most) + 1)
        known.squares = (1 - share) * known.squares + share * squares
        known.draws += 1
        if not self.searches(chain):
            most_kept = PER_DIRECTION * self._directions
            known.some = np.concatenate([known.some, gradients[-1:]])[-most_kept:]
        chain.gradients = known

    @property
    def _directions(self) -> int:
        return self.run.preconditioner.arrays[1].shape[1]

    def _settle(
        self,
        chain: Chain,
        rng: np.random.Generator,
        position: np.ndarray,
        others: list[np.ndarray],
    ) -> None:
        """Measure preconditioner and step size where a chain is, and draw its momentum anew."""
        if not chain.draw:  # there is no search
            position = self._disperse(rng, position, 1.0)
        gradients = self._gradients(chain, position, others)
        if chain.gradients is None:
            self._adapt_preconditioner(chain, gradients)
        assert chain.gradients is not None
        known, order, dtype = chain.gradients, self.run.longest, self.run.dtype
        share = order.batch_size / order.total_size if order else 1.0
        variances = 1 / (self.precision + share * known.squares)
        matrix = FisherLowRank.of(variances, known.some, share, self._directions, dtype)
        chain.preconditioner = matrix
        curvature = self._curvature(chain, position, others, matrix)
        chain.refinement = SHARE * 2 / np.sqrt(curvature)
        if order:
            apart = matrix.whiten_gradient(gradients - gradients.mean(axis=0))
            noise = np.linalg.svd(apart / np.sqrt(len(gradients) - 1), compute_uv=False) ** 2
            chain.refinement = self._within(chain.refinement, noise, curvature)
        chain.extra, chain.gradients = self.run.start(rng, matrix), None

    def _within(self, step_size: float, noise: np.ndarray, curvature: float) -> float:
        """Return a step size that the noise of gradients allows, or the given one.

        ``noise``, shape (k,): its variances in its principal directions, where M is one. The
        curvatures there are those of the Fisher information, but for the largest.
        """
        order = self.run.longest
        assert order is not None
        rows, size = order.total_size, order.batch_size
        noise = noise[noise > 0]
        rates = np.minimum(noise * size / max(rows - size, 1), curvature)
        while True:
            added = self.run.dynamics.gained(rates, step_size, order.accumulated).diagonal()
            if added @ (noise * rates) <= HEATING * len(self.origin):
                return float(step_size)
            step_size *= SMALLER

    def _gradients(
        self, chain: Chain, position: np.ndarray, others: list[np.ndarray]
    ) -> np.ndarray:
        """Return gradients of some batches at a position, shape (k, d): always of the same."""
        order, wanted = self.run.longest, 1
        if order:
            wanted = max(2, min(-(-order.total_size // order.batch_size), MOST_BATCHES))
        updates = self._at_once if self.run.static else wanted
        rng = np.random.default_rng(chain.row_seed)
        state, found = (position, *self.run.start(rng)), []
        for first in range(0, wanted, updates):
            reads = self.run.reads(rng, chain.row_seed, first, updates)
            found.append(self.run(state, self._idle(reads, others, updates)).gradients)
            chain.batches += updates
        return np.concatenate(found)[:wanted]

    def _curvature(
        self, chain: Chain, position: np.ndarray, others: list[np.ndarray], matrix: FisherLowRank
    ) -> float:
        """Return the largest curvature in coordinates where M is one, by powers of the Hessian.

        Its products with a vector are differences of gradients.
        """
        here = self._gradients(chain, position, others).mean(axis=0)
        direction = np.random.default_rng(chain.row_seed).standard_normal(len(position))
        size = 1.0
        for _ in range(POWERS):
            direction = direction / max(float(np.linalg.norm(direction)), np.finfo(float).tiny)
            away = APART * matrix.factor(direction[None])[0]
            there = (position + away).astype(self.run.dtype)
            change = here - self._gradients(chain, there, others).mean(axis=0)
            direction = matrix.whiten_gradient(change[None])[0] / APART
            size = float(np.linalg.norm(direction))
        return max(size, 1.0)
