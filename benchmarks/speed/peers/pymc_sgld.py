"""SGLD of this package: an unmodified PyMC model, shuffled once and read in blocks of rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pymc as pm
import pytensor

from pymc_sgld import SGLD
from speed.models import Problem
from speed.peers import Sampler

UPDATES_OF_A_DRAW, MANY = 100, 1000
TEXTBOOK = {"gradient": "minibatch", "preconditioner": "identity"}


class StepSize:
    """A schedule: the step size of the present run, so that one compiled step serves them all."""

    now = 1.0

    def __call__(self, count: np.ndarray) -> np.ndarray:
        return np.full(len(count), self.now)


def make(
    problem: Problem,
    batch_size: int,
    model: pm.Model,
    mode: str | None = None,
    updates_of_a_draw: int = UPDATES_OF_A_DRAW,
) -> tuple[SGLD, StepSize]:
    """Return a step method at the start of a chain, and what sets its step size."""
    step_size = StepSize()
    with pytensor.config.change_flags(floatX=problem.dtype):
        step = SGLD(
            batch_size=batch_size,
            step_size=step_size,
            steps_per_draw=updates_of_a_draw,
            model=model,
            compile_kwargs={} if mode is None else {"mode": mode},
            **TEXTBOOK,
        )
    step.setup_chain(np.random.default_rng(0), 0, 10**5)
    return step, step_size


def runs(
    problem: Problem, step: SGLD, step_size: StepSize
) -> Callable[[np.ndarray, float], np.ndarray]:
    """Return a function that runs updates, with all that a draw of so many does in Python."""
    names = [c.value_name for c in step.coordinates]

    def run(position: np.ndarray, size: float) -> np.ndarray:
        step_size.now = size
        point = dict(zip(names, problem.split(position).values(), strict=True))
        for _ in range(problem.updates // step.steps_per_draw):
            point, _ = step.step(point)
        return np.concatenate([np.ravel(point[name]) for name in names])

    return run


def samplers(problem: Problem, batch_size: int) -> dict[str, Sampler]:
    """Return the step method."""
    model = problem.model()
    step, step_size = make(problem, batch_size, model)
    names = [c.value_name for c in step.coordinates]

    def gradient(position: np.ndarray) -> np.ndarray:
        """Return PyMC's own gradient: the updates are compared with it as they run."""
        with pytensor.config.change_flags(floatX=problem.dtype):
            point = dict(zip(names, problem.split(position).values(), strict=True))
            return np.asarray(model.compile_dlogp()(point))

    found = {"pymc_sgld": Sampler(runs(problem, step, step_size), gradient)}
    if not problem.updates % MANY:
        step, step_size = make(problem, batch_size, model, updates_of_a_draw=MANY)
        name = f"pymc_sgld, {MANY:,} updates a draw"
        found[name] = Sampler(runs(problem, step, step_size), gradient)
    return found
