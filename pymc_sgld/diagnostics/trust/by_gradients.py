"""What the gradients of all rows say of the draws of a run: figures, doubts and notes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pymc_sgld.diagnostics.matching import shorten
from pymc_sgld.diagnostics.stored import Stored
from pymc_sgld.diagnostics.trust.doubts import (
    Doubt,
    doubts_of_bias,
    doubts_of_direction,
    doubts_of_kernel,
    quantile,
    too_uncertain,
)
from pymc_sgld.diagnostics.trust.gradient_regression import FEWEST_BLOCKS, Bias, measure_bias
from pymc_sgld.diagnostics.trust.kernel_stein import kernel_discrepancy
from pymc_sgld.diagnostics.trust.predicted import predict
from pymc_sgld.diagnostics.trust.report import SHOWN
from pymc_sgld.diagnostics.trust.stein_identities import identities, worst_direction
from pymc_sgld.diagnostics.trust.unconstrained import Draws, Gradients
from pymc_sgld.diagnostics.trust.whitened import Sample
from pymc_sgld.errors import SettingError
from pymc_sgld.minibatch.placing import UNKNOWN

FEWEST_DRAWS = 40
"""Draws of all chains together below which no bias is measured."""

FEWEST_EFFECTIVE = 2 * FEWEST_BLOCKS
"""Effective draws below which errors, those of a jackknife over blocks, are none."""


class Measured:
    """What gradients say of the draws.

    Parameters
    ----------
    draws : Draws
        Of the run.
    stored : Stored
        What it stored.
    wanted : int or None
        Number of gradients.

    Attributes
    ----------
    coordinates : DataFrame
        One row per unconstrained coordinate.
    run : dict
        Scalars by name.
    doubts : list of Doubt
    notes : list of str
        What was not measured, and why.

    Raises
    ------
    SettingError
        If the model has not the rows of the run.
    """

    def __init__(self, draws: Draws, stored: Stored, wanted: int | None) -> None:
        self.coordinates = pd.DataFrame(
            {"parameter": [each.parameter for each in draws.coordinates]},
            index=[each.label for each in draws.coordinates],
        )
        self.run: dict[str, float] = {}
        self.doubts: list[Doubt] = []
        self.notes: list[str] = []
        self._labels = [each.parameter or each.label for each in draws.coordinates]
        self._stored = stored
        position = draws.position
        fixed = np.ptp(position, axis=(0, 1)) == 0
        reason = ""
        if position.shape[0] * position.shape[1] < FEWEST_DRAWS:
            reason = f"there are fewer than {FEWEST_DRAWS} draws"
        elif not np.isfinite(position).all():
            some = self.coordinates.index[~np.isfinite(position).all(axis=(0, 1))]
            reason = f"draws lie on the edge of their support ({shorten(list(some))})"
        elif fixed.any():
            reason = f"draws are constant ({shorten(list(self.coordinates.index[fixed]))})"
        if reason:
            self._give_up(reason)
            return
        gradients = Gradients(draws, stored.setting("placing") or 0)
        self._check_rows(gradients)
        sample = gradients.sample(wanted, stored.temperature)
        self.run["gradients"] = sample.gradient.shape[0] * sample.gradient.shape[1]
        self._describe(position)
        if not np.isfinite(sample.gradient).all():
            bad = ~np.isfinite(sample.gradient).all(axis=2)
            text = f"the gradient is not finite at {bad.sum()} of {bad.size} draws"
            remedy = "see model.debug() there; a smaller step_size, or reparametrise"
            self.doubts.append(Doubt("the run", text, remedy, np.inf))
            return
        self._measure(gradients, sample)

    def _give_up(self, reason: str) -> None:
        text = f"its bias cannot be measured, because {reason}"
        self.doubts.append(Doubt("the run", text, "run longer", 0.0))

    def _check_rows(self, gradients: Gradients) -> None:
        rows, total = gradients.data.rows, self._stored.setting("total_size")
        known = self._stored.setting("placing") != UNKNOWN
        if rows and total is not None and total != rows and known:
            raise SettingError(
                f"cannot diagnose by the gradients of the model: it has {rows} rows, and the run "
                f"read {total}. Pass the model that was sampled, with its data as they were, and "
                "the sources of the run as data=."
            )

    def _describe(self, position: np.ndarray) -> None:
        self.coordinates["mean"] = position.mean(axis=(0, 1))
        self.coordinates["sd"] = position.std(axis=(0, 1), ddof=1)

    def _measure(self, gradients: Gradients, sample: Sample) -> None:
        found = identities(sample)
        bias = measure_bias(sample) if sample.is_dense else None
        predicted = predict(gradients, sample, bias.precision if bias else None, self._stored)
        self.run["efficiency"] = predicted.efficiency
        table = self.coordinates
        for name in SHOWN:
            table[name] = np.nan
        if bias:
            table[list(SHOWN[:4])] = np.transpose(bias[:4])
            self._clear(sample, SHOWN[:4])
        if predicted.inflation is not None:
            table["predicted_inflation"] = predicted.inflation
        elif self._stored.is_sgld:
            self.notes.append(f"No inflation is predicted: {predicted.reason}.")
        for name in found._fields:
            table[f"stein_{name}"] = getattr(found, name)
        self._clear(sample, [f"stein_{name}" for name in found._fields])
        self._judge(sample, bias)
        discrepancy = kernel_discrepancy(sample)
        self.run["ksd"] = np.sqrt(discrepancy.v_statistic)
        self.run["ksd_u"] = discrepancy.u_statistic
        self.run["ksd_p_value"], self.run["ksd_draws"] = discrepancy.p_value, discrepancy.draws
        self.doubts += doubts_of_kernel(discrepancy)
        if self._stored.temperature != 1:
            self.notes.append(
                f"Measured against the posterior to the power 1/{self._stored.temperature:g}: that "
                "is what the temperature of the run asks for."
            )

    def _clear(self, sample: Sample, names: Sequence[str]) -> None:
        """Take out two figures, each before its error, where there are too few draws for them."""
        figures = self.coordinates[list(names)].to_numpy()
        few = sample.effective_of_each < FEWEST_EFFECTIVE
        for i in (0, 2):
            few |= too_uncertain(figures[:, i], figures[:, i + 1])
        self.coordinates.loc[few, list(names)] = np.nan

    def _judge(self, sample: Sample, bias: Bias | None) -> None:
        degrees = bias.blocks - 1 if bias else 39
        errors = quantile(2 * sample.size + 1, degrees)
        table = self.coordinates
        first, second = ("mean_shift", "inflation") if bias else ("stein_first", "stein_second")
        self.doubts += doubts_of_bias(
            self._labels,
            (table[first].to_numpy(), table[f"{first}_error"].to_numpy()),
            (table[second].to_numpy(), table[f"{second}_error"].to_numpy()),
            errors,
            self._stored,
            only_identities=bias is None,
        )
        if sample.is_dense and sample.effective >= FEWEST_EFFECTIVE:
            worst = worst_direction(sample)
            self.run["worst_inflation"], self.run["worst_inflation_error"] = worst[:2]
            self.doubts += doubts_of_direction(worst, self._labels, errors, self._stored)
        if not sample.is_dense:
            self.notes.append(
                f"{int(self.run['gradients'])} gradients are too few for {sample.size} "
                "coordinates together: each was judged on its own, by Stein's identities."
            )
        elif bias is None:
            self.notes.append(
                "The gradients are not those of one hump, so that no size is given for the bias: "
                "Stein's identities were judged."
            )
