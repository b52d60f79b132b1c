"""What the user gave to a step method, checked: an error says what is allowed and what to do."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pytensor
from pymc.blocking import PointType
from pymc.model import Model, modelcontext
from pymc.util import get_random_generator
from pymc.vartypes import discrete_types
from pytensor.compile.mode import get_mode
from pytensor.graph.basic import Variable

from pymc_sgld.errors import SettingError
from pymc_sgld.schedules import Schedule, make_schedule

MOST_UPDATES = 10**6  # of a draw


def model_of(model: Any) -> Model:
    """Return the model: that of the context for None."""
    if model is not None and not isinstance(model, Model):
        raise SettingError(
            f"model is a {type(model).__name__}, must be a pm.Model. Pass the pm.Model that was "
            "sampled."
        )
    try:
        return modelcontext(model)
    except TypeError:
        raise SettingError('no model: pass model=, or call this inside "with model:".') from None


def value_variables(vars: Any, model: Model) -> list[Variable]:
    """Return the value variables to sample, or say which cannot be."""
    found = model.continuous_value_vars
    if not found:
        raise SettingError(
            "the model has no continuous free variable, and this step method samples no others. "
            "Leave step= out of pm.sample."
        )
    if vars is None:
        return found
    asked = list(vars) if isinstance(vars, list | tuple) else [vars]
    if not asked:
        raise SettingError("vars is empty: name the variables to sample, or leave it out for all.")
    free = [rv.name for rv in model.free_RVs]
    unknown = [v for v in asked if not isinstance(v, Variable)]
    if unknown:
        raise SettingError(
            f"vars has {unknown[0]!r}, which is no variable. Pass variables of the model, such as "
            f'model["{free[0]}"], one or a list.'
        )
    found = [model.rvs_to_values.get(v, v) for v in asked]
    strange = [v for v, value in zip(asked, found, strict=True) if value not in model.value_vars]
    if strange:
        raise SettingError(
            f'vars has "{strange[0].name}", which is not a free variable of the model. Pass some '
            f"of {free}."
        )
    if len(set(found)) < len(found):
        raise SettingError(f"vars={[v.name for v in asked]} names a variable twice.")
    for variable in found:
        if variable.dtype in discrete_types:
            name = model.values_to_rvs[variable].name
            raise SettingError(
                f'"{name}" is discrete ({variable.dtype}): it has no gradient. Leave it out of '
                "vars, and PyMC assigns it a sampler of its own."
            )
    return found


def complete_point(initial_point: Any, model: Model, argument: str = "initial_point") -> PointType:
    """Return a point of the model, with the default for what is not given."""
    default = model.initial_point()
    if initial_point is None:
        return default
    if not isinstance(initial_point, Mapping):
        raise SettingError(
            f"{argument} is a {type(initial_point).__name__}: pass a dictionary of the value "
            f"variables {list(default)}, as model.initial_point() returns it."
        )
    unknown = [name for name in initial_point if name not in default]
    if unknown:
        raise SettingError(
            f"{argument} has {unknown}, but the value variables of the model are "
            f"{list(default)} (transformed variables in the unconstrained space)."
        )
    point = dict(default)
    for name, value in initial_point.items():
        array = np.asarray(value)
        if array.shape != default[name].shape or array.dtype.kind not in "biuf":
            raise SettingError(
                f'{argument}["{name}"] is {array.dtype} of shape {array.shape}: it must be '
                f"numbers of shape {default[name].shape}."
            )
        wrong = array[~np.isfinite(array)]
        if wrong.size:
            raise SettingError(f'{argument}["{name}"] has {wrong[0]}: it must be finite.')
        point[name] = array.astype(default[name].dtype)
    return point


def names(argument: str, value: Any) -> tuple[str, ...]:
    """Return names, given as one string or several."""
    given = (value,) if isinstance(value, str) else value
    if not isinstance(given, Collection) or not all(isinstance(name, str) for name in given):
        raise SettingError(f"{argument}={value!r} must be names of variables of the model.")
    return tuple(given)


def effects_named(value: Any) -> tuple[str, ...] | bool | None:
    """Return which effects of groups to integrate out: names, a choice (None), any or none."""
    if value is None or isinstance(value, bool | np.bool_):
        return None if value is None else bool(value)
    return names("marginalize", value) or False


def placed(potentials: Any) -> dict[str, str]:
    """Return where each potential belongs."""
    if potentials is None:
        return {}
    if not isinstance(potentials, Mapping):
        raise SettingError(
            f"potentials={potentials!r} must be a dictionary from the names of potentials to "
            '"prior" or "rows".'
        )
    for name, place in potentials.items():
        if place not in ("prior", "rows"):
            raise SettingError(f'potentials has "{name}": {place!r}, not "prior" or "rows".')
    return dict(potentials)


def compile_settings(value: Any) -> Mapping[str, Any]:
    """Return the arguments of a compilation, none for None."""
    kwargs = dictionary("compile_kwargs", value, ', such as {"mode": "JAX"}')
    known = set(inspect.signature(pytensor.function).parameters) - {"inputs", "outputs", "updates"}
    unknown = [name for name in kwargs if name not in known | {"random_seed"}]
    if unknown:
        raise SettingError(
            f"compile_kwargs has {unknown}, which pytensor.function does not know: it takes "
            f"{sorted(known)}."
        )
    try:
        get_mode(kwargs.get("mode"))
    except Exception as error:  # of whatever was given as a mode
        raise SettingError(
            f"compile_kwargs has the mode {kwargs['mode']!r}: {error}. Pass a mode of PyTensor, "
            'such as "NUMBA", "JAX" or "FAST_COMPILE".'
        ) from None
    return kwargs


def generator(rng: Any, name: str = "rng") -> np.random.Generator:
    """Return a generator of random numbers."""
    try:
        return get_random_generator(rng)
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"{name}={rng!r} is no seed: {error}. Pass a whole number, a numpy.random.Generator, "
            "or None. (pm.sample(random_seed=...) sets one for every chain.)"
        ) from None


def choice(name: str, value: Any, allowed: Collection[str]) -> str:
    """Return one of several names."""
    if not isinstance(value, str) or value not in allowed:
        listing = ", ".join(f'"{other}"' for other in allowed)
        raise SettingError(f"{name}={value!r} is not known: use one of {listing}.")
    return value


def flag(name: str, value: Any) -> bool | None:
    """Return True, False or None."""
    if value is not None and not isinstance(value, bool | np.bool_):
        raise SettingError(f"{name}={value!r} must be True, False or None.")
    return None if value is None else bool(value)


def whole_number(name: str, value: Any) -> int:
    """Return an integer of at least 1."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
        raise SettingError(f"{name}={value!r} must be a whole number of at least 1.")
    return int(value)


