"""What a step method was called with, checked before the work begins."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from pymc.blocking import PointType
from pymc.model import Model
from pytensor.graph.basic import Variable

from pymc_sgld.arguments import (
    choice,
    compile_settings,
    complete_point,
    effects_named,
    flag,
    model_of,
    names,
    number,
    placed,
    positive,
    schedule_or_none,
    updates_of_draw,
    value_variables,
    whole_number,
)
from pymc_sgld.backends.backend import Backend
from pymc_sgld.batching.epochs import ORDERS
from pymc_sgld.dynamics.base import Dynamics
from pymc_sgld.errors import SettingError
from pymc_sgld.gradients import ESTIMATORS
from pymc_sgld.minibatch.placing import number_of
from pymc_sgld.preconditioners import LAPLACE
from pymc_sgld.schedules import Schedule
from pymc_sgld.sources.bind import bind
from pymc_sgld.sources.source import Source
from pymc_sgld.storage.earlier import NOTHING, Earlier
from pymc_sgld.tuning.choices import choose_integrator
from pymc_sgld.tuning.settings import Asked
from pymc_sgld.workers.executor import workers_of


@dataclass(frozen=True)
class Traits:
    """What a class of samplers does otherwise than SGLD; the texts are reasons, or empty."""

    lacks: dict[str, str] = field(default_factory=dict)  # arguments, and why it has none
    reads_all_rows: bool = False
    couples: bool = True  # whether half the step size can be compared
    cannot_explore: str = ""  # why cycles without noise are refused
    needs_noise: str = ""  # why batches of all rows are refused
    starts_warm: bool = False  # whether chains look for a mode of their own first

    def refuse(self, sampler: type, arguments: Iterable[str]) -> None:
        """Refuse arguments that a sampler does not have."""
        name, known = sampler.__name__, inspect.signature(sampler).parameters
        for argument in arguments:
            if argument in self.lacks:
                parents = sampler.__mro__[1:]
                other = next(p for p in parents if argument in inspect.signature(p).parameters)
                raise SettingError(
                    f"{name} has no {argument}: {self.lacks[argument]}. Leave it out, or use "
                    f"{other.__name__}({argument}=...)."
                )
            if argument not in known:
                raise TypeError(
                    f"{name}() got an unexpected keyword argument {argument!r}: help({name}) lists "
                    "what it takes."
                )

    def signature(self, *inits: Callable[..., None]) -> inspect.Signature:
        """Return the arguments of ``__init__``, then others of a parent, but for those it lacks."""
        found: dict[str, inspect.Parameter] = {}
        for init in inits:
            for name, parameter in inspect.signature(init).parameters.items():
                if name not in (*self.lacks, "self") and parameter.kind != parameter.VAR_KEYWORD:
                    found.setdefault(name, parameter)
        return inspect.Signature(list(found.values()))


@dataclass(frozen=True, kw_only=True)
class Call(Asked):
    """The arguments of a step method, checked."""

    traits: Traits
    backend: Backend  # what runs the updates, and what takes long before them
    model: Model
    vars: Sequence[Variable]
    point: PointType  # where the model is checked
    center: PointType | None
    batch_size: int | None
    schedule: Schedule | None
    steps_per_draw: int | None
    temperature: float
    potentials: Mapping[str, str]
    full: Sequence[str]
    effects: Any  # of groups, to integrate out: names, None for a choice, or False
    audit: bool | None
    sources: Mapping[str, Source]
    earlier: Earlier | None
    compile_kwargs: Mapping[str, Any]
    shows: bool  # its progress

    @property
    def placing(self) -> int:
        """Where the terms of the model were placed, as a result stores it."""
        return number_of(self.model, self.potentials, self.full)


def checked(
    arguments: Mapping[str, Any],
    sampler: str,
    traits: Traits,
    dynamics: Dynamics | None,
) -> Call:
    """Return the arguments of a step method, checked.

    Parameters
    ----------
    arguments : dict
        Those of `SGLD`.
    sampler : str
        As the user calls it.
    traits : Traits
        Its own.
    dynamics : Dynamics, optional
        The update; by default what ``integrator`` says, or what goes with the other arguments.
    """
    given = SimpleNamespace(**arguments)
    model = model_of(given.model)
    temperature = number("temperature", given.temperature, 0)
    gradient = choice("gradient", given.gradient, ESTIMATORS)
    batching = choice("batching", given.batching, ORDERS)
    compile_kwargs = compile_settings(given.compile_kwargs)
    schedule = schedule_or_none(given.step_size, temperature)
    if traits.cannot_explore and bool(getattr(schedule, "exploration", 0.0)):
        raise SettingError(
            f"{sampler} cannot explore without noise: {traits.cannot_explore}. Use SGLD or "
            "SGHMC with this schedule, or exploration=0."
        )
    update = dynamics or choose_integrator(given.integrator, schedule, gradient)
    preconditioner = given.preconditioner
    if isinstance(preconditioner, str) and preconditioner == "adaptive" and schedule is None:
        raise SettingError(
            'preconditioner="adaptive" is not known before a chain tunes, and no step size can '
            'be chosen for it: pass step_size=, or use the default, preconditioner="laplace".'
        )
    bias_target = positive("bias_target", given.bias_target)
    if bias_target > 1:
        raise SettingError(
            f"bias_target={bias_target:g} must be at most 1: it is the share by which variances "
            "may be too large, 0.05 by default."
        )
    subtract_noise = bool(flag("subtract_noise", given.subtract_noise))
    if subtract_noise and not temperature:
        raise SettingError(
            "subtract_noise=True takes off the noise that is injected, and there is none at "
            "temperature=0: leave it out."
        )
    steps = None if given.steps_per_draw is None else updates_of_draw(given.steps_per_draw)
    size = None if given.batch_size is None else whole_number("batch_size", given.batch_size)
    sources = bind(given.data)
    if sources and batching != "reshuffle":
        raise SettingError(
            f'batching="{batching}" picks single rows, and data= is read in blocks of '
            'them: use batching="reshuffle", or put the data into the model.'
        )
    if gradient == "saga":  # of blocks; in epochs its gradients would be biased
        batching = "with_replacement"
    center = None if given.center is None else complete_point(given.center, model, "center")
    return Call(
        gradient=gradient,
        preconditioner=preconditioner,
        batching=batching,
        dynamics=update,
        bias_target=bias_target,
        backend=Backend(compile_kwargs, workers_of(given.executor)),
        sampler=sampler,
        subtract_noise=subtract_noise,
        traits=traits,
        model=model,
        vars=value_variables(given.vars, model),
        point=complete_point(given.initial_point, model),
        center=center,
        batch_size=size,
        schedule=schedule,
        steps_per_draw=steps,
        temperature=temperature,
        potentials=placed(given.potentials),
        full=names("full", given.full),
        effects=_effects(given.marginalize, preconditioner, schedule, temperature),
        audit=flag("audit", given.audit),
        sources=sources,
        earlier=_earlier(given.settings, center),
        compile_kwargs=compile_kwargs,
        shows=flag("progressbar", given.progressbar) is not False,
    )


def _effects(
    marginalize: Any, preconditioner: Any, schedule: Schedule | None, temperature: float
) -> Any:
    """Return which effects of groups to integrate out: names, None for a choice, or False."""
    chosen = effects_named(marginalize)
    if chosen is None:
        by_name = isinstance(preconditioner, str)
        # else the posterior is not looked for, and nothing tells how many nodes are enough
        is_known = by_name and (preconditioner in LAPLACE or schedule is None)
        return None if is_known and temperature == 1 else False
    if chosen is not False and temperature != 1:
        raise SettingError(
            "marginalize= integrates over the posterior, and temperature is not 1: pass "
            "marginalize=False."
        )
    return chosen


def _earlier(settings: Any, center: PointType | None) -> Earlier | None:
    """Return what another step found, if the user gave it."""
    if settings is None:
        return None
    if center is not None:
        raise SettingError(
            "center= and settings= both say where the posterior is: leave one of them out."
        )
    found = settings if isinstance(settings, Earlier) else Earlier.read(settings)
    if found.gaussian is None:
        raise SettingError(NOTHING)
    return found
