"""Microseconds per update of all samplers, for a model and a batch size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd

from speed import same_dynamics
from speed.models import Problem
from speed.peers import samplers
from speed.timing import compared, in_turn, shown

STEP_SIZE = 1e-9  # so small that no chain leaves: what an update costs does not depend on it


def measure(problem: Problem, batch_size: int, peers: Sequence[str], repeats: int) -> pd.DataFrame:
    """Return a table with a line for each sampler, ``pymc_sgld`` first: ratios are to it."""
    position = same_dynamics.start(problem)
    found = samplers("pymc_sgld", problem, batch_size)
    reference = found["pymc_sgld"].gradient(position)
    for peer in peers:
        found |= samplers(peer, problem, batch_size)
    for name, sampler in found.items():
        same_dynamics.check(name, sampler, problem, reference)
    runs = {name: partial(sampler.run, position, STEP_SIZE) for name, sampler in found.items()}
    seconds = in_turn(runs, repeats)
    return compared({n: 1e6 * s / problem.updates for n, s in seconds.items()}, "pymc_sgld")


def side_by_side(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one table of several: medians, and in brackets the ratio and its range."""
    columns = {}
    for name, table in tables.items():
        figures = table.map(shown)
        ranges = figures["ratio, least"] + "–" + figures["ratio, most"]
        columns[name] = figures["µs per update"] + " (" + figures["ratio"] + "; " + ranges + ")"
        columns[name].iloc[0] = figures["µs per update"].iloc[0]
    return pd.DataFrame(columns)


def by_rows(problems: Sequence[Problem], batch_size: int, repeats: int) -> pd.DataFrame:
    """Return the same of this package for data of several sizes: ratios are to the first."""
    runs, updates = {}, {}
    for problem in problems:
        name = f"{problem.rows:,} rows"
        sampler = samplers("pymc_sgld", problem, batch_size)["pymc_sgld"]
        runs[name] = partial(sampler.run, same_dynamics.start(problem), STEP_SIZE)
        updates[name] = problem.updates
    seconds = in_turn(runs, repeats)
    first = next(iter(runs))
    return compared({n: 1e6 * s / updates[n] for n, s in seconds.items()}, first)
