"""Rows that stand for the others: sums without bias, and the error that their parts show."""

import numpy as np
import pytest

from pymc_sgld.tuning.importance.rows import pick, probabilities

PARTS, EACH = 8, 25
RNG = np.random.default_rng(1)
SIZES = RNG.pareto(1.5, 5000)
TERMS = SIZES * RNG.normal(1, 0.5, 5000)


def sums(repetitions, sizes=SIZES):
    """Return the sum that each part estimates, shape (repetitions, PARTS)."""
    found = []
    for seed in range(repetitions):
        rows, weights = pick(sizes, PARTS, EACH, np.random.default_rng(seed))
        found.append(weights @ TERMS[rows])
    return np.array(found)


def test_sums_have_no_bias_and_parts_show_their_error():
    """Fails where rows of probability 1 count in one part only, or weights forget the parts."""
    found = sums(1000)
    means = found.mean(axis=1)
    error = means.std(ddof=1) / np.sqrt(len(means))
    assert abs(means.mean() - TERMS.sum()) < 4 * error
    told = (found.var(axis=1, ddof=1) / PARTS).mean()
    assert told == pytest.approx(means.var(ddof=1), rel=0.2)


def test_rows_of_size_have_less_error_than_rows_at_random():
    assert sums(200).mean(axis=1).std() < 0.5 * sums(200, np.ones(5000)).mean(axis=1).std()


def test_no_part_has_more_rows_than_it_should_and_the_largest_are_in_all():
    rows, weights = pick(SIZES, PARTS, EACH, RNG)
    assert (np.diff(rows) >= 0).all()
    assert ((weights > 0).sum(axis=1) <= EACH).all()
    largest = np.argmax(SIZES)
    assert (weights[:, rows == largest] == 1).all()
    assert probabilities(SIZES, PARTS, EACH).sum() < PARTS * EACH


def test_every_row_may_be_picked():
    """One that adds nothing where it was looked at may add much elsewhere."""
    sizes = np.where(np.arange(5000) < 1000, 1.0, 0.0)
    found = probabilities(sizes, PARTS, EACH)
    assert found[1000:].min() > 0.05 * found.mean()


def test_rows_that_cannot_be_judged_are_picked():
    sizes = np.ones(5000)
    sizes[17] = np.nan
    sizes[18] = np.inf
    sizes[:10] = 1e6
    rows, _ = pick(sizes, PARTS, EACH, RNG)
    assert {*range(10), 17, 18} <= {*rows.tolist()}


def test_rows_that_add_nothing_may_be_picked():
    """All rows add nothing where the likelihood is normal: any of them will do."""
    rows, weights = pick(np.zeros(5000), PARTS, EACH, RNG)
    assert len(rows) > PARTS * (EACH - 2)
    assert weights.sum(axis=1).mean() == pytest.approx(5000, rel=0.1)
