"""From one draw of a chain to the next: its updates, and beside them those of a coupled chain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np

from pymc_sgld.chain.coupled import (
    FEWEST,
    SETTLE,
    TUNING_SHARE,
    CoupledDifference,
    coupled_draws,
)
from pymc_sgld.chain.failures import OTHER_STEPS, explain, is_finite, is_stable, quoted
from pymc_sgld.chain.judge import Findings
from pymc_sgld.chain.mixing import Mixing
from pymc_sgld.chain.noise_monitor import NoiseMonitor, Reading
from pymc_sgld.chain.state import Chain, Draw
from pymc_sgld.chain.verdict import ChainVerdict
from pymc_sgld.compiled.normals import standard_normal
from pymc_sgld.compiled.threads import one_thread
from pymc_sgld.compiled.updates import Outcome, Plan, Updates
from pymc_sgld.dynamics.base import Dynamics, State
from pymc_sgld.errors import NonFiniteError
from pymc_sgld.minibatch.position import Coordinates
from pymc_sgld.preconditioners import Adaptive
from pymc_sgld.schedules import Schedule, evaluate, explores
from pymc_sgld.tuning.posterior.variational import Gaussian

MOST_STEPS_PER_DRAW = 1000
OVERDISPERSION = 1.5  # of starting points, in posterior standard deviations
_ENTRIES_OF_A_PART = 2**17  # updates times coordinates that are run at once: some MB
_LEAST_OF_A_PART = 4  # updates, so that no part has one
_COUPLED_SEED = 20190716  # of what only the coupled chain takes
ATTEMPTS = 12  # to start, or to go on, each with half the step size


@dataclass(frozen=True)
class Transition:
    """What takes a chain from one draw to the next.

    It holds nothing of a chain: one instance serves them all.

    Parameters
    ----------
    run : Updates
        Runs updates.
    coordinates : sequence of Coordinates
        The variables in the position.
    origin : ndarray, shape (d,)
        Where a chain begins that was not told where to.
    gaussian : Gaussian or None
        The posterior, as far as it is known.
    schedule : callable
        The step sizes.
    steps_per_draw : int
        Updates of a draw, as long as steps are as large as they were meant to be.
    temperature : float
        Scale of the variance of the noise.
    verdict : ChainVerdict
        Judges a chain.
    is_covariance : bool
        Whether the preconditioner is the covariance of the posterior.
    sampler : str
        As the user calls it.
    couples : bool
        Whether a coupled chain with half the step size can follow a chain.
    """

    run: Updates[Dynamics]
    coordinates: Sequence[Coordinates]
    origin: np.ndarray
    gaussian: Gaussian | None
    schedule: Schedule
    steps_per_draw: int
    temperature: float
    verdict: ChainVerdict
    is_covariance: bool
    sampler: str
    couples: bool

    watches: ClassVar[bool] = True  # gradients while tuning, so that they do not explode
    remedy: ClassVar[str] = (
        "Pass initvals to pm.sample, or center= at a point where the density is finite all around"
    )

    def check(self, position: np.ndarray, others: list[np.ndarray]) -> None:
        """Compile, by a call that moves nothing, where all chains profit from it."""
        if self.run.waits:
            return
        updates = self._at_once if self.run.static else 1
        rng = np.random.default_rng(0)
        standard_normal(rng, (1, self.run.normals), self.run.dtype)
        state = (position, *self.run.start(rng))
        gradients = self.run(
            state, self._idle(self.run.reads(rng, 0, 0, updates), others, updates)
        ).gradients
        if not is_finite(gradients):
            names = quoted(self.coordinates, ~np.isfinite(gradients[-1]))
            raise NonFiniteError(
                f"{self.sampler}: the gradient of {names} is not finite at the initial point: see "
                "model.debug(), or pass another initial_point."
            )

    def start(self, rng: np.random.Generator, tune: int, draws: int) -> Chain:
        """Return a chain of so many draws before its first."""
        row_seed = int(rng.integers(2**62))
        extra = self.run.start(rng)
        monitor = NoiseMonitor(
            self.run.dynamics, self.temperature, self.run.overstatement, self.is_covariance
        )
        length = coupled_draws(tune, TUNING_SHARE) if self.verdict.judge.chosen else 0
        coupled = self._new_coupled(length)
        reading = Reading.none(len(self.origin))
        mixing = Mixing(len(self.origin), draws)
        chain = Chain(tune, draws, row_seed, extra, monitor, reading, coupled, mixing)
        if isinstance(self.run.preconditioner, Adaptive):
            chain.preconditioner = self.run.preconditioner
        return chain

    def extend(self, chain: Chain, draws: int, positions: Iterable[np.ndarray]) -> None:
        """Let a chain have another number of draws: what judges them begins anew.

        Parameters
        ----------
        chain : Chain
            Is changed.
        draws : int
            After tuning.
        positions : iterable of ndarray, shape (d,)
            Those that there have been.
        """
        if chain.is_over:
            chain.findings, chain.reasons = Findings(), 0
        chain.draws, chain.mixing = draws, Mixing(len(self.origin), draws)
        for position in positions:
            chain.mixing.include(position)
        if chain.draw > chain.tune:
            left = chain.tune + draws - chain.draw
            length = min(left, coupled_draws(draws)) if self.temperature else 0
            chain.coupled = self._new_coupled(length if length >= FEWEST + SETTLE else 0)

    def draw(
        self,
        chain: Chain,
        rng: np.random.Generator,
        position: np.ndarray,
        others: list[np.ndarray],
        parameters: Callable[[np.ndarray], np.ndarray],
    ) -> Draw:
        """Run the updates of one draw: with smaller steps, if they fail and were chosen here.

        Parameters
        ----------
        chain : Chain
            Is changed.
        rng : Generator
            Of the chain.
        position : ndarray, shape (d,)
            Where the draw starts.
        others : list of ndarray
            Values of the variables that the step does not move.
        parameters : callable
            Gives what a coupled difference compares, shape (size,), at a position.
        """
        self._begin_phase(chain)
        self._remember(chain, position, others)
        for attempt in range(ATTEMPTS):
            start = position
            if not chain.draw:
                start = self._disperse(rng, position, 0.5**attempt)
            with one_thread():
                draw = self._attempt(chain, rng, start, others, parameters, attempt + 1)
            if draw is not None:
                break
            chain.refinement /= 2
            chain.overflows += not chain.is_tuning
        else:
            raise NonFiniteError(
                f"{self.sampler}: found no step size at which the gradients do not explode. "
                f"{self.remedy}."
            )
        self._adapt(chain, draw)
        chain.reading.include(draw.reading)
        if not chain.is_tuning:
            chain.mixing.include(draw.position)
            chain.accepted += draw.stats.get("acceptance_rate", np.nan)
        chain.draw += 1
        return draw

    def updates_of_draw(self, chain: Chain) -> int:
        """Return as many more as the steps are smaller than they were meant to be."""
        searches = self._is_adjusted and chain.is_tuning  # far away only small steps are accepted
        if chain.refinement == 1 or self.run.static or searches:
            return self.steps_per_draw
        wanted = round(self.steps_per_draw / min(chain.refinement, 1.0))
        return min(wanted, MOST_STEPS_PER_DRAW)

    @property
    def retries(self) -> bool:
        """Whether a draw that fails is made again, with smaller steps."""
        return self.verdict.judge.chosen

    def step_sizes(self, chain: Chain, count: np.ndarray) -> np.ndarray:
        """Return the step sizes of some updates of a chain, shape (k,)."""
        return evaluate(self.schedule, count) * chain.refinement

    def without_noise(self, chain: Chain, first: int, updates: int) -> np.ndarray | None:
        """Return in which updates no noise is injected, shape (k,): None where it is in all."""
        return explores(self.schedule, first, updates)

    def _adapt_preconditioner(self, chain: Chain, gradients: np.ndarray) -> None:
        """Let a preconditioner follow the gradients of a draw, shape (k, d), while tuning."""
        if isinstance(chain.preconditioner, Adaptive):
            chain.preconditioner = chain.preconditioner.after(gradients)

    def _new_coupled(self, length: int) -> CoupledDifference:
        order = 1 if self.run.orders else self.run.dynamics.order  # gradient noise: the first
        length = 0 if self._is_adjusted or not self.couples else length
        return CoupledDifference(len(self.verdict.judge.parameters), length, order)

    def _disperse(self, rng: np.random.Generator, position: np.ndarray, scale: float) -> np.ndarray:
        """Return where a chain starts: coordinates without a value of the user's own are drawn."""
        if self.gaussian is None:
            return position
        z = rng.standard_normal(len(position))
        drawn = self.gaussian.mean + scale * OVERDISPERSION * self.gaussian.shape.unwhiten(z)
        return np.where(position == self.origin, drawn, position).astype(self.run.dtype)

    def _remember(self, chain: Chain, position: np.ndarray, others: list[np.ndarray]) -> None:
        """Renew what estimate and preconditioner remember of the chain, where it is time."""
        memory, blocks = self.run.memory, self.run.blocks
        if blocks is not None and not chain.draw:
            most = max(blocks.counts)
            together = self._at_once if self.run.static else most
            chain.extra += self.run.remembered(chain.extra, others, together)
            chain.batches += most
        if memory is not None and chain.updates - chain.remembered >= memory.every:
            chain.memory = memory.refresh(position, others)
            chain.remembered = chain.updates
            chain.batches += memory.every
        adaptive = chain.preconditioner
        if isinstance(adaptive, Adaptive) and adaptive.squares is None:  # by one gradient
            rows = self.run.reads(np.random.default_rng(chain.row_seed), chain.row_seed, 0, 1)
            idle = self._idle(rows, others)._replace(memory=chain.memory)
            outcome = self.run((position, *chain.extra), idle)
            chain.preconditioner = adaptive.after(outcome.gradients)

    @property
    def _is_adjusted(self) -> bool:
        """Whether an accept step leaves no bias to be measured."""
        return self.run.dynamics.acceptance is not None

    def _adapt(self, chain: Chain, draw: Draw) -> None:
        """While tuning, move a chosen step size towards the acceptance rate that is wanted.

        By stochastic approximation (Robbins and Monro 1951), of the logarithm of the step size;
        again from large changes to small ones halfway, when the chain has arrived.
        """
        wanted = self.run.dynamics.acceptance
        if wanted is not None and chain.is_tuning and self.verdict.judge.chosen:
            excess = draw.stats["acceptance_rate"] - wanted
            half = chain.tune // 2
            count = chain.draw - half if chain.draw >= half else chain.draw
            chain.refinement *= float(np.exp(2 * excess / (1 + count) ** 0.6))

    def _begin_phase(self, chain: Chain) -> None:
        """Forget the readings of the way to the posterior; then take smaller steps if need be."""
        if chain.draw == chain.tune // 2:
            chain.reading = Reading.none(len(self.origin))
        if chain.draw == chain.tune:
            if self.verdict.judge.chosen and chain.reading.draws:
                bias, step_size = chain.coupled.bias(), chain.last_step_size
                chain.refinement *= self.verdict.judge.refine(chain.reading, bias, step_size)
            chain.reading = Reading.none(len(self.origin))
            chain.coupled = self._new_coupled(coupled_draws(chain.draws) if self.temperature else 0)

    def _attempt(
        self,
        chain: Chain,
        rng: np.random.Generator,
        start: np.ndarray,
        others: list[np.ndarray],
        parameters: Callable[[np.ndarray], np.ndarray],
        attempts: int,
    ) -> Draw | None:
        """Run the updates of a draw, coupled or not; None if smaller steps are to be tried."""
        updates, paired = self.updates_of_draw(chain), chain.is_coupled
        count = np.arange(chain.updates, chain.updates + updates)
        step_sizes = self.step_sizes(chain, count)
        may_fail = self.retries and (chain.is_tuning or chain.overflows < ATTEMPTS)
        # numbers of their own: the draws are the same whether they are coupled or not
        key = _COUPLED_SEED, chain.row_seed, chain.updates
        aside = np.random.default_rng(key) if paired else None
        before = copy(chain.coupled) if may_fail else chain.coupled
        state: State = (start, *chain.extra)
        began, said, parts = None, [], self._parts(updates, len(start))
        for part in parts:
            plan, halves = self._plan(chain, rng, part, step_sizes, aside, others)
            outcome = self.run(state, plan)
            chain.batches += len(plan.step_sizes)
            said.append(self.run.dynamics.stats(outcome.state[1:], len(plan.step_sizes)))
            began = began or _ends(outcome, 0)
            # a gradient that is not finite moves the position for good
            finite = is_finite(outcome.position, outcome.log_density)
            if not finite and not (may_fail and attempts < ATTEMPTS):
                first = chain.updates + part.start
                remedy = f"{self.remedy}." if self.retries else OTHER_STEPS
                raise explain(
                    self.run, self.coordinates, first, state, plan, attempts, self.sampler, remedy
                )
            watched = finite and chain.is_tuning and self.watches
            swings = watched and not is_stable(step_sizes[0], began, _ends(outcome, -1))
            if may_fail and (swings or not finite):
                chain.coupled = before
                return None
            if paired:
                self._run_coupled(chain, state, halves)
            state = outcome.state
        if paired:
            chain.coupled.compare(parameters(state[0]), parameters(chain.coupled.state[0]))
        reading = self._read(chain, rng, plan, outcome)
        chain.updates += updates
        chain.last_step_size = float(step_sizes[-1])
        chain.extra = state[1:]
        stats = said[0]
        if len(parts) > 1:
            shares = [len(step_sizes[part]) / updates for part in parts]
            stats = {name: float(np.dot(shares, [each[name] for each in said])) for name in stats}
        if chain.is_tuning:
            self._adapt_preconditioner(chain, outcome.gradients)
        return Draw(state[0], outcome.gradients[-1], reading, stats)

    def _plan(
        self,
        chain: Chain,
        rng: np.random.Generator,
        part: slice,
        step_sizes: np.ndarray,
        aside: np.random.Generator | None,
        others: list[np.ndarray],
    ) -> tuple[Plan, list[Plan]]:
        """Draw what a part of the updates takes, and what twice as many of half the size do.

        The latter in two plans, so that as many updates run at once; none where it is not paired.
        """
        sizes, run = step_sizes[part], self.run
        number, first = len(sizes), chain.updates + part.start
        shape = number, run.normals
        noise = standard_normal(rng, shape, run.dtype)
        without_noise = self.without_noise(chain, first, number)
        if without_noise is not None:
            noise[without_noise] = 0
        rows = run.reads(rng, chain.row_seed, first, number)
        of_chain = chain.memory, chain.preconditioner
        plan = Plan(sizes, noise, rows, others, *of_chain)
        if aside is None:
            return plan, []
        beside = standard_normal(aside, shape, run.dtype)
        if without_noise is not None:
            beside[without_noise] = 0
        fine = np.stack(run.dynamics.fine(noise, beside, sizes), axis=1)
        fine = fine.reshape((2 * number, run.normals))
        seed, begins, halves = chain.row_seed ^ 1 << 61, chain.coupled.updates, []
        for half in (slice(None, number), slice(number, None)):
            rows = run.reads(aside, seed, begins, number)
            halves_of_sizes = np.repeat(sizes / 2, 2)[half]
            halves.append(Plan(halves_of_sizes, fine[half], rows, others, *of_chain))
            begins += number
        return plan, halves

    def _read(
        self, chain: Chain, rng: np.random.Generator, plan: Plan, outcome: Outcome
    ) -> Reading:
        """Read the gradients of the last updates: of one, and of one more that moves nothing."""
        step_sizes, gradients, products = plan.step_sizes, outcome.gradients, outcome.preconditioned
        if len(step_sizes) < self.run.dynamics.reads:
            rows = self.run.reads(rng, chain.row_seed, chain.updates + len(step_sizes), 1)
            idle = self._idle(rows, plan.others)._replace(
                memory=plan.memory, preconditioner=plan.preconditioner
            )
            more = self.run(outcome.state, idle)
            step_sizes = np.append(step_sizes, 0)
            gradients = np.concatenate([gradients, more.gradients])
            products = np.concatenate([products, more.preconditioned])
        return chain.noise_monitor.read(step_sizes, gradients, products)

    def _idle(self, rows: Sequence[np.ndarray], others: list[np.ndarray], updates: int = 1) -> Plan:
        """Return the plan of updates that move nothing."""
        nothing = np.zeros((updates, self.run.normals), self.run.dtype)
        return Plan(nothing[:, 0], nothing, rows, others)

    def _parts(self, updates: int, size: int) -> list[slice]:
        """Return parts of a draw: with very many coordinates their noise takes much memory.

        They are as long as each other if they can be, as JAX compiles each length anew. The
        gradients of the last part are read.
        """
        least = -(-updates // max(_LEAST_OF_A_PART, _ENTRIES_OF_A_PART // size))
        equal = (count for count in range(least, 2 * least) if not updates % count)
        ends = np.linspace(0, updates, next(equal, least) + 1).round().astype(int)
        return [slice(a, b) for a, b in pairwise(ends.tolist())]

    @property
    def _at_once(self) -> int:
        """Updates of a call, where JAX compiles one number only."""
        return self._parts(self.steps_per_draw, len(self.origin))[0].stop

    def _run_coupled(self, chain: Chain, state: State, plans: Sequence[Plan]) -> None:
        """Run what a draw did with half the step size, on the same Brownian path."""
        coupled = chain.coupled
        coupled.state = coupled.state or state
        for plan in plans:
            outcome = self.run(coupled.state, plan)
            coupled.state = outcome.state
            coupled.updates += len(plan.step_sizes)
            chain.batches += len(plan.step_sizes)
            coupled.failed |= not is_finite(outcome.position, outcome.log_density)


def _ends(outcome: Outcome, update: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient of an update, and its product with the preconditioner."""
    return outcome.gradients[update], outcome.preconditioned[update]
