"""How far two sets of draws of one scalar parameter are apart, in plain NumPy.

The unit of every distance is the standard deviation of the reference, so that one tolerance serves
all parameters. Labels, models and files are the business of the layers above.
"""

from typing import NamedTuple

import numpy as np
from arviz_stats.base.array import array_stats
from numpy.typing import ArrayLike, NDArray
from scipy.stats import wasserstein_distance

MEAN_TOLERANCE = 0.1
"""Largest shift of the mean that counts as agreement, in reference standard deviations."""

SD_TOLERANCE = 0.1
"""Largest deviation of the ratio of standard deviations from 1 that counts as agreement."""

FLOATING_POINT_STEPS = 64
"""Draws that differ by fewer steps of floating point than this are one and the same constant."""


class Comparison(NamedTuple):
    """What two sets of draws of one parameter have in common; one row of `pymc_sgld.compare`."""

    mean_shift: float
    mean_shift_mcse: float
    sd_ratio: float
    wasserstein: float
    r_hat: float
    ess_bulk: float
    reference_r_hat: float
    reference_ess_bulk: float
    agrees: bool


def compare_draws(draws: ArrayLike, reference: ArrayLike) -> Comparison:
    r"""Compare the draws of one scalar parameter with those of a reference.

    With the means :math:`m, m_r`, standard deviations :math:`s, s_r` (divisor: draws - 1),
    Monte-Carlo standard errors of the mean :math:`e, e_r` and empirical distribution functions
    :math:`F, F_r` of the draws and of the reference, each over all chains,

    .. math::

        \mathrm{mean\ shift} = \frac{m - m_r}{s_r}, \quad
        \mathrm{its\ error} = \frac{\sqrt{e^2 + e_r^2}}{s_r}, \quad
        \mathrm{sd\ ratio} = \frac{s}{s_r}, \quad
        \mathrm{Wasserstein} = \frac{1}{s_r} \int |F(x) - F_r(x)|\,dx .

    The errors :math:`e = s/\sqrt{\mathrm{ESS}}` account for autocorrelation. The Wasserstein
    distance of two finite samples is positive even when their laws are the same.

    Parameters
    ----------
    draws, reference : array_like of shape (chain, draw)
        Numbers, integers or booleans; the two may differ in chains and in draws.

    Returns
    -------
    Comparison
        The distances above; R-hat (NaN for a single chain) and bulk effective sample size of both;
        and ``agrees``: the shift is at most `MEAN_TOLERANCE`, the ratio within `SD_TOLERANCE` of 1,
        and the error of the shift no larger than its tolerance, so that it can tell. Draws that are
        not finite never agree. A reference that is constant has no unit: the distances are NaN, and
        ``agrees`` says whether both are the same constant.

    References
    ----------
    Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021), "Rank-normalization, folding, and
    localization: an improved R-hat for assessing convergence of MCMC", Bayesian Analysis 16(2).

    Examples
    --------
    >>> import numpy as np
    >>> reference = np.random.default_rng(1).normal(size=(4, 500))
    >>> result = compare_draws(reference + 0.5 * reference.std(ddof=1), reference)
    >>> round(result.mean_shift, 6), round(result.sd_ratio, 6), result.agrees
    (0.5, 1.0, False)
    """
    resolution = max(floating_point_resolution(draws), floating_point_resolution(reference))
    draws, reference = np.asarray(draws, dtype=float), np.asarray(reference, dtype=float)
    unit = standard_deviation(reference, resolution)
    mean_shift = mean_shift_mcse = sd_ratio = wasserstein = float("nan")
    # Overflow and division by zero give the infinities and NaN that they should: no warnings.
    with np.errstate(all="ignore"):
        if unit > 0 and is_finite(draws):
            mean_shift = float((draws.mean() - reference.mean()) / unit)
            error, reference_error = array_stats.mcse(draws), array_stats.mcse(reference)
            mean_shift_mcse = float(np.hypot(error, reference_error) / unit)
            sd_ratio = standard_deviation(draws, resolution) / unit
            wasserstein = float(wasserstein_distance(draws.ravel(), reference.ravel()) / unit)
    agrees = (
        abs(mean_shift) <= MEAN_TOLERANCE
        and abs(sd_ratio - 1) <= SD_TOLERANCE
        and mean_shift_mcse <= MEAN_TOLERANCE
    )
    return Comparison(
        mean_shift,
        mean_shift_mcse,
        sd_ratio,
        wasserstein,
        *convergence(draws, resolution),
        *convergence(reference, resolution),
        agrees=agrees or is_same_constant(draws, reference, resolution),
    )


def convergence(draws: NDArray[np.floating], resolution: float) -> tuple[float, float]:
    """Give rank-normalised split R-hat and bulk effective sample size; NaN where undefined."""
    if not is_finite(draws) or is_constant(draws, resolution):
        return float("nan"), float("nan")
    with np.errstate(all="ignore"):  # chains that stand still at different values: R-hat is inf
        return float(array_stats.rhat(draws)), float(array_stats.ess(draws, method="bulk"))


def standard_deviation(draws: NDArray[np.floating], resolution: float) -> float:
    """Give the standard deviation over all chains: 0 for a constant, NaN where undefined."""
    if draws.size < 2 or not is_finite(draws):
        return float("nan")
    if is_constant(draws, resolution):
        return 0.0
    with np.errstate(all="ignore"):
        return float(draws.std(ddof=1))


def is_finite(draws: NDArray[np.floating]) -> bool:
    """Tell whether there are draws and all are finite."""
    return draws.size > 0 and bool(np.isfinite(draws).all())


def is_constant(draws: NDArray[np.floating], resolution: float) -> bool:
    """Tell whether finite draws differ by no more than rounding.

    The diagonal of a correlation matrix is 1 in exact arithmetic, and 1 give or take a few steps of
    floating point in draws. That noise is no posterior.
    """
    largest, smallest = draws.max(), draws.min()
    with np.errstate(over="ignore"):
        spread = largest - smallest
    return bool(spread <= FLOATING_POINT_STEPS * resolution * max(abs(largest), abs(smallest)))


def is_same_constant(
    draws: NDArray[np.floating], reference: NDArray[np.floating], resolution: float
) -> bool:
    """Tell whether all draws of both are one and the same finite number, up to rounding."""
    if not all(standard_deviation(values, resolution) == 0 for values in (draws, reference)):
        return False
    return is_constant(np.concatenate([draws.ravel(), reference.ravel()]), resolution)


def floating_point_resolution(draws: ArrayLike) -> float:
    """Give the relative spacing of the numbers that hold the draws, at least that of float64."""
    kind = np.asarray(draws).dtype
    return float(np.finfo(kind if kind.kind == "f" else float).eps)
