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
    """A model, the names of its parameters in the order of the reference, means and sds.

    ``mcse`` are the standard errors of the means, where they are not negligible.
    """

    model: pm.Model
    names: list[str]
    mean: np.ndarray
    sd: np.ndarray
    mcse: np.ndarray | float = 0.0

    @property
    def labels(self) -> list[str]:
        """The name of each number that is compared, with its place in an array."""
        sizes = [int(np.prod(self.model[name].shape.eval())) for name in self.names]
        return [
            name if size == 1 else f"{name}[{entry}]"
            for name, size in zip(self.names, sizes, strict=True)
            for entry in range(size)
        ]


def read(name: str) -> dict:
    """Return the content of a file."""
    return json.loads((DATA / f"{name}.json").read_text())


def load(name: str) -> tuple[dict, np.ndarray, np.ndarray]:
    """Return the data, means and sds of a file."""
    file = read(name)
    data = {key: np.asarray(value) for key, value in file.get("data", {}).items()}
    return data, np.array(file["mean"]), np.array(file["sd"])


def sampled(build: Callable[..., tuple[pm.Model, list[str]]]) -> Callable[[], Posterior]:
    """Add to a model its reference, which ``references.py`` writes to a file of the same name.

    The function without a reference, which returns the model and the names of the parameters that
    are compared, and may have a batch size, is the attribute ``__wrapped__``.
    """

    @wraps(build)
    def posterior() -> Posterior:
        model, names = build()
        reference = read(build.__name__)
        check_data(build.__name__, model, reference["sum_of_outcomes"])
        return Posterior(model, names, np.array(reference["mean"]), np.array(reference["sd"]))

    return posterior


def check_data(name: str, model: pm.Model, expected: float, command: str = "") -> None:
    """Raise ValueError if the reference is that of other data."""
    found = sum_of_outcomes(model)
    if not np.isclose(found, expected, rtol=1e-7):
        raise ValueError(
            f'The reference of "{name}" belongs to outcomes with the sum {expected}, and those '
            f"here have {found}: the model was changed, or this version of NumPy simulates other "
            f"numbers. Run `python benchmarks/{command or f'references.py {name}'}`."
        )


def sum_of_outcomes(model: pm.Model) -> float:
    """Return the sum of all that is observed."""
    return float(sum(model.rvs_to_values[rv].eval().sum() for rv in model.observed_RVs))


def batches(batch_size: int | None, *arrays: np.ndarray) -> tuple[tuple, int | None]:
    """Return random batches of rows by PyMC, for variational inference, and their ``total_size``.

    Without a batch size, the arrays as they are.
    """
    if batch_size is None:
        return arrays, None
    # whole numbers as PyMC has them: it does not take batches that it has to cast
    own = [each.astype("int32") if each.dtype.kind == "i" else each for each in arrays]
    return tuple(pm.Minibatch(*own, batch_size=batch_size)), len(arrays[0])


def stack(posterior, names: list[str]) -> np.ndarray:
    """Return the draws of the named parameters, shape (chain, draw, number of parameters)."""
    draws = [posterior[name].to_numpy() for name in names]
    return np.concatenate([each.reshape(*each.shape[:2], -1) for each in draws], axis=-1)
