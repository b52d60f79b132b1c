"""From one draw of a chain to the next: its updates, and beside them those of a coupled chain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pymc_sgld.chain.coupled import TUNING_SHARE, CoupledDifference, coupled_draws
from pymc_sgld.chain.failures import explain, is_finite, is_stable, quoted
from pymc_sgld.chain.judge import Judge
from pymc_sgld.chain.messages import Message, Reason
from pymc_sgld.chain.mixing import Mixing
from pymc_sgld.chain.noise_monitor import NoiseMonitor, Reading
from pymc_sgld.chain.state import Chain, Draw
from pymc_sgld.compiled.normals import WORTHWHILE, standard_normal
from pymc_sgld.compiled.threads import one_thread
from pymc_sgld.compiled.updates import Updates
from pymc_sgld.dynamics import leimkuhler_matthews
from pymc_sgld.errors import NonFiniteError
from pymc_sgld.minibatch.position import Coordinates
from pymc_sgld.schedules import Schedule, evaluate
from pymc_sgld.tuning.choices import refine
from pymc_sgld.tuning.posterior.variational import Gaussian

MOST_STEPS_PER_DRAW = 1000
OVERDISPERSION = 1.5  # of starting points, in posterior standard deviations
JUDGED = 20  # draws after which the noise is judged, and again after as many
_ENTRIES_OF_A_PART = 2**17  # updates times coordinates that are run at once: some MB
_LEAST_OF_A_PART = 4  # updates, so that no part has one
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
    judge : Judge
        What readings are judged by.
    doubts : sequence of Message
        What is to be said of every chain, whatever its readings.
    """

    run: Updates
    coordinates: Sequence[Coordinates]
    origin: np.ndarray
    gaussian: Gaussian | None
    schedule: Schedule
    steps_per_draw: int
    temperature: float
    judge: Judge
    doubts: Sequence[Message] = ()

    def check(self, position: np.ndarray, others: list[np.ndarray]) -> None:
        """Compile, by a call that moves nothing, where all chains profit from it."""
        updates = self.steps_per_draw if self.run.static else 1
        rng = np.random.default_rng(0)
        rows = self.run.starts(rng, 0, 0, updates)
        nothing = np.zeros((updates, len(position)), dtype=self.run.dtype)
        of_a_draw = 2 * self.steps_per_draw * len(position)  # with a coupled chain
        standard_normal(rng, (min(of_a_draw, WORTHWHILE),), self.run.dtype)
        _, gradient, _, _ = self.run(position, nothing[:, 0], nothing, rows, others)
        if not is_finite(gradient):
            names = quoted(self.coordinates, ~np.isfinite(gradient[-1]))
            raise NonFiniteError(
                f"SGLD: the gradient of {names} is not finite at the initial point: see "
                "model.debug(), or pass another initial_point."
            )

    def start(self, rng: np.random.Generator, tune: int, draws: int) -> Chain:
        """Return a chain of so many draws before its first."""
        judge, row_seed = self.judge, int(rng.integers(2**62))
        previous_noise = np.zeros(0)
        if judge.averaged:
            previous_noise = rng.standard_normal(len(self.origin), dtype=self.run.dtype)
        matched = judge.variances is not None
        monitor = NoiseMonitor(judge.averaged, self.temperature, self.run.overstatement, matched)
        coupled = self._new_coupled(coupled_draws(tune, TUNING_SHARE) if judge.chosen else 0)
        reading = Reading.none(len(self.origin))
        mixing = Mixing(len(self.origin), draws)
        return Chain(tune, draws, row_seed, previous_noise, monitor, reading, coupled, mixing)

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
                "SGLD: found no step size at which the gradients do not explode. Pass initvals to "
                "pm.sample, or center= at a point where the density is finite all around."
            )
        chain.reading.include(draw.reading)
        if not chain.is_tuning:
            chain.mixing.include(draw.position)
        chain.draw += 1
        return draw

    def updates_of_draw(self, chain: Chain) -> int:
        """Return as many more as the steps are smaller than they were meant to be."""
        if chain.refinement == 1 or self.run.static:
            return self.steps_per_draw
        return min(round(self.steps_per_draw / chain.refinement), MOST_STEPS_PER_DRAW)

    def verdict(self, chain: Chain) -> list[Message]:
        """Judge a chain after a draw, and return what is to be said: nothing before its last.

        Before, the noise is judged now and then: a chain that is interrupted has no last draw.
        """
        if not self.temperature:
            return []
        coupled, reading, step_size = chain.coupled, chain.reading, chain.last_step_size
        if chain.is_over:
            messages = self.judge.messages(reading, coupled.bias(), step_size, coupled.failed)
            messages += self._of_draws(chain)
            chain.reasons = sum(message.reason for message in messages)
            return messages
        counted = chain.draw - chain.tune
        if counted > 0 and counted % JUDGED == 0:
            noisy = Reason.NOISE * self.judge.is_noisy(reading, step_size)
            chain.reasons = noisy + sum(doubt.reason for doubt in self.doubts)
        return []

    def _of_draws(self, chain: Chain) -> list[Message]:
        """Return what was doubted before, and what the draws themselves say."""
        expected = None
        if self.gaussian is not None:
            expected = self.temperature * self.gaussian.shape.variances
        told = chain.mixing.messages(self.judge.names, expected, self.judge.chosen)
        if chain.overflows:
            text = (
                f"{chain.overflows} attempts at a draw overflowed after tuning, and steps became "
                f"{1 / chain.refinement:.2g} times smaller: the draws before may be off. Sample "
                "with a smaller step_size, reparametrise the model, or compare with NUTS."
            )
            told.append(Message(Reason.UNSTABLE, chain.overflows, text))
        return [*self.doubts, *told]

    def _new_coupled(self, length: int) -> CoupledDifference:
        second_order = self.judge.averaged and not self.run.orders
        return CoupledDifference(len(self.judge.parameters), length, 2 if second_order else 1)

    def _disperse(self, rng: np.random.Generator, position: np.ndarray, scale: float) -> np.ndarray:
        """Return where a chain starts: coordinates without a value of the user's own are drawn."""
        if self.gaussian is None:
            return position
        z = rng.standard_normal(len(position))
        drawn = self.gaussian.mean + scale * OVERDISPERSION * self.gaussian.shape.unwhiten(z)
        return np.where(position == self.origin, drawn, position).astype(self.run.dtype)

    def _begin_phase(self, chain: Chain) -> None:
        """Forget the readings of the way to the posterior; then take smaller steps if need be."""
        if chain.draw == chain.tune // 2:
            chain.reading = Reading.none(len(self.origin))
        if chain.draw == chain.tune:
            if self.judge.chosen and chain.reading.draws:
                bias, step_size = chain.coupled.bias(), chain.last_step_size
                chain.refinement *= refine(self.judge, chain.reading, bias, step_size)
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
        step_sizes = evaluate(self.schedule, count) * chain.refinement
        may_fail = self.judge.chosen and (chain.is_tuning or chain.overflows < ATTEMPTS)
        coupled, previous = chain.coupled, chain.previous_noise
        before = copy(coupled) if may_fail else coupled
        position, began = start, None
        for part in self._parts(updates, len(start)):
            sizes, first = step_sizes[part], chain.updates + part.start
            shape = ((1 + paired) * len(sizes), len(start))
            fine = standard_normal(rng, shape, self.run.dtype)
            fresh = (fine[::2] + fine[1::2]) / np.sqrt(2, dtype=fine.dtype) if paired else fine
            read_sizes, noise = sizes, _injected(fresh, previous)
            if updates == 1:  # an update that moves nothing: the noise of gradients needs two
                read_sizes = np.append(sizes, 0)
                noise = np.concatenate([noise, np.zeros_like(noise)])
            rows = self.run.starts(rng, chain.row_seed, first, len(read_sizes))
            new, gradients, products, density = self.run(position, read_sizes, noise, rows, others)
            chain.batches += len(sizes)
            began = began or (gradients[0], products[0])
            finite = is_finite(new, density)  # a gradient that is not moves the position for good
            ended = gradients[-1], products[-1]
            if not finite and not (may_fail and attempts < ATTEMPTS):
                at = first, position, read_sizes, noise, rows, others, attempts
                raise explain(self.run, self.coordinates, *at)
            watched = finite and chain.is_tuning
            swings = watched and not is_stable(step_sizes[0], began, ended)
            if may_fail and (swings or not finite):
                chain.coupled = before
                return None
            if paired:
                self._run_coupled(chain, rng, position, sizes, fine, others)
            position, previous = new, fresh[-1] if previous.size else previous
        if paired:
            coupled.compare(parameters(position), parameters(coupled.position))
        chain.updates += updates
        chain.last_step_size = float(step_sizes[-1])
        chain.previous_noise = previous
        reading = chain.noise_monitor.read(read_sizes, gradients, products)
        return Draw(position, gradients[len(sizes) - 1], reading)

    def _parts(self, updates: int, size: int) -> list[slice]:
        """Return parts of a draw: with very many coordinates their noise takes much memory.

        The gradients of the last part are read.
        """
        most = max(_LEAST_OF_A_PART, _ENTRIES_OF_A_PART // size)
        if updates <= most or self.run.static:
            return [slice(0, updates)]
        ends = np.linspace(0, updates, -(-updates // most) + 1).round().astype(int)
        return [slice(a, b) for a, b in pairwise(ends.tolist())]

    def _run_coupled(
        self,
        chain: Chain,
        rng: np.random.Generator,
        start: np.ndarray,
        step_sizes: np.ndarray,
        fine: np.ndarray,
        others: list[np.ndarray],
    ) -> None:
        """Run what a draw did with half the step size, on the same Brownian path."""
        coupled, updates = chain.coupled, len(step_sizes)
        if not coupled.position.size:
            coupled.position, coupled.previous_noise = start, chain.previous_noise
        noise = _injected(fine, coupled.previous_noise)
        if coupled.previous_noise.size:
            coupled.previous_noise = fine[-1]
        halves = np.repeat(step_sizes / 2, 2)
        for part in (slice(None, updates), slice(updates, None)):
            rows = self.run.starts(rng, chain.row_seed ^ 1 << 61, coupled.updates, updates)
            coupled.position, _, _, density = self.run(
                coupled.position, halves[part], noise[part], rows, others
            )
            coupled.updates += updates
            chain.batches += updates
            coupled.failed |= not is_finite(coupled.position, density)


def _injected(fresh: np.ndarray, previous: np.ndarray) -> np.ndarray:
    """Return the noise of updates: averaged where there is a previous one."""
    return leimkuhler_matthews.average(fresh, previous) if previous.size else fresh