def updates_of_draw(value: Any) -> int:
    """Return a number of updates that a draw can have."""
    updates = whole_number("steps_per_draw", value)
    if updates > MOST_UPDATES:
        raise SettingError(
            f"steps_per_draw={value!r} must be at most {MOST_UPDATES}: a draw would take minutes, "
            "and nothing could interrupt it. Take more draws instead."
        )
    return updates


def number(name: str, value: Any, least: float) -> float:
    """Return a finite number that is not below ``least``."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise SettingError(f"{name}={value!r} must be a number.")
    if not least <= float(value) < np.inf:
        raise SettingError(f"{name}={value!r} must be finite and at least {least}.")
    return float(value)


def positive(name: str, value: Any) -> float:
    """Return a finite number above zero."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not (is_number and 0 < float(value) < np.inf):
        raise SettingError(f"{name}={value!r} must be a finite number above zero.")
    return float(value)


def dictionary(name: str, value: Any, example: str = "") -> dict[str, Any]:
    """Return a dictionary, an empty one for None."""
    if value is not None and not isinstance(value, Mapping):
        raise SettingError(f"{name}={value!r} must be a dictionary{example}.")
    return dict(value or {})


def schedule_or_none(step_size: Any, temperature: float) -> Schedule | None:
    """Return the schedule of the user, or None where a step size is to be chosen."""
    if step_size is not None:
        return make_schedule(step_size)
    if not temperature:
        raise SettingError(
            "temperature=0 needs a step_size, because the default is chosen for samples of the "
            "posterior: pass a number, such as 0.5, or a decreasing schedule."
        )
    return None
