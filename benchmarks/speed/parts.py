"""Where the microseconds of an update go, for the logistic regression.

The parts of a draw that run in Python are timed alone, with the package's own pieces. What happens
in the compiled loop is found by difference: the same loop with estimators that do less. Both are
set beside the loop written by hand, with its parts removed in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt

from pymc_sgld.batching.epochs import make_order
from pymc_sgld.compiled.normals import standard_normal
from pymc_sgld.compiled.updates import Plan, Updates
from pymc_sgld.dynamics.euler_maruyama import EulerMaruyama
from pymc_sgld.gradients.base import Estimate
from pymc_sgld.gradients.control_variates import control_variate
from pymc_sgld.gradients.minibatch import minibatch
from pymc_sgld.minibatch.full_data import Center
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.preconditioners import Dense, Identity, Preconditioner
from speed import same_dynamics
from speed.models import Problem
from speed.peers.numba import GRADIENTS, jit, loop
from speed.peers.pymc_sgld import UPDATES_OF_A_DRAW, make
from speed.timing import in_turn

STEP_SIZE = 1e-9
Run = Callable[[], object]


def by_draw(work: Run, problem: Problem) -> Run:
    """Return what does something once for each draw of a run."""

    def run() -> None:
        for _ in range(problem.updates // UPDATES_OF_A_DRAW):
            work()

    return run


def python_parts(problem: Problem, batch_size: int, model: pm.Model) -> dict[str, Run]:
    """Return a draw, and what it does outside of compiled code."""
    step, step_size = make(problem, batch_size, model)
    step_size.now = STEP_SIZE
    state = {"point": model.initial_point()}
    updates, chain = step._transition.run, step.chain
    rng, draws = np.random.default_rng(0), count()
    shape = UPDATES_OF_A_DRAW, problem.size
    step_sizes, gradients = np.full(shape[0], STEP_SIZE), rng.standard_normal(shape)

    def draw() -> None:
        state["point"], _ = step.step(state["point"])

    def order() -> None:
        updates.reads(rng, 0, next(draws) * UPDATES_OF_A_DRAW, UPDATES_OF_A_DRAW)

    work = {
        "a draw": draw,
        "noise": lambda: standard_normal(rng, shape, gradients.dtype),
        "row order": order,
        "monitor": lambda: chain.noise_monitor.read(step_sizes, gradients, gradients),
    }
    return {name: by_draw(each, problem) for name, each in work.items()}


def compiled_parts(problem: Problem, batch_size: int, model: pm.Model) -> dict[str, Run]:
    """Return calls of compiled loops: of one that only adds noise, and of larger ones."""
    point = model.initial_point()
    density = Minibatcher(model, model.value_vars, point).density(batch_size)
    design = next(d.variable for d in density.tables[0].data if d.variable.ndim == 2)
    order = make_order("reshuffle", problem.rows, batch_size)
    start = same_dynamics.start(problem)
    center = Center(start, [], np.zeros((2, problem.size)))  # what it is does not change the time
    matrix = np.eye(problem.size)
    plain, nothing = Identity(), Estimate(-density.position)
    estimates: dict[str, tuple[Estimate, Preconditioner]] = {
        "loop": (nothing, plain),
        "reads": (Estimate(pt.sum(design, axis=0)), plain),
        "gradient": (minibatch(density), plain),
        "control variate": (control_variate(density, center), plain),
        "matrix": (nothing, Dense(matrix, matrix)),
    }
    rng, shape = np.random.default_rng(1), (UPDATES_OF_A_DRAW, problem.size)
    step_sizes, noise = np.full(shape[0], STEP_SIZE), rng.standard_normal(shape)

    def call(estimate: Estimate, preconditioner: Preconditioner) -> Run:
        updates = Updates(density, estimate, EulerMaruyama(), preconditioner, 1.0, [order], {})
        draws = count()

        def work() -> None:  # rows that are not in the processor's caches since the last turn
            rows = updates.reads(rng, 0, next(draws) * shape[0], shape[0])
            updates((start,), Plan(step_sizes, noise, rows, []))

        return by_draw(work, problem)

    found = {f"compiled {name}": call(*of) for name, of in estimates.items()}
    factor = estimates["matrix"][1].factor
    return found | {"factor": by_draw(lambda: factor(noise), problem)}


@jit
def _nothing(position, data, start, stop, scale, gradient):
    """Give the loop by hand a gradient of the prior."""
    gradient[:] = -position


@jit
def _reads(position, data, start, stop, scale, gradient):
    """Give it the sum of the rows of a batch."""
    gradient[:] = 0
    for row in range(start, stop):
        for j in range(len(position)):
            gradient[j] += data[0][row, j]


def floor_parts(problem: Problem, batch_size: int) -> dict[str, Run]:
    """Return the loop by hand, and the same with parts removed."""
    whole = GRADIENTS[problem.name]
    rng, blocks = np.random.default_rng(2), problem.rows // batch_size

    def call(updates: Callable) -> Run:
        def run() -> None:
            starts = rng.integers(blocks, size=problem.updates) * batch_size
            position = same_dynamics.start(problem)
            scale = problem.rows / batch_size
            updates(position, problem.data, starts, batch_size, scale, STEP_SIZE, rng)

        return run

    return {
        "floor": call(loop(whole)),
        "floor loop": call(loop(_nothing, noise=False)),
        "floor reads": call(loop(_reads, noise=False)),
        "floor gradient": call(loop(whole, noise=False)),
    }


def measure(problem: Problem, batch_size: int, repeats: int) -> pd.DataFrame:
    """Return a table with a line for each part: medians of differences, turn by turn."""
    model = problem.model()
    runs = python_parts(problem, batch_size, model) | compiled_parts(problem, batch_size, model)
    seconds = in_turn(runs | floor_parts(problem, batch_size), repeats)
    t = {name: 1e6 * values / problem.updates for name, values in seconds.items()}

    def apart(more: str, less: str) -> np.ndarray:
        return t[more] - t[less]

    in_python = t["noise"] + t["monitor"]  # the calls of compiled code order their rows too
    lines = {
        "an update": (t["a draw"], t["floor"]),
        "noise": (t["noise"], apart("floor", "floor gradient")),
        "order of the rows": (t["row order"], None),
        "measuring the gradient noise": (t["monitor"], None),
        "the rest of a draw in Python": (apart("a draw", "compiled gradient") - in_python, None),
        "compiled: the loop itself": (apart("compiled loop", "row order"), t["floor loop"]),
        "compiled: reading": (
            apart("compiled reads", "compiled loop"),
            apart("floor reads", "floor loop"),
        ),
        "compiled: the gradient": (
            apart("compiled gradient", "compiled reads"),
            apart("floor gradient", "floor reads"),
        ),
        "beyond the floor": (apart("a draw", "floor"), None),
        "control variate: more": (apart("compiled control variate", "compiled gradient"), None),
        "full matrix: more, gradients": (apart("compiled matrix", "compiled loop"), None),
        "full matrix: more, noise": (t["factor"], None),
    }
    return pd.DataFrame(
        {
            "µs per update": {name: np.median(ours) for name, (ours, _) in lines.items()},
            "% of an update": {
                name: 100 * np.median(ours / t["a draw"]) for name, (ours, _) in lines.items()
            },
            "the loop by hand, µs": {
                name: np.nan if floor is None else np.median(floor)
                for name, (_, floor) in lines.items()
            },
        }
    )
