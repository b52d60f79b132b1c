"""The joint test of `compare`: its level, its power, and what it leaves to the marginals."""

import arviz as az
import numpy as np
import pytest
from scipy.stats import kstest, norm

from pymc_sgld import compare
from pymc_sgld.diagnostics.comparison.joint import thinned
from pymc_sgld.diagnostics.comparison.permutation_test import (
    mean_pairs,
    permutation_test,
    whitened_products,
)
from pymc_sgld.tolerance import FALSE_ALARMS


def normal(rng, correlation, *shape):
    """Normal draws whose last two coordinates are correlated."""
    values = rng.normal(size=shape)
    values[..., -1] *= np.sqrt(1 - correlation**2)
    values[..., -1] += correlation * values[..., -2]
    return values


def autoregressive(rng, memory, correlation, chains, draws, parameters):
    """Stationary AR(1) chains in all coordinates."""
    values = normal(rng, correlation, chains, draws, parameters)
    for draw in range(1, draws):
        values[:, draw] *= np.sqrt(1 - memory**2)
        values[:, draw] += memory * values[:, draw - 1]
    return values


def posterior(draws):
    return az.from_dict({"posterior": {"beta": draws}})


# --- the test itself -------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [3, 60])  # fewer and more than draws
def test_p_values_of_one_law_are_uniform(parameters):
    # Kolmogorov and Smirnov at a level of 0.001, over 100 pairs of runs.
    rng = np.random.default_rng(1)
    values = [
        permutation_test(
            normal(rng, 0.5, 20, parameters), normal(rng, 0.5, 30, parameters), 99, seed
        ).p_value
        for seed in range(100)
    ]
    jitter = rng.random(100) / 100  # a p-value is one of 100 numbers
    assert kstest(values - jitter, "uniform").pvalue > 0.001


def test_draws_that_are_not_independent_fail_the_same_check():
    # the negative control of uniformity, and why draws are thinned before
    rng = np.random.default_rng(2)
    values = [
        permutation_test(
            *autoregressive(rng, 0.9, 0.5, 2, 40, 3), permutations=99, seed=seed
        ).p_value
        for seed in range(100)
    ]
    assert kstest(np.array(values) - rng.random(100) / 100, "uniform").pvalue < 0.001


def test_statistics_are_those_of_the_formula():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(7, 7))
    values = values + values.T
    ours = np.array([[1, 1, 0, 0, 1, 0, 0.0]])
    first, second = np.flatnonzero(ours[0] == 1), np.flatnonzero(ours[0] == 0)
    expected = [
        values[np.ix_(one, other)].mean()
        for one, other in ((first, first), (first, second), (second, second))
    ]
    np.testing.assert_allclose(np.ravel(mean_pairs(values, ours)), expected, rtol=1e-12)


@pytest.mark.parametrize("parameters", [4, 39, 41, 100])
def test_scores_are_white_in_both_ways_of_computing_them(parameters):
    rng = np.random.default_rng(4)
    values = np.exp(normal(rng, 0.9, 40, parameters))
    products = whitened_products(values)
    ranks = values.argsort(axis=0).argsort(axis=0)
    scores = norm.ppf((ranks + 0.5) / 40)
    scores /= scores.std(axis=0)
    matrix = scores.T @ scores / 40 + parameters / 40 * np.eye(parameters)
    np.testing.assert_allclose(products, scores @ np.linalg.inv(matrix) @ scores.T, atol=1e-9)
    np.testing.assert_allclose(products, whitened_products(values**3), atol=1e-9)


def test_draws_are_taken_evenly_from_every_chain():
    draws = np.arange(200).reshape(2, 100)
    assert thinned(draws, 8).tolist() == [12, 37, 62, 87, 112, 137, 162, 187]
    assert np.array_equal(thinned(draws, 1000), np.arange(200))
    assert len(thinned(draws, 1)) == 2


