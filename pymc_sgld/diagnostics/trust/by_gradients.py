"""What the gradients of all rows say of the draws of a run: figures, doubts and notes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pymc_sgld.diagnostics.matching import shorten
from pymc_sgld.diagnostics.stored import Stored
from pymc_sgld.diagnostics.trust.doubts import (
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
from pymc_sgld.minibatch.placing import UNKNOWN
from pymc_sgld.tolerance import FEWEST_INDEPENDENT, Doubt, sd_ratio_of

FEWEST_GRADIENTS = 40
"""Draws of all chains together below which no bias is measured."""

FIGURES = ("mean_shift", "mean_shift_error", "sd_ratio", "sd_ratio_error")
IDENTITIES = ("stein_first", "stein_first_error", "stein_second", "stein_second_error")


class Measured:
    """What gradients say of the draws.

    Attributes
    ----------
    coordinates : DataFrame
        One row per unconstrained coordinate.
    run : dict
        Scalars by name.
    notes : list of str
        What was not measured, and why.
    """

    def __init__(self, draws: Draws, stored: Stored, wanted: int | None) -> None:
        self.coordinates = pd.DataFrame(
            {"parameter": [each.parameter for each in draws.coordinates]},
            index=[each.label for each in draws.coordinates],
        )
        self.run: dict[str, float] = {}
        self.doubts: list[Doubt] = []
        self.notes: list[str] = []
        self._stored = stored
        position = draws.position
        fixed = np.ptp(position, axis=(0, 1)) == 0
        reason = ""
        if position.shape[0] * position.shape[1] < FEWEST_GRADIENTS:
            reason = f"there are fewer than {FEWEST_GRADIENTS} draws"
        elif not np.isfinite(position).all():
            some = self.coordinates.index[~np.isfinite(position).all(axis=(0, 1))]
            reason = f"draws lie on the edge of their support ({shorten(list(some))})"
        elif fixed.any():
            reason = f"draws are constant ({shorten(list(self.coordinates.index[fixed]))})"
        if reason:
            text = f"its bias cannot be measured, because {reason}"
            self.doubts.append(Doubt("the run", text, "run longer", 0.0))
            return
        rows = None if draws.placing == UNKNOWN else stored.setting("total_size")
        sample = with_gradients(draws, wanted, stored.temperature, rows=rows)
        self.run["gradients"] = sample.gradient.shape[0] * sample.gradient.shape[1]
        self.coordinates["mean"] = position.mean(axis=(0, 1))
        self.coordinates["sd"] = position.std(axis=(0, 1), ddof=1)
        if not np.isfinite(sample.gradient).all():
            bad = ~np.isfinite(sample.gradient).all(axis=2)
            text = f"the gradient is not finite at {bad.sum()} of {bad.size} draws"
            remedy = "see model.debug() there; a smaller step_size, or reparametrise"
            self.doubts.append(Doubt("the run", text, remedy, np.inf))
            return
        self._measure(sample)
        if draws.integrated:
            names = shorten(list(draws.integrated))
            self.notes.append(f"Measured with {names} integrated out of the posterior.")

    @property
    def figures(self) -> pd.DataFrame:
        """Of the coordinates, by parameter where they are one."""
        return by_parameter(self.coordinates)

    def _measure(self, sample: Sample) -> None:
        found = _known(sample, *identities(sample))
        bias = measure_bias(sample) if sample.is_dense else None
        size = np.full((4, sample.size), np.nan)
        if bias:
            size = _known(sample, *bias[:4])
        self.coordinates[list(FIGURES)] = np.transpose([*size[:2], *sd_ratio_of(*size[2:])])
        self.coordinates[list(IDENTITIES)] = found.T
        self._judge(sample, size if bias else found, bias.blocks if bias else 0)
        discrepancy = kernel_discrepancy(sample)
        self.run["ksd"], self.run["ksd_p_value"], self.run["ksd_draws"] = discrepancy
        self.doubts += doubts_of_kernel(discrepancy)
        if self._stored.temperature != 1:
            self.notes.append(
                f"Measured against the posterior to the power 1/{self._stored.temperature:g}: that "
                "is what the temperature of the run asks for."
            )

    def _judge(self, sample: Sample, figures: Array, blocks: int) -> None:
        """Judge shifts and ratios of variances; without blocks, those of Stein's identities."""
        errors = quantile(2 * sample.size + 1, blocks - 1 if blocks else 39)
        labels = list(by_parameter(self.coordinates).index)
        self.doubts += doubts_of_bias(
            labels,
            (figures[0], figures[1]),
            sd_ratio_of(figures[2], figures[3]),
            errors,
            self._stored,
            only_identities=not blocks,
        )
        if sample.is_dense and sample.effective >= FEWEST_INDEPENDENT:
            worst = worst_direction(sample)
            ratio = sd_ratio_of(worst.inflation, worst.error)
            self.run["worst_sd_ratio"], self.run["worst_sd_ratio_error"] = ratio
            self.doubts += doubts_of_direction(worst, labels, errors, self._stored)
        if not sample.is_dense:
            self.notes.append(
                f"{int(self.run['gradients'])} gradients are too few for {sample.size} "
                "coordinates together: each was judged on its own, by Stein's identities."
            )
        elif not blocks:
            self.notes.append(
                "The posterior has more than one mode, or is far from Gaussian: the gradients do "
                "not give the size of the bias. Only Stein's identities were tested."
            )


def _known(
    sample: Sample, shift: Array, shift_error: Array, variance: Array, variance_error: Array
) -> Array:
    """Return four figures of each coordinate, NaN where there are too few draws for them."""
    few = sample.effective_of_each < FEWEST_INDEPENDENT
    few |= too_uncertain(shift, shift_error) | too_uncertain(variance, variance_error)
    return np.where(few, np.nan, [shift, shift_error, variance, variance_error])
