"""Mean, standard deviation and interval of draws."""

from __future__ import annotations

import arviz_base as az
import numpy as np

from pymc_sgld.arguments import number
from pymc_sgld.errors import SettingError

STATISTICS = ("mean", "sd", "lower", "upper")
_BLOCK = 2**20  # numbers that a quantile sorts at once


def probability(prob: float | None) -> float:
    """Return the probability of an interval."""
    found = number("prob", az.rcParams["stats.ci_prob"] if prob is None else prob, 0)
    if not 0 < found < 1:
        raise SettingError(f"prob={prob!r} must lie between 0 and 1.")
    return found


def statistics_of(array: np.ndarray, prob: float) -> np.ndarray:
    """Return mean, sd and the ends of an interval of draws, shape (statistic, ...)."""
    draws = array.reshape(array.shape[0] * array.shape[1], -1)
    found = np.empty((len(STATISTICS), draws.shape[1]))
    ends = [(1 - prob) / 2, (1 + prob) / 2]
    width = max(1, _BLOCK // len(draws))
    for start in range(0, draws.shape[1], width):  # quantiles of all entries at once copy them
        part = draws[:, start : start + width].astype(float)
        ranges = np.quantile(part, ends, axis=0)
        found[:, start : start + width] = [part.mean(axis=0), part.std(axis=0, ddof=1), *ranges]
    return found.reshape(len(STATISTICS), *array.shape[2:])
