"""Everything that a step method finds out, chooses and compiles before it samples."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pytensor.configdefaults import config

from pymc_sgld.chain.draw import Transition
from pymc_sgld.chain.effects import IntegratedOut
from pymc_sgld.chain.parameters import ParameterValues
from pymc_sgld.chain.warm_start import batch_of_network
from pymc_sgld.checkpoint.found import Found
from pymc_sgld.compiled.garbage import old_objects_remain
from pymc_sgld.compiled.threads import one_thread
from pymc_sgld.errors import SettingError, warn
from pymc_sgld.minibatch.checks import costs
from pymc_sgld.minibatch.checks.guard import Guard
from pymc_sgld.minibatch.checks.negative_indices import negative_indices
from pymc_sgld.minibatch.density import LogDensity
from pymc_sgld.minibatch.groups.conditional import MEASURED_AT
from pymc_sgld.minibatch.groups.groups import Groups
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.minibatch.position import labels, position_of
from pymc_sgld.progress import progress
from pymc_sgld.setup.call import Call
from pymc_sgld.setup.transition import make_transition
from pymc_sgld.storage.earlier import Earlier
from pymc_sgld.tuning.choices import choose
from pymc_sgld.tuning.quadrature import PoorIntegral
from pymc_sgld.tuning.settings import Search, Settings

NEAR = 0.5  # variance of the log weights of points, about, up to which they are good ones


@dataclass(frozen=True)
class Prepared:
    """What a step method samples with."""

    settings: Settings
    others: Mapping[str, str]  # value variables that the step does not move, and their dtypes
    guard: Guard
    groups: Groups | None  # whose effects are integrated out
    effects: IntegratedOut | None  # which draws these
    values: ParameterValues
    transition: Transition
    found: Earlier  # for another step that need not search
    seconds: float  # that all of this took

    @property
    def notes(self) -> list[str]:
        """Sentences on what is integrated out, and on what gives the posterior, too."""
        notes = [] if self.groups is None else [self.groups.sentence()]
        size, far = len(self.transition.origin), self.settings.fisher_divergence
        # a bound of the variance of the log weights, for a Gaussian (Poincare's inequality)
        if self.transition.temperature == 1 and size * far < NEAR:
            told = f"{far:.2g}" if far > 0.001 else "below 0.001"
            notes.append(
                f"near a Gaussian (Fisher divergence {told}): certify(idata, model) gives exact "
                "moments"
            )
        return notes


def prepare(call: Call, opened: AbstractContextManager[Found]) -> Prepared:
    """Return what a step method samples with.

    Parameters
    ----------
    call : Call
    opened : context
        Gives what was found when this call was made before, if it is known.
    """
    began = time.perf_counter()
    sampler, model = call.sampler, call.model
    reporting = progress("checking the model", shown=call.shows, name=sampler)
    # nobody reads where a node of a graph was made, and to note it takes a tenth of the time
    quick = config.change_flags(traceback__limit=0)
    with reporting as tell, one_thread(), quick, old_objects_remain(), opened as found:
        rows, settings, guard = _settings_for(call, found, tell)
        density = settings.density
        if call.traits.needs_noise and density.full:
            raise SettingError(call.traits.needs_noise)
        others = _dtypes(density)
        left = {c.name for c in density.coordinates}
        sampled = [v for v in call.vars if model.values_to_rvs[v].name in left]
        place = position_of(call.point, density.coordinates, others)
        effects = _effects(call, rows, settings, place)
        values = ParameterValues(model, sampled, call.point)
        origin = position_of(model.initial_point(), density.coordinates, others)
        transition = make_transition(call, settings, origin, values.names)
        tell("compiling the updates")
        transition.check(*place)
        seconds = found.commit(settings, rows, time.perf_counter() - began)
    earlier = Earlier.of(model, rows, settings.gaussian, settings.chosen)
    return Prepared(
        settings, others, guard, rows.groups, effects, values, transition, earlier, seconds
    )


def _settings_for(
    call: Call, found: Found, tell: Callable[[str], None]
) -> tuple[Minibatcher, Settings, Guard]:
    """Return the model in batches, and what is asked for and chosen for it.

    Twice, where the integral over effects of groups is found to be poor that nobody asked for.
    """
    earlier = call.earlier if found.fingerprint is None else None  # else all is known
    as_before = earlier is not None and call.effects is None and not earlier.effects
    for integrated in [False] if found.is_without_effects or as_before else [call.effects, False]:
        rows = _rows(call, integrated, earlier)
        tell("comparing batches with all rows")
        size = (rows.largest or None) if call.traits.reads_all_rows else call.batch_size
        if size is None and call.traits.starts_warm:
            size = batch_of_network(rows.largest)
        density = rows.density(size, call.audit)
        rows.check_sources()
        guard = Guard(call.model, density.sources)
        search = _search(call, density, earlier)
        is_open = call.schedule is None, size is None
        try:
            known = found.settings(rows, density, call)
            with found.noting():
                settings = known or choose(rows, density, call, search, *is_open)
        except PoorIntegral as error:
            found.said.append(
                f"{call.sampler}: {error}. These effects are sampled like the other variables "
                "instead."
            )
            warn(found.said[-1])
            earlier = None  # it is of another posterior
        else:
            break
    return rows, settings, guard


def _rows(call: Call, effects: Any, earlier: Earlier | None) -> Minibatcher:
    """Return the model in batches, with a look at what may be wrong with it."""
    model, placed = call.model, (call.potentials, call.full, call.sources)
    rows = Minibatcher(model, call.vars, call.point, *placed, effects, call.backend)
    doubts = [*costs.of_updates(rows, call.batch_size), *costs.of_draws(model, call.point)]
    if earlier is not None:
        earlier.check(model, rows)
        earlier.prepare(rows)
    for sentence in [*negative_indices(rows.terms, rows.fixed), *doubts]:
        warn(sentence)
    return rows


def _search(call: Call, density: LogDensity, earlier: Earlier | None) -> Search:
    """Return where to look for the posterior, or the point that the user has found."""
    coordinates, others = density.coordinates, _dtypes(density)
    start, values = position_of(call.point, coordinates, others)
    center = None
    if call.center is not None:
        center, values = position_of(call.center, coordinates, others)
    search = Search(start, values, center, labels(coordinates))
    if earlier is None:
        return search
    return replace(search, earlier=earlier.gaussian, chosen=earlier.chosen)


def _effects(
    call: Call, rows: Minibatcher, settings: Settings, place: tuple[np.ndarray, list[np.ndarray]]
) -> IntegratedOut | None:
    """Return what draws the effects of groups that are integrated out."""
    if rows.effects is None:
        return None
    position, others = place
    positions: list[np.ndarray] = [position]
    if settings.gaussian is not None:
        positions = settings.gaussian.sample(MEASURED_AT, position.dtype)
    rows.effects.measure(positions, others)
    return IntegratedOut(rows.effects, call.model, bool(others), (positions[0], others))


def _dtypes(density: LogDensity) -> dict[str, str]:
    """Return the value variables that the step does not move, and their dtypes."""
    return {name: variable.type.dtype for name, variable in density.others.items()}
