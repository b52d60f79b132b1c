"""Matched posteriors in, what all their parameters together show out."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pymc_sgld.diagnostics.comparison.permutation_test import (
    MOST_DRAWS,
    MOST_PARAMETERS,
    permutation_test,
)
from pymc_sgld.diagnostics.matching import Match, Parameter, evenly_spaced
from pymc_sgld.tolerance import FALSE_ALARMS, FEWEST_INDEPENDENT

SPACING = 2.0
"""Draws are this many times as far apart as their number over the effective sample size.

Draws as far apart as that, for which the effective sample size stands, still have a correlation of
exp(-2) = 0.14 in a slow AR(1) chain; twice as far apart, exp(-4) = 0.02.
"""


class Joint(NamedTuple):
    """What the joint test of two runs found; see `pymc_sgld.compare`."""

    p_value: float
    aligned_p_value: float
    energy: float
    draws: int
    reference_draws: int
    parameters: int
    differs: bool
    worst_pair: tuple[str, str, float, float] | None


def compare_jointly(match: Match, table: pd.DataFrame) -> Joint | None:
    """Test whether two runs have one joint distribution; None where there is nothing to test."""
    places = np.flatnonzero(usable(table))
    if len(places) > MOST_PARAMETERS:
        places = places[np.linspace(0, len(places) - 1, MOST_PARAMETERS).astype(int)]
    parameters = [match.parameters[place] for place in places]
    sizes = [independent_draws(table.iloc[places], prefix) for prefix in ("", "reference_")]
    if len(parameters) < 2 or min(sizes) < FEWEST_INDEPENDENT:
        return None
    draws, reference = (
        np.column_stack([thinned(np.asarray(getattr(one, field)), size) for one in parameters])
        for field, size in zip(("draws", "reference"), sizes, strict=True)
    )
    if any(np.ptp(values, axis=0).min() == 0 for values in (draws, reference)):
        return None  # hardly ever moved
    found, aligned_p_value = permutation_test(draws, reference), np.nan
    if found.p_value <= FALSE_ALARMS:
        aligned_p_value = permutation_test(align(draws, parameters), reference).p_value
    differs = found.p_value <= FALSE_ALARMS and aligned_p_value <= FALSE_ALARMS
    labels = [parameter.label for parameter in parameters]
    return Joint(
        found.p_value,
        aligned_p_value,
        found.energy,
        len(draws),
        len(reference),
        len(parameters),
        differs,
        worst_correlation(draws, reference, labels) if differs else None,
    )


def usable(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Tell which parameters are finite and move in both runs."""
    sizes = table[["ess_bulk", "ess_sd", "reference_ess_bulk", "reference_ess_sd"]]
    return np.asarray(np.isfinite(sizes).all(axis=1) & np.isfinite(table["mean_shift"]))


def independent_draws(table: pd.DataFrame, prefix: str) -> int:
    """Return how many draws of one run are nearly independent in every parameter."""
    least = table[[f"{prefix}ess_bulk", f"{prefix}ess_sd"]].min(axis=None)
    return int(min(least / SPACING, MOST_DRAWS)) if np.isfinite(least) else 0


def thinned(draws: NDArray, size: int) -> NDArray:
    """Return about so many draws of one parameter, evenly spaced in every chain, shape (n,)."""
    chains, length = draws.shape
    return draws[:, evenly_spaced(length, max(size // chains, 1))].ravel()


def align(draws: NDArray[np.floating], parameters: list[Parameter]) -> NDArray[np.floating]:
    """Shift and scale draws so that all of idata has the reference's means and sds."""
    aligned = np.empty_like(draws, dtype=float)
    for column, (_, ours, theirs) in enumerate(parameters):
        standard = (draws[:, column] - np.mean(ours)) / np.std(ours)
        aligned[:, column] = np.mean(theirs) + standard * np.std(theirs)
    return aligned


def worst_correlation(
    draws: NDArray[np.floating], reference: NDArray[np.floating], labels: list[str]
) -> tuple[str, str, float, float]:
    """Name the two parameters whose rank correlation differs most, and give both."""
    ours, theirs = (
        np.corrcoef(pd.DataFrame(values).rank().to_numpy(), rowvar=False)
        for values in (draws, reference)
    )
    one, other = np.unravel_index(int(np.argmax(np.abs(ours - theirs))), ours.shape)
    first, second = sorted((int(one), int(other)))
    pair = float(ours[one, other]), float(theirs[one, other])
    return labels[first], labels[second], *pair
