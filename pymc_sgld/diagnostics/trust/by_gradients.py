"""What the gradients of all rows say of the draws of a run: figures, doubts and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from pymc_sgld.diagnostics.certificate.report import Certificate
from pymc_sgld.diagnostics.matching import shorten
from pymc_sgld.diagnostics.stored import StoredStats
from pymc_sgld.diagnostics.trust.doubts import (
    CHECK_MODEL,
    CHECK_MOVES,
    doubts_of_bias,
    doubts_of_direction,
    doubts_of_kernel,
    quantile,
    too_uncertain,
)
from pymc_sgld.diagnostics.trust.gradient_regression import measure_bias
from pymc_sgld.diagnostics.trust.gradients import with_gradients
from pymc_sgld.diagnostics.trust.kernel_stein import kernel_discrepancy
from pymc_sgld.diagnostics.trust.report import by_parameter
from pymc_sgld.diagnostics.trust.stein_identities import identities, worst_direction
from pymc_sgld.diagnostics.trust.unconstrained import Draws
from pymc_sgld.diagnostics.trust.whitened import Array, Sample
from pymc_sgld.tolerance import FEWEST_INDEPENDENT, Doubt, sd_ratio_of

FEWEST_GRADIENTS = 40
"""Draws of all chains together below which no bias is measured."""

FIGURES = ("mean_shift", "mean_shift_error", "sd_ratio", "sd_ratio_error")
IDENTITIES = ("stein_first", "stein_first_error", "stein_second", "stein_second_error")


class Measured(NamedTuple):
    """How far a run is from the posterior, as far as it was measured."""

    figures: pd.DataFrame = pd.DataFrame()  # shifts of means and ratios of sds, by parameter
    run: Mapping[str, float] = {}  # numbers of the run as a whole
    doubts: Sequence[Doubt] = ()
    notes: Sequence[str] = ()  # what was not measured, and why
    coordinates: pd.DataFrame = pd.DataFrame()  # what gradients say, by unconstrained coordinate
    certificate: Certificate | None = None


def measured_by_gradients(draws: Draws, stored: StoredStats, wanted: int | None) -> Measured:
    """Return what gradients of all rows say of the draws.

    ``wanted``: how many gradients; by default few enough for the size of the data.
    """
    coordinates = pd.DataFrame(
        {"parameter": [each.parameter for each in draws.coordinates]},
        index=[each.label for each in draws.coordinates],
    )
    position = draws.position
    doubts = _unfit(position, coordinates.index)
    if doubts:
        return Measured(by_parameter(coordinates), doubts=doubts, coordinates=coordinates)
    sample = with_gradients(draws, wanted, stored.temperature, rows=stored.rows)
    run: dict[str, float] = {"gradients": sample.gradient.shape[0] * sample.gradient.shape[1]}
    coordinates["mean"] = position.mean(axis=(0, 1))
    coordinates["sd"] = position.std(axis=(0, 1), ddof=1)
    bad = ~np.isfinite(sample.gradient).all(axis=2)
    if bad.any():
        text = f"the gradient is not finite at {bad.sum()} of {bad.size} draws"
        remedy = "see model.debug() there; a smaller step_size, or reparametrise"
        doubts = [Doubt("the run", text, remedy, np.inf)]
        return Measured(by_parameter(coordinates), run, doubts, coordinates=coordinates)
    found = _known(sample, *identities(sample))
    bias = measure_bias(sample) if sample.is_dense else None
    size = _known(sample, *bias[:4]) if bias else np.full((4, sample.size), np.nan)
    coordinates[list(FIGURES)] = np.transpose([*size[:2], *sd_ratio_of(*size[2:])])
    coordinates[list(IDENTITIES)] = found.T
    figures = by_parameter(coordinates)
    labels, judged = list(figures.index), size if bias else found
    errors = quantile(2 * sample.size + 1, bias.blocks - 1 if bias else 39)
    doubts += doubts_of_bias(
        labels,
        (judged[0], judged[1]),
        sd_ratio_of(judged[2], judged[3]),
        errors,
        stored,
        only_identities=not bias,
    )
    if sample.is_dense and sample.effective >= FEWEST_INDEPENDENT:
        worst = worst_direction(sample)
        ratio = sd_ratio_of(worst.inflation, worst.error)
        run["worst_sd_ratio"], run["worst_sd_ratio_error"] = ratio
        doubts += doubts_of_direction(worst, labels, errors, stored)
    discrepancy = kernel_discrepancy(sample)
    run["ksd"], run["ksd_p_value"], run["ksd_draws"] = discrepancy
    doubts += doubts_of_kernel(discrepancy)
    notes = _notes(draws, stored, sample, has_size=bias is not None)
    return Measured(figures, run, doubts, notes, coordinates)


def _unfit(position: Array, labels: pd.Index) -> list[Doubt]:
    """Return why draws are such that no gradients are computed at them."""
    finite = np.isfinite(position).all(axis=(0, 1))
    fixed = np.ptp(position, axis=(0, 1)) == 0
    if position.shape[0] * position.shape[1] < FEWEST_GRADIENTS:
        reason, remedy, size = f"there are fewer than {FEWEST_GRADIENTS} draws", "run longer", 0.0
    elif not finite.all():
        reason = f"draws lie on the edge of their support ({shorten(list(labels[~finite]))})"
        remedy, size = CHECK_MODEL, 0.0
    elif fixed.any():
        reason = f"draws are constant ({shorten(list(labels[fixed]))})"
        remedy, size = CHECK_MOVES, np.inf
    else:
        return []
    return [Doubt("the run", f"its bias cannot be measured, because {reason}", remedy, size)]


def _notes(draws: Draws, stored: StoredStats, sample: Sample, *, has_size: bool) -> list[str]:
    """Return what was not measured and why, and what was."""
    notes = []
    if not sample.is_dense:
        count = sample.gradient.shape[0] * sample.gradient.shape[1]
        notes.append(
            f"{count} gradients are too few for {sample.size} coordinates together: each was "
            "judged on its own, by Stein's identities."
        )
    elif not has_size:
        notes.append(
            "The posterior has more than one mode, or is far from Gaussian: the gradients do not "
            "give the size of the bias. Only Stein's identities were tested."
        )
    if stored.temperature != 1:
        notes.append(
            f"Measured against the posterior to the power 1/{stored.temperature:g}: that is what "
            "the temperature of the run asks for."
        )
    if draws.integrated:
        names = shorten(list(draws.integrated))
        notes.append(f"Measured with {names} integrated out of the posterior.")
    return notes


def _known(
    sample: Sample, shift: Array, shift_error: Array, variance: Array, variance_error: Array
) -> Array:
    """Return four figures of each coordinate, NaN where there are too few draws for them."""
    few = sample.effective_of_each < FEWEST_INDEPENDENT
    few |= too_uncertain(shift, shift_error) | too_uncertain(variance, variance_error)
    return np.where(few, np.nan, [shift, shift_error, variance, variance_error])
