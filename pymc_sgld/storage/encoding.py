"""States as JSON and arrays: no code comes back from a file, only values of known classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pymc_sgld.chain.coupled import CoupledDifference
from pymc_sgld.chain.judge import Findings
from pymc_sgld.chain.mixing import Mixing
from pymc_sgld.chain.noise_monitor import NoiseMonitor, Reading
from pymc_sgld.chain.state import Chain, GradientMoments
from pymc_sgld.dynamics.base import Dynamics
from pymc_sgld.dynamics.gaussian_law import GaussianLaw, WideGaussianLaw
from pymc_sgld.messages import Message
from pymc_sgld.minibatch.full_data import Center
from pymc_sgld.preconditioners import (
    Adaptive,
    Dense,
    Diagonal,
    FisherLowRank,
    Identity,
    LowRank,
)
from pymc_sgld.tuning.posterior.covariance import Full, Stretched
from pymc_sgld.tuning.posterior.variational import Gaussian
from pymc_sgld.tuning.settings import Chosen

CLASSES: dict[str, type] = {
    known.__name__: known
    for known in (
        *(Chain, CoupledDifference, Findings, GradientMoments, Mixing, NoiseMonitor, Reading),
        *(Center, Chosen, Gaussian, GaussianLaw, WideGaussianLaw, Full, Stretched, Message),
        *(Adaptive, Dense, Diagonal, FisherLowRank, Identity, LowRank),
    )
}
"""What a file may hold, by name; `register` adds to it."""


def register[T: type](known: T) -> T:
    """Let files hold values of a class: a decorator."""
    CLASSES[known.__name__] = known
    return known


def encode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Return a value as JSON; what is an array in it is put beside.

    A dynamics, and the function of a law, are made of the settings of a step and not stored.
    """
    if isinstance(value, np.ndarray | np.generic):
        key = f"a{len(arrays)}"
        arrays[key] = np.asarray(value)
        return {"array": key, "scalar": isinstance(value, np.generic)}
    if value is None or isinstance(value, str | bool | float):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, np.dtype):
        return {"dtype": value.str}
    if isinstance(value, Dynamics):
        return {"made": "dynamics"}
    if callable(value):
        return {"made": "accumulated"}
    if type(value) in (list, dict):
        if isinstance(value, list):
            return [encode(item, arrays) for item in value]
        return {"dict": [[encode(k, arrays), encode(v, arrays)] for k, v in value.items()]}
    name = type(value).__name__
    if isinstance(value, tuple):
        return {"tuple": [encode(item, arrays) for item in value], "class": name}
    if CLASSES.get(name) is not type(value):
        raise TypeError(f"a file cannot hold a {name}")
    return {"class": name, "state": {k: encode(v, arrays) for k, v in vars(value).items()}}


def decode(value: Any, arrays: Mapping[str, np.ndarray], made: Mapping[str, Any]) -> Any:
    """Return the value again; ``made`` has what is not stored."""

    def again(part: Any) -> Any:
        return decode(part, arrays, made)

    if isinstance(value, list):
        return [again(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        found = arrays[value["array"]]
        return found[()] if value["scalar"] else found
    if "dtype" in value:
        return np.dtype(value["dtype"])
    if "made" in value:
        return made[value["made"]]
    if "dict" in value:
        return {again(k): again(v) for k, v in value["dict"]}
    if "tuple" in value:
        items = [again(item) for item in value["tuple"]]
        return tuple(items) if value["class"] == "tuple" else CLASSES[value["class"]](*items)
    new: Any = object.__new__(CLASSES[value["class"]])
    vars(new).update({k: again(v) for k, v in value["state"].items()})
    return new
