"""How far two sets of draws of one scalar parameter are apart, in plain NumPy.

The unit of every distance is the standard deviation of the reference, so that one tolerance serves
all parameters. Labels, models and files are the business of the layers above.
"""

from typing import NamedTuple

import numpy as np
import scipy
from arviz_stats.base.array import array_stats
from numpy.typing import ArrayLike, NDArray

from pymc_sgld.tolerance import FEWEST_DRAWS, Tolerance

FLOATING_POINT_STEPS = 64
"""Draws that differ by fewer steps of floating point than this are one and the same constant."""


class Comparison(NamedTuple):
    """What two sets of draws of one parameter have in common; one row of `pymc_sgld.compare`."""

    mean_shift: float
    mean_shift_mcse: float
    sd_ratio: float
    sd_ratio_mcse: float
    wasserstein: float
    wasserstein_null: float
    r_hat: float
    ess_bulk: float
    ess_sd: float
    reference_r_hat: float
    reference_ess_bulk: float
    reference_ess_sd: float
    agrees: bool


class Quality(NamedTuple):
    """How well one run knows one parameter; NaN where undefined."""

    r_hat: float
    ess_bulk: float
    ess_sd: float


def compare_draws(
    draws: ArrayLike, reference: ArrayLike, tolerance: Tolerance | None = None
) -> Comparison:
    r"""Compare the draws of one scalar parameter with those of a reference.

    With the means :math:`m, m_r`, standard deviations :math:`s, s_r` (divisor: draws - 1),
    Monte-Carlo standard errors :math:`e, e_r` of the mean and :math:`q, q_r` of the standard
    deviation, and empirical distribution functions :math:`F, F_r` of the draws and of the
    reference, each over all chains,

    .. math::

        \mathrm{mean\ shift} &= \frac{m - m_r}{s_r}, &\quad
        \mathrm{its\ error} &= \frac{\sqrt{e^2 + e_r^2}}{s_r}, \\
        \mathrm{sd\ ratio} &= \frac{s}{s_r}, &\quad
        \mathrm{its\ error} &= \frac{s}{s_r}\sqrt{q^2 / s^2 + q_r^2 / s_r^2}, \\
        \mathrm{Wasserstein} &= \frac{1}{s_r} \int |F(x) - F_r(x)|\,dx, &\quad
        \mathrm{its\ null} &= \frac{1}{s_r} \sqrt{\frac2\pi \Big(\frac1n + \frac1{n_r}\Big)}
        \int \sqrt{F_r (1 - F_r)}\,dx .

    The errors account for autocorrelation. The null is what the Wasserstein distance of two samples
    of one distribution is on average, for the bulk effective sample sizes :math:`n, n_r` and, by
    the central limit theorem, many draws.

    A reference that is constant has no unit: the distances are NaN, and ``agrees`` says whether
    both are the same constant. So it is with fewer than four draws a chain. Draws that are not
    finite never agree.

    References
    ----------
    del Barrio, Giné and Matrán (1999), "Central limit theorems for the Wasserstein distance between
    the empirical and the true distributions", Annals of Probability 27(2), theorem 1.1.

    Examples
    --------
    >>> import numpy as np
    >>> reference = np.random.default_rng(1).normal(size=(4, 500))
    >>> result = compare_draws(reference + 0.5 * reference.std(ddof=1), reference)
    >>> round(result.mean_shift, 6), round(result.sd_ratio, 6), result.agrees
    (0.5, 1.0, False)
    """
    tolerance = tolerance or Tolerance()
    resolution = max(floating_point_resolution(draws), floating_point_resolution(reference))
    draws, reference = np.asarray(draws, dtype=float), np.asarray(reference, dtype=float)
    own, other = quality(draws, resolution), quality(reference, resolution)
    unit = standard_deviation(reference, resolution)
    mean_shift = mean_shift_mcse = sd_ratio = sd_ratio_mcse = float("nan")
    wasserstein = wasserstein_null = float("nan")
    # Overflow and division by zero give the infinities and NaN that they should: no warnings.
    with np.errstate(all="ignore"):
        enough = min(draws.shape[1], reference.shape[1]) >= FEWEST_DRAWS
        if enough and unit > 0 and is_finite(draws):
            mean_shift = float((draws.mean() - reference.mean()) / unit)
            error, reference_error = array_stats.mcse(draws), array_stats.mcse(reference)
            mean_shift_mcse = float(np.hypot(error, reference_error) / unit)
            sd_ratio = standard_deviation(draws, resolution) / unit
            error, reference_error = (
                array_stats.mcse(values, method="sd") for values in (draws, reference)
            )
            sd_ratio_mcse = float(np.hypot(error, sd_ratio * reference_error) / unit)
            sd_ratio_mcse = sd_ratio_mcse if sd_ratio else 0.0
            wasserstein = scipy.stats.wasserstein_distance(draws.ravel(), reference.ravel())
            wasserstein = float(wasserstein / unit)
            rate = np.sqrt(2 / np.pi * (1 / own.ess_bulk + 1 / other.ess_bulk))
            wasserstein_null = float(rate * spread_of_ranks(reference) / unit)
    agrees = (
        abs(mean_shift) <= tolerance.mean
        and abs(sd_ratio - 1) <= tolerance.sd
        and mean_shift_mcse <= tolerance.mean
    )
    return Comparison(
        mean_shift,
        mean_shift_mcse,
        sd_ratio,
        sd_ratio_mcse,
        wasserstein,
        wasserstein_null,
        *own,
        *other,
        agrees=agrees or is_same_constant(draws, reference, resolution),
    )


def quality(draws: NDArray[np.floating], resolution: float) -> Quality:
    """Give R-hat and the effective sample sizes of one run; NaN where undefined."""
    if not is_finite(draws) or is_constant(draws, resolution):
        return Quality(float("nan"), float("nan"), float("nan"))
    with np.errstate(all="ignore"):  # chains that stand still at different values: R-hat is inf
        return Quality(
            float(array_stats.rhat(draws)),
            float(array_stats.ess(draws, method="bulk")),
            float(array_stats.ess(draws, method="sd")),
        )


def spread_of_ranks(draws: NDArray[np.floating]) -> float:
    r"""Give :math:`\int \sqrt{F (1 - F)}\,dx` for the distribution function F of draws."""
    ordered = np.sort(draws, axis=None)
    below = np.arange(1, ordered.size) / ordered.size
    return float(np.sum(np.diff(ordered) * np.sqrt(below * (1 - below))))


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
