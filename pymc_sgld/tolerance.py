"""What counts as a bias, and how a verdict is worded, of a chain, a report or a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pymc_sgld.wording import apart

if TYPE_CHECKING:
    import pandas as pd

MEAN_TOLERANCE = 0.1
"""Largest shift of a mean that is tolerated, in standard deviations of the posterior."""

SD_TOLERANCE = 0.1
"""Largest deviation of a ratio of standard deviations from 1 that is tolerated."""

R_HAT_LIMIT = 1.01
"""Above this R-hat the chains have not mixed (Vehtari et al. 2021, section 4)."""

ESS_LIMIT, CHAIN_ESS_LIMIT = 400, 100
"""Effective draws of a run, and of one chain of four, that diagnostics need (ibid.)."""

FALSE_ALARMS, CHAIN_FALSE_ALARMS = 1e-2, 1e-3
"""Probability that a run, or one test of a chain, is in doubt although its draws are exact."""

FEWEST_DRAWS, FEWEST_JUDGED = 4, 100
"""Draws of a chain for which R-hat and effective sample sizes exist, and that it judges itself."""

FEWEST_INDEPENDENT = 20
"""Effective draws below which no standard error means anything."""

MOST_LINES = 5
"""Parameters, or other labels, that a verdict has a line for."""


class Tolerance(NamedTuple):
    """Deviations from the posterior that are tolerated."""

    mean: float = MEAN_TOLERANCE  # of the mean, in standard deviations of the posterior
    sd: float = SD_TOLERANCE  # of the ratio of standard deviations from 1

    def __str__(self) -> str:
        """Say it as in a verdict."""
        return f"mean within {self.mean:g} sd, sd within {100 * self.sd:g} %"

    def excess(self, mean_shift: Any, sd_ratio: Any) -> Any:
        """Return the greater of both deviations in tolerances; one that is NaN is ignored.

        Examples
        --------
        >>> print(Tolerance().excess(-0.05, 1.2).round(1))
        2.0
        """
        return np.fmax(np.abs(mean_shift) / self.mean, np.abs(sd_ratio - 1) / self.sd)

    def worst_figures(self, table: pd.DataFrame) -> str:
        """Name the parameters that are farthest off, with their figures."""
        shift, ratio = table["mean_shift"].abs().dropna(), table["sd_ratio"].dropna()
        clauses = []
        if len(shift):
            text, _ = apart(shift.max(), self.mean, 2)
            clauses.append(f"worst mean shift {text} sd ({shift.idxmax()})")
        if len(ratio):
            worst = (ratio - 1).abs().idxmax()
            text, _ = apart(ratio[worst], 1 + self.sd if ratio[worst] > 1 else 1 - self.sd)
            clauses.append(f"worst sd ratio {text} ({worst})")
        return f"; {', '.join(clauses)}" if clauses else ""


class Doubt(NamedTuple):
    """One reason not to rely on a run."""

    label: str  # the parameter, or what else is meant
    text: str  # the figure and its error
    remedy: str  # what to do; empty where other doubts say it better
    # in tolerances, to put the worst first. At most 1 where nothing is known to be wrong: draws are
    # too few to tell
    size: float


@dataclass(frozen=True)
class Verdict:
    """Whether to rely on a run.

    Examples
    --------
    >>> doubt = Doubt("mu", "the mean is +0.30 (± 0.02) sd off", "a smaller step_size", 3)
    >>> print(Verdict("Not trusted.", [doubt]))
    Not trusted.
    - mu: the mean is +0.30 (± 0.02) sd off.
    What to do: a smaller step_size.
    """

    headline: str  # one sentence
    doubts: Sequence[Doubt] = ()  # what speaks against the run
    notes: Sequence[str] = ()  # sentences on what was not measured, and why

    def __str__(self) -> str:
        """Return the headline, a line for each label in doubt, what to do, and the notes."""
        texts: dict[str, list[str]] = {}
        ordered = sorted(self.doubts, key=lambda doubt: -doubt.size)
        for doubt in ordered:
            texts.setdefault(doubt.label, []).append(doubt.text)
        shown = list(texts)[:MOST_LINES]
        lines = [f"- {label}: {', '.join(texts[label])}." for label in shown]
        if len(texts) > MOST_LINES:
            lines.append(f"- and {len(texts) - MOST_LINES} more.")
        remedies = dict.fromkeys(doubt.remedy for doubt in ordered if doubt.remedy)
        given = [
            one
            for one in remedies
            if not any(other != one and other.startswith(one) for other in remedies)
        ]
        lines += [f"What to do: {'; '.join(given)}."] if given else []
        return "\n".join([self.headline, *lines, *self.notes])


def sd_ratio_of(variance_ratio: Any, error: Any) -> tuple[Any, Any]:
    r"""Return a ratio of standard deviations, and its error, from a ratio of variances.

    With the ratio :math:`v` of variances and its standard error :math:`e`,

    .. math::

        \mathrm{sd\ ratio} = \sqrt v, \qquad
        \mathrm{its\ error} = \min \Big( \frac{e}{2 \sqrt v}, \sqrt e \Big).

    An estimate of a ratio of variances can be negative: then it counts as 0, with the second error.

    Examples
    --------
    >>> ratio, error = sd_ratio_of(np.array([4.0, -0.1]), np.array([0.4, 0.09]))
    >>> print(ratio, error)
    [2. 0.] [0.1 0.3]
    """
    ratio = np.sqrt(np.maximum(variance_ratio, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return ratio, np.fmin(error / 2 / ratio, np.sqrt(error))
