r"""Two step sizes in, the step size zero out: Richardson's extrapolation, with its errors.

A moment at the step size :math:`\varepsilon` is :math:`m(\varepsilon) = m_0 + c\,\varepsilon^p` and
higher powers. Two runs, whose :math:`\varepsilon^p` differs by the factor :math:`r` (:math:`2^p` at
half the step), give

.. math:: \hat m_0 = m_2 + \frac{m_2 - m_1}{r - 1}

with the variance :math:`(r^2 e_2^2 + e_1^2) / (r - 1)^2` of independent runs: at the order 1 its
error is more than twice that of a run, at the order 2 about 1.4 times.

References
----------
Durmus, Simsekli, Moulines, Badeau and Richard (2016), Stochastic gradient Richardson-Romberg Markov
chain Monte Carlo, section 2.
"""

from typing import NamedTuple

import numpy as np
import scipy
from arviz_stats.base.array import array_stats
from numpy.typing import ArrayLike, NDArray

from pymc_sgld.diagnostics.comparison.marginal import Tolerance

FALSE_ALARMS = 0.01
"""Rate of wrong statements about the tolerance, in all parameters of a table together."""

WITHIN, BEYOND, UNKNOWN = "within tolerance", "beyond tolerance", "cannot tell"


class Moments(NamedTuple):
    """Mean and variance of a run, with Monte-Carlo standard errors."""

    mean: float
    mean_mcse: float
    variance: float
    variance_mcse: float


class Extrapolation(NamedTuple):
    """One row of the table of `pymc_sgld.step_halving`."""

    mean: float
    mean_mcse: float
    mean_half: float
    mean_half_mcse: float
    mean_extrapolated: float
    mean_extrapolated_mcse: float
    sd: float
    sd_mcse: float
    sd_half: float
    sd_half_mcse: float
    sd_extrapolated: float
    sd_extrapolated_mcse: float
    mean_shift: float
    mean_shift_mcse: float
    sd_ratio: float
    sd_ratio_mcse: float
    bias: str


def extrapolate(
    draws: ArrayLike,
    half: ArrayLike,
    ratio: float,
    tolerance: Tolerance,
    parameters: int = 1,
) -> Extrapolation:
    """Extrapolate mean and standard deviation of one parameter to steps of size zero.

    Variances are what is extrapolated: on a Gaussian gradient noise adds to them in proportion to
    the step size.

    Parameters
    ----------
    draws, half : array_like of shape (chain, draw)
        Independent runs at a step size and at a smaller one.
    ratio : float
        Of the two step sizes, to the power of the order: above 1.
    tolerance : Tolerance
        What bias counts as small.
    parameters : int
        How many are judged together.

    Returns
    -------
    Extrapolation
        ``bias`` is that of the larger step size: within the tolerance, or beyond, where the errors
        leave no doubt.
    """
    one, two = moments(np.asarray(draws, dtype=float)), moments(np.asarray(half, dtype=float))
    weight = 1 / (ratio - 1)
    mean = two.mean + weight * (two.mean - one.mean)
    mean_mcse = np.hypot((1 + weight) * two.mean_mcse, weight * one.mean_mcse)
    variance = two.variance + weight * (two.variance - one.variance)
    variance_mcse = np.hypot((1 + weight) * two.variance_mcse, weight * one.variance_mcse)
    unit = np.sqrt(two.variance)
    with np.errstate(all="ignore"):
        sd = np.sqrt(variance)  # NaN if noise or a large bias makes it negative
        shift = np.divide(one.mean - mean, unit) if one.mean != mean else 0.0  # a constant: none
        shift_mcse = (1 + weight) * np.hypot(one.mean_mcse, two.mean_mcse) / (unit or 1.0)
        sd_ratio = np.divide(np.sqrt(one.variance), sd)
        # the derivatives of the logarithm of the ratio of variances
        own = np.divide(1, one.variance) + np.divide(weight, variance)
        other = np.divide(1 + weight, variance)
        sd_ratio_mcse = sd_ratio / 2 * np.hypot(own * one.variance_mcse, other * two.variance_mcse)
        doubt = -float(scipy.special.ndtri(FALSE_ALARMS / (4 * parameters)))
        bias = judge_together(
            judge(float(shift), float(shift_mcse), tolerance.mean, doubt),
            judge_spread(one, two, weight, tolerance.sd, doubt),
        )
        return Extrapolation(
            one.mean,
            one.mean_mcse,
            two.mean,
            two.mean_mcse,
            float(mean),
            float(mean_mcse),
            *standard_deviation(one.variance, one.variance_mcse),
            *standard_deviation(two.variance, two.variance_mcse),
            *standard_deviation(variance, variance_mcse),
            float(shift),
            float(shift_mcse),
            float(sd_ratio),
            float(sd_ratio_mcse),
            bias,
        )


def moments(draws: NDArray[np.floating]) -> Moments:
    """Return mean and variance of a run, with their errors; NaN for draws that are not finite."""
    if not np.isfinite(draws).all() or draws.size < 2:
        return Moments(*[np.nan] * 4)
    sd = float(draws.std(ddof=1))
    if np.ptp(draws) == 0:
        return Moments(float(draws.mean()), 0.0, 0.0, 0.0)
    return Moments(
        float(draws.mean()),
        float(array_stats.mcse(draws)),
        sd**2,
        float(2 * sd * array_stats.mcse(draws, method="sd")),
    )


def standard_deviation(variance: float, error: float) -> tuple[float, float]:
    """Return the root of a variance, and its error."""
    with np.errstate(all="ignore"):
        sd = np.sqrt(variance)
        return float(sd), float(np.divide(error, 2 * sd))


def judge(bias: float, error: float, tolerance: float, doubt: float) -> str:
    """Say on which side of the tolerance a bias is, up to so many errors of doubt."""
    if abs(bias) - doubt * error > tolerance:
        return BEYOND
    return WITHIN if abs(bias) + doubt * error <= tolerance else UNKNOWN


def judge_spread(one: Moments, two: Moments, weight: float, tolerance: float, doubt: float) -> str:
    """Say on which side of the tolerance the ratio of standard deviations is.

    The ratio is above a limit where the variance exceeds the square of the limit times the one that
    is extrapolated: a linear combination of two variances, whose error is known even where the
    extrapolated variance is not positive.
    """
    margins = []
    for side in (-1, 1):
        square = max(1 + side * tolerance, 0) ** 2
        excess = (1 + weight * square) * one.variance - (1 + weight) * square * two.variance
        error = np.hypot(
            (1 + weight * square) * one.variance_mcse, (1 + weight) * square * two.variance_mcse
        )
        margins.append((side * excess - doubt * error, -side * excess - doubt * error))
    if any(beyond > 0 for beyond, _ in margins):
        return BEYOND
    return WITHIN if all(within >= 0 for _, within in margins) else UNKNOWN


def judge_together(mean: str, spread: str) -> str:
    """Combine two judgements: the worse of them."""
    for worse in (BEYOND, UNKNOWN):
        if worse in (mean, spread):
            return worse
    return WITHIN