# --- in the comparison -----------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [2, 10])
def test_a_wrong_correlation_is_flagged_although_all_marginals_agree(parameters):
    rng = np.random.default_rng(5)
    reference = posterior(normal(rng, 0.8, 4, 1000, parameters))
    table = compare(posterior(normal(rng, 0, 4, 1000, parameters)), reference)
    assert table["agrees"].all()
    joint, verdict = table.attrs["joint"], table.attrs["verdict"]
    assert joint["differs"] and joint["p_value"] == joint["aligned_p_value"] == 1 / 500
    assert 0 < joint["energy"] < 1
    assert (joint["draws"], joint["reference_draws"]) == (400, 400)
    names = f"beta[{parameters - 2}]", f"beta[{parameters - 1}]"
    assert joint["worst_pair"][:2] == names
    assert verdict.startswith(f"does not agree: all {parameters} parameters are within the")
    assert "one by one, but not together (400 against 400 nearly independent draws" in verdict
    assert f"correlation of {names[0]} and {names[1]} " in verdict
    right = compare(posterior(normal(rng, 0.8, 4, 1000, parameters)), reference)
    assert not right.attrs["joint"]["differs"]
    assert right.attrs["verdict"].startswith("agrees: ")


def test_a_wrong_shape_is_flagged_although_mean_and_sd_agree():
    rng = np.random.default_rng(6)
    two_modes = rng.choice([-1, 1], size=(4, 2000, 2)) + 0.2 * rng.normal(size=(4, 2000, 2))
    table = compare(posterior(two_modes / np.sqrt(1.04)), posterior(rng.normal(size=(4, 2000, 2))))
    assert table["agrees"].all()
    assert table.attrs["joint"]["differs"]


def test_what_the_tolerance_allows_is_no_difference_of_the_joint_law():
    # 0.15 sd and 15 % in each of ten parameters: no one law, and the test sees it; but only as far
    # as the marginals go, which is allowed.
    rng = np.random.default_rng(7)
    reference, draws = rng.normal(size=(2, 4, 1000, 10))
    runs = posterior(0.15 + 1.15 * draws), posterior(reference)
    table = compare(*runs, mean_tolerance=0.3, sd_tolerance=0.3)
    assert table["agrees"].all()
    assert table.attrs["joint"]["p_value"] <= FALSE_ALARMS < table.attrs["joint"]["aligned_p_value"]
    assert table.attrs["verdict"].startswith("agrees: ")


@pytest.mark.parametrize(("memory", "length"), [(0.0, 150), (0.9, 1500)])
def test_runs_of_one_law_are_flagged_at_the_stated_rate(memory, length):
    # Of 30 pairs, three have a p-value of 0.1 at most and 0.3 are flagged; more than eleven and
    # more than four have a probability of 2e-5 and 1e-5. The negative control is the same test of
    # draws that are not thinned.
    rng = np.random.default_rng(8)
    low = alarms = unthinned = 0
    for _ in range(30):
        runs = autoregressive(rng, memory, 0.5, 4, length, 2).reshape(2, 2, length, 2)
        joint = compare(*map(posterior, runs)).attrs["joint"]
        low += joint["p_value"] <= 0.1
        alarms += joint["differs"]
        unthinned += permutation_test(*runs[:, 0, :100], permutations=99).p_value <= 0.1
    assert low <= 11
    assert alarms <= 4
    assert (unthinned > 11) == (memory > 0)


def test_what_cannot_be_tested_is_none():
    rng = np.random.default_rng(9)
    long, short = rng.normal(size=(4, 1000, 2)), rng.normal(size=(2, 15, 2))
    assert compare(posterior(long[..., :1]), posterior(long[..., :1])).attrs["joint"] is None
    assert compare(posterior(short), posterior(long)).attrs["joint"] is None
    constant = long * [1, 0]
    assert compare(posterior(constant), posterior(long)).attrs["joint"] is None
    broken = long.copy()
    broken[0, 0, 0] = np.nan
    three = np.concatenate([broken, long[..., 1:], long[..., :1]], axis=-1)
    joint = compare(posterior(three), posterior(three)).attrs["joint"]
    assert joint["parameters"] == 3 and not joint["differs"]


def test_many_parameters_and_copies_of_them():
    rng = np.random.default_rng(10)
    common = rng.normal(size=(2, 4, 300, 1))
    draws, reference = np.concatenate([rng.normal(size=(2, 4, 300, 80)), common, common], axis=-1)
    right = compare(posterior(draws), posterior(reference)).attrs["joint"]
    assert right["parameters"] == 82 and not right["differs"]
    wrong = np.sqrt(0.5) * (draws + common[0])  # every two parameters correlated by a half
    table = compare(posterior(wrong), posterior(reference), mean_tolerance=0.5, sd_tolerance=0.5)
    assert table.attrs["joint"]["differs"]
