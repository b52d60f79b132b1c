"""What a posterior of the benchmark is, and where its reference comes from."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pymc as pm

DATA = Path(__file__).parents[1] / "data"


class Posterior(NamedTuple):
    """A model, the names of its parameters in the order of the reference, means and sds."""

    model: pm.Model
    names: list[str]
    mean: np.ndarray
    sd: np.ndarray


def load(name: str) -> tuple[dict, np.ndarray, np.ndarray]:
    """Return the data, means and sds of a file; there may be no data."""
    file = json.loads((DATA / f"{name}.json").read_text())
    data = {key: np.asarray(value) for key, value in file.get("data", {}).items()}
    return data, np.array(file["mean"]), np.array(file["sd"])


def sampled(build: Callable[[], tuple[pm.Model, list[str]]]) -> Callable[[], Posterior]:
    """Add the reference of the file of the same name, which ``references.py`` writes, to a model.

    The function without a reference, which returns the model and the names of the parameters that
    are compared, is the attribute ``__wrapped__``.
    """

    @wraps(build)
    def posterior() -> Posterior:
        model, names = build()
        _, mean, sd = load(build.__name__)
        check_data(build.__name__, model)
        return Posterior(model, names, mean, sd)

    return posterior


def check_data(name: str, model: pm.Model) -> None:
    """Raise ValueError if the reference is that of other data."""
    expected = json.loads((DATA / f"{name}.json").read_text())["sum_of_outcomes"]
    if not np.isclose(sum_of_outcomes(model), expected, rtol=1e-7):
        raise ValueError(
            f'The reference of "{name}" belongs to outcomes with the sum {expected}, and those '
            f"simulated here have {sum_of_outcomes(model)}: this version of NumPy draws other "
            f"numbers. Run `python benchmarks/references.py {name}`."
        )


def sum_of_outcomes(model: pm.Model) -> float:
    """Return the sum of all that is observed."""
    return float(sum(model.rvs_to_values[rv].eval().sum() for rv in model.observed_RVs))


def stack(posterior, names: list[str]) -> np.ndarray:
    """Return the draws of the named parameters, shape (chain, draw, number of parameters)."""
    draws = [posterior[name].to_numpy() for name in names]
    return np.concatenate([each.reshape(*each.shape[:2], -1) for each in draws], axis=-1)
