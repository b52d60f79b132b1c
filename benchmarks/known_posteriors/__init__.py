"""Models with known posteriors: each function returns a model, and reference means and sds."""

from .groups import (
    binomial_herds,
    correlated_slopes,
    election,
    students,
    two_outcomes,
    unequal_counts,
)
from .hierarchical import crossed, eight_schools, many_groups, radon_centered, radon_noncentered
from .linear import badly_scaled, correlated
from .other import correlation, network, simplex, skewed
from .posterior import Posterior, stack, sum_of_outcomes
from .published import a9a, earnings, gauss_mix, kidiq, nes, sblrc, welling_teh
from .regressions import (
    categorical,
    few_rows,
    gamma_regression,
    million,
    negative_binomial,
    ordered_logistic,
    poisson_counts,
    rare_events,
    student_t,
    wide,
    zero_inflated,
)

PUBLISHED = (earnings, kidiq, nes, gauss_mix, sblrc, a9a, welling_teh)
LINEAR = (badly_scaled, correlated)
SAMPLED = (
    radon_centered,
    radon_noncentered,
    crossed,
    many_groups,
    eight_schools,
    poisson_counts,
    negative_binomial,
    student_t,
    ordered_logistic,
    categorical,
    gamma_regression,
    zero_inflated,
    rare_events,
    few_rows,
    wide,
    network,
    simplex,
    correlation,
    skewed,
    correlated_slopes,
    binomial_herds,
    unequal_counts,
    two_outcomes,
    election,
    students,
)
ALL = (*PUBLISHED, *LINEAR, *SAMPLED)
LARGE = (million,)  # only beside other methods

__all__ = ["ALL", "LARGE", "SAMPLED", "Posterior", "stack", "sum_of_outcomes"]
