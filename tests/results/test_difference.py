"""The difference estimator: right on average over all samples, and as ArviZ has it."""

from itertools import combinations

import numpy as np
import pytest
from arviz_stats.base import array_stats

from pymc_sgld.results.difference import Sums, difference_estimator, rows_for

_rng = np.random.default_rng(1)


def sums(values, parts=3):
    found = Sums()
    for part in np.array_split(values, parts):
        found.add(part)
    return found


def test_sums_of_blocks_lose_no_digits():
    values = 1e6 + _rng.normal(size=1000)
    found = sums(values)
    assert found.count == 1000
    assert found.total == pytest.approx(values.sum(), rel=1e-14)
    assert found.squares(1e6) == pytest.approx(np.sum((values - 1e6) ** 2), rel=1e-9)


def test_on_average_over_all_samples_it_is_exact():
    """Total, its variance by the choice of rows, and the variance among all rows.

    Without the factor 1 - m/N, or with a correction of the wrong sign, one of them is not.
    """
    exact = _rng.normal(size=7)
    approximate = exact + 0.3 * _rng.normal(size=7)
    everywhere = sums(approximate)
    found = [
        difference_estimator(exact[[*picked]], approximate[[*picked]], everywhere)
        for picked in combinations(range(7), 3)
    ]
    totals, se, subsampling = np.array(found).T
    assert totals.mean() == pytest.approx(exact.sum(), rel=1e-12)
    assert np.mean(subsampling**2) == pytest.approx(totals.var(), rel=1e-12)
    assert (se > 0).all()  # else it is cut off at zero
    assert np.mean(se**2) == pytest.approx(7 * exact.var(), rel=1e-12)


@pytest.mark.parametrize("sampled", [2, 50, 200])
def test_it_is_that_of_arviz(sampled):
    exact = _rng.normal(-2, 1, size=200)
    approximate = exact + 0.1 + 0.2 * _rng.normal(size=200)
    picked = _rng.permutation(200)[:sampled]
    found = difference_estimator(exact[picked], approximate[picked], sums(approximate))
    total, subsampling, se = array_stats.diff_srs_estimator(
        exact[picked], approximate[picked], approximate, 200
    )
    assert found == pytest.approx((total, se, subsampling), rel=1e-10)


def test_as_many_rows_as_the_error_asks_for():
    exact = _rng.normal(size=100_000)
    approximate = exact + _rng.normal(size=100_000)
    everywhere = sums(approximate)

    def share(rows):
        found = difference_estimator(exact[:rows], approximate[:rows], everywhere)
        return found.subsampling_se / found.se

    first = difference_estimator(exact[:5000], approximate[:5000], everywhere)
    wanted = rows_for(0.5, first, 5000, 100_000)
    assert 5000 < wanted < 100_000
    assert share(wanted) == pytest.approx(0.5, rel=0.05)
    assert rows_for(0.5, first, 100_000, 100_000) == 100_000
