"""The transition from draw to draw, from the settings that were chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from pymc_sgld.batching.epochs import FixedBlocks, StoredOrder, make_order
from pymc_sgld.batching.order import independent
from pymc_sgld.chain.draw import MOST_STEPS_PER_DRAW, Transition
from pymc_sgld.chain.judge import Judge
from pymc_sgld.chain.verdict import ChainVerdict, VerdictByReadings, VerdictByTemperature
from pymc_sgld.chain.warm_start import WarmStart, directions_of_network
from pymc_sgld.compiled.updates import Updates
from pymc_sgld.dynamics.adam import Adam
from pymc_sgld.dynamics.gaussian_law import GaussianLaw
from pymc_sgld.dynamics.known_noise import KnownNoise
from pymc_sgld.messages import less_noise
from pymc_sgld.minibatch.density import LogDensity, Place, Table
from pymc_sgld.minibatch.position import labels
from pymc_sgld.preconditioners import FisherLowRank, Identity
from pymc_sgld.schedules import constant
from pymc_sgld.setup.call import Call
from pymc_sgld.tuning.choices import LARGEST_HESSIAN
from pymc_sgld.tuning.prior import prior_precision
from pymc_sgld.tuning.settings import Settings

DEFAULT_STEPS_PER_DRAW = 10


def make_transition(
    call: Call, settings: Settings, origin: Place, parameters: Sequence[str]
) -> Transition:
    """Return what runs draws with some settings.

    Parameters
    ----------
    call : Call
    settings : Settings
        What was chosen for it.
    origin : tuple of ndarray, shape (d,), and list of ndarray
        Where a chain begins that was not told where to, and the values of other variables there.
    parameters : sequence of str
        Names of what a coupled difference compares.
    """
    density, matrix = settings.density, settings.preconditioner
    dynamics, temperature, chosen = call.dynamics, call.temperature, call.schedule is None
    by_blocks = settings.estimate.blocks is not None
    orders = [_order(table, call.batching, by_blocks) for table in density.tables]
    if call.traits.starts_warm:  # a chain measures its own, of this shape
        matrix = _unit_matrix(density)
    run = Updates(
        density, settings.estimate, dynamics, matrix, temperature, orders, call.compile_kwargs
    )
    is_covariance = matrix.name == "laplace"
    law = settings.prediction
    if is_covariance:  # one direction is like the other
        accumulated = run.longest.accumulated if run.longest else independent
        law = GaussianLaw.of_one_rate(dynamics, accumulated)
        if settings.errors:
            run.known = KnownNoise.of(settings.errors, matrix, dynamics, accumulated, temperature)
    judge = Judge(
        labels(density.coordinates),
        parameters,
        call.bias_target,
        np.diag(matrix.arrays[0]) if is_covariance else None,
        chosen,
        law,
        run.known,
        _gentler(call, settings),
    )
    made: Callable[..., Transition] = Transition
    verdict: ChainVerdict
    if call.traits.starts_warm:
        precision = prior_precision(density, origin[1])
        made = partial(WarmStart, precision=precision, search=_search(call, settings, orders))
        verdict = VerdictByTemperature(judge, temperature)
    else:
        gaussian = settings.gaussian
        variances = None if gaussian is None else temperature * gaussian.shape.variances
        verdict = VerdictByReadings(
            judge, temperature, variances, dynamics.acceptance, settings.doubts
        )
    apart = min(settings.updates_apart, MOST_STEPS_PER_DRAW) if chosen else DEFAULT_STEPS_PER_DRAW
    return made(
        run,
        density.coordinates,
        origin[0],
        settings.gaussian,
        constant(settings.step_size) if call.schedule is None else call.schedule,
        apart if call.steps_per_draw is None else call.steps_per_draw,
        temperature,
        verdict,
        is_covariance,
        call.sampler,
        call.traits.couples,
    )


def _gentler(call: Call, settings: Settings) -> list[str]:
    """Return arguments with which gradients have less noise, none where they have no noise."""
    if settings.density.full:
        return []
    size = settings.density.position.type.shape[0]
    # one that was asked for and is not in use has more noise, not less
    better_is_open = settings.gradient == call.gradient and (
        size <= LARGEST_HESSIAN or call.gradient == "minibatch"
    )
    return less_noise(call.gradient if better_is_open else None)


def _search(call: Call, settings: Settings, orders: Sequence[StoredOrder | None]) -> Updates[Adam]:
    """Return the updates by which chains look for a mode."""
    density, estimate = settings.density, settings.estimate
    return Updates(density, estimate, Adam(), Identity(), 0.0, orders, call.compile_kwargs)


def _unit_matrix(density: LogDensity) -> FisherLowRank:
    """Return a preconditioner that is one, of the shape of those that chains measure."""
    one = np.ones(density.position.type.shape)
    rows = sum(table.total_size if table.full else table.batch_size for table in density.tables)
    nothing, rank = np.zeros((0, len(one))), directions_of_network(len(one), rows)
    return FisherLowRank.of(one, nothing, 1.0, rank, density.position.dtype)


def _order(table: Table, batching: str, by_blocks: bool) -> StoredOrder | None:
    """Return the order of the rows of a table; None where every update reads them all."""
    if table.full:
        return None
    if by_blocks:
        return FixedBlocks(table.total_size, table.batch_size)
    return make_order(batching, table.total_size, table.batch_size)
