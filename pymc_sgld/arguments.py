"""What the user gave to a step method, checked: an error says what is allowed and what to do."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from pymc.model import Model
from pymc.util import get_value_vars_from_user_vars
from pymc.vartypes import discrete_types
from pytensor.graph.basic import Variable

from pymc_sgld.errors import SettingError


def value_variables(vars: Any, model: Model) -> list[Variable]:
    """Return the value variables to sample, or say which cannot be."""
    if vars is None:
        found = model.continuous_value_vars
        if not found:
            raise SettingError("the model has no continuous free variable for SGLD to sample.")
        return found
    if not isinstance(vars, list | tuple):
        vars = [vars]
    try:
        found = get_value_vars_from_user_vars(vars, model)
    except ValueError:
        free = [rv.name for rv in model.free_RVs]
        asked = [getattr(v, "name", v) for v in vars]
        raise SettingError(
            f"vars={asked} are not all free variables of the model, which are {free}."
        ) from None
    for variable in found:
        if variable.dtype in discrete_types:
            name = model.values_to_rvs[variable].name
            raise SettingError(
                f'"{name}" is discrete ({variable.dtype}): it has no gradient. Leave it out of '
                "vars, and PyMC assigns it a sampler of its own."
            )
    return found


def check_batch_size(batch_size: Any, total_size: int) -> int | None:
    """Return the number of rows of a batch, from 1 to all of them, or None: to be chosen."""
    if batch_size is None:
        return None
    if not total_size:
        raise SettingError(
            f"batch_size={batch_size!r}, but the model has no observed variables to take rows "
            "from. Leave it out for full-gradient Langevin dynamics."
        )
    size = whole_number("batch_size", batch_size)
    if size > total_size:
        raise SettingError(
            f"batch_size={size} is above the number of rows, {total_size}. Use at most "
            f"{total_size}, which gives the full gradient."
        )
    return size


def whole_number(name: str, value: Any) -> int:
    """Return an integer of at least 1."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
        raise SettingError(f"{name}={value!r} must be a whole number of at least 1.")
    return int(value)


def number(name: str, value: Any, least: float) -> float:
    """Return a finite number that is not below ``least``."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise SettingError(f"{name}={value!r} must be a number.")
    if not least <= float(value) < np.inf:
        raise SettingError(f"{name}={value!r} must be finite and at least {least}.")
    return float(value)
