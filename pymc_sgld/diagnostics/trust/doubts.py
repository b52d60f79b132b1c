"""What speaks against a run: figures beyond their tolerance and their error, with the remedy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from pymc_sgld.diagnostics.stored import SMALLER, StoredStats
from pymc_sgld.diagnostics.trust.kernel_stein import Discrepancy
from pymc_sgld.diagnostics.trust.stein_identities import Direction
from pymc_sgld.diagnostics.trust.whitened import Array
from pymc_sgld.tolerance import (
    ESS_LIMIT,
    FALSE_ALARMS,
    FEWEST_DRAWS,
    MEAN_TOLERANCE,
    R_HAT_LIMIT,
    SD_TOLERANCE,
    Doubt,
    sd_ratio_of,
)
from pymc_sgld.wording import apart

ONE_OF_THREE = FALSE_ALARMS / 3
"""That of each kind of test: of all means and sds, of the kernel test, of all R-hats."""

CHECK_MOVES = "check that the sampler moves them, and compare with NUTS"

CHECK_MODEL = "run longer, and check that the model is the one that was sampled"


def quantile(tests: int, degrees: float) -> float:
    """Return how many errors a figure must be beyond its tolerance, among that many figures."""
    return -float(scipy.special.stdtrit(degrees, ONE_OF_THREE / (2 * tests)))


def doubts_of_bias(
    labels: Sequence[str],
    shift: tuple[Array, Array],
    ratio: tuple[Array, Array],
    errors: float,
    stored: StoredStats,
    *,
    only_identities: bool,
) -> list[Doubt]:
    """Judge the shift of each mean and the ratio of each sd to that of the posterior.

    Parameters
    ----------
    shift, ratio : tuple of two ndarray, shape (d,)
        Estimate and standard error; NaN where there are too few draws for them.
    errors : float
        How many errors beyond the tolerance are beyond doubt.
    only_identities : bool
        Whether the figures are those of Stein's identities, and no sizes of a bias.
    """
    found = []
    for label, mean, mean_error, width, width_error in zip(labels, *shift, *ratio, strict=True):
        if width == 0 and np.isnan(width_error):
            found.append(Doubt(label, "its draws are constant", CHECK_MOVES, np.inf))
            continue
        if np.isnan(mean) or np.isnan(width):
            what = "cannot tell: its draws are too few to measure its bias"
            found.append(Doubt(label, what, "run longer", 1.0))
            continue
        over = (abs(mean) - errors * mean_error) / MEAN_TOLERANCE
        if over > 1:
            what = f"the mean is {mean:+.2f} (± {mean_error:.2f}) sd off"
            remedy = f"run longer, and with {_smaller(stored)}" if stored.is_sgld else CHECK_MODEL
            found.append(Doubt(label, what, remedy, over))
        wide = (abs(width - 1) - errors * width_error) / SD_TOLERANCE
        if wide > 1:
            what = _too_wide(width, width_error)
            if only_identities:
                what = (
                    "its gradients do not match its draws: the root of Stein's second identity is "
                    f"{width:.2f} (± {width_error:.2f}), and 1 in draws of the posterior"
                )
            found.append(Doubt(label, what, _narrow_or_wide(width, stored), wide))
        error = np.maximum(mean_error / MEAN_TOLERANCE, width_error / SD_TOLERANCE)
        if max(over, wide) <= 1 and not error <= 1:
            what = (
                f"cannot tell: the error of its mean is {mean_error:.2f} sd, that of its sd "
                f"{100 * width_error:.0f} %"
            )
            found.append(Doubt(label, what, "run longer", min(float(np.nan_to_num(error)), 1)))
    return found


def too_uncertain(estimate: Array, error: Array) -> NDArray[np.bool_]:
    """Whether errors say that figures, in posterior sds or as a ratio of variances, say nothing."""
    return ~(error <= np.maximum(1, np.abs(estimate) / 3))


def r_hat_by_chance(effective: float, chains: int, parameters: int) -> float:
    r"""Return what R-hat does not exceed by chance, in chains that mix.

    With the ``m`` halves of chains and the effective sample size :math:`S` of all, R-hat is about
    :math:`1 + \tfrac{m}{2 S} \chi^2_{m-1} / (m - 1)`: the halves' means differ by their
    Monte-Carlo error.

    ``parameters``: how many R-hats there are, each the greater one of two.
    """
    halves = 2 * chains
    level = scipy.special.chdtri(halves - 1, ONE_OF_THREE / (2 * parameters))
    return float(1 + halves / (2 * effective) * level / (halves - 1))


def doubts_of_mixing(table: pd.DataFrame, chains: int, draws: int) -> list[Doubt]:
    """Judge R-hat and effective sample sizes of some chains of so many draws each.

    A parameter that is constant, as a Deterministic can be, has neither; there is doubt where all
    are. An R-hat above the limit is no reason for doubt where it is what chance gives among so many
    parameters, and the effective sample size is beyond doubt.
    """
    if draws < FEWEST_DRAWS:
        text = f"it has only {draws} draw{'' if draws == 1 else 's'} per chain"
        return [Doubt("the run", text, "run longer", 1.0)]
    if table["ess_bulk"].isna().all() and table["mean"].notna().any():
        return [Doubt("the run", "no parameter varies in its draws", CHECK_MOVES, np.inf)]
    found = []
    for label, row in table.iterrows():
        least = min(row["ess_bulk"], row["ess_tail"])
        limit = R_HAT_LIMIT
        if least >= ESS_LIMIT:
            limit = max(limit, r_hat_by_chance(least, chains, len(table)))
        if row["r_hat"] > limit:
            text = "R-hat is {}, above {}".format(*apart(row["r_hat"], limit, 4))
            size = min((row["r_hat"] - 1) / (limit - 1), 1e6)
            found.append(Doubt(str(label), text, "run longer, or reparametrise", size))
        if least < ESS_LIMIT:
            text = f"its effective sample size is {np.floor(least):.0f}, below {ESS_LIMIT}"
            found.append(Doubt(str(label), text, "run longer", 1.0))
    return found


def doubts_of_direction(
    direction: Direction, labels: Sequence[str], errors: float, stored: StoredStats
) -> list[Doubt]:
    """Judge the direction in which the second identity is worst."""
    ratio, error = sd_ratio_of(direction.inflation, direction.error)
    size = (abs(ratio - 1) - errors * error) / SD_TOLERANCE
    if not size > 1:
        return []
    most = np.argsort(-np.abs(direction.loadings), kind="stable")[:2]
    names = " and ".join(labels[i] for i in most)
    text = f"along the worst direction {_too_wide(ratio, error)}"
    return [Doubt(f"a combination of {names}", text, _narrow_or_wide(ratio, stored), size)]


def doubts_of_kernel(discrepancy: Discrepancy) -> list[Doubt]:
    """Judge the kernel Stein discrepancy."""
    if discrepancy.p_value >= ONE_OF_THREE:
        return []
    text = (
        f"the kernel Stein discrepancy is {discrepancy.size:.2g}, and as large in "
        f"{100 * discrepancy.p_value:.2g} % of exact samples of {discrepancy.draws}"
    )
    beyond_doubt = 1.01  # in no tolerances: after what has a size
    return [Doubt("the draws as a whole", text, "compare with NUTS", beyond_doubt)]


def _too_wide(ratio: float, error: float) -> str:
    side = "large" if ratio > 1 else "small"
    return f"the sd is {100 * abs(ratio - 1):.0f} % (± {100 * error:.0f} %) too {side}"


def _narrow_or_wide(ratio: float, stored: StoredStats) -> str:
    if not stored.is_sgld:
        return CHECK_MODEL
    if ratio < 1:
        return f"run longer, and with {_smaller(stored)}"
    plain = stored.setting("gradient") == "minibatch"
    noise = 'gradient="control_variate"' if plain else "a larger batch_size"
    return f"{_smaller(stored)} or {noise}"


def _smaller(stored: StoredStats) -> str:
    last = float(stored.greatest("step_size").isel(draw=-1).max())
    return f"{SMALLER} (now {last:.2g})"
