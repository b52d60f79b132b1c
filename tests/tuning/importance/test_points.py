"""Moments by weighted points: exact for a Gaussian, with errors that are right for others."""

import numpy as np
import pytest
import scipy

from pymc_sgld.tuning.importance.points import (
    FREEDOM,
    MOST_BY_STUDENT,
    Proposal,
    moments,
    smooth,
)
from pymc_sgld.tuning.posterior.covariance import Full


def proposal(size, seed=1):
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(size, 2 * size))
    return Proposal(rng.normal(size=size), Full(half @ half.T / size))


@pytest.mark.parametrize("size", [1, 4, MOST_BY_STUDENT + 1])
def test_the_moments_of_the_gaussian_itself_have_no_error(size):
    """Controls of known mean take out all of it. Without them it is 0.02."""
    points = proposal(size).points(2000, np.random.default_rng(2))
    weights = points.gaussian / points.gaussian.sum()
    found = moments(points.positions, weights, points)
    sd = np.sqrt(np.diag(np.linalg.inv(points.proposal.shape.precision)))
    np.testing.assert_allclose(found.mean, points.proposal.mean, atol=1e-3 * sd.max())
    np.testing.assert_allclose(found.sd, sd, rtol=2e-3)
    assert (found.mean_error / sd).max() < 1e-3
    assert (found.sd_error / sd).max() < 2e-3


def test_weights_that_are_bounded_have_no_tail():
    """The logit of Beta(1/2, 101/2), whose weights have two hills, one hardly above the other."""
    a, b = 0.5, 50.5
    points = Proposal(np.array([-5.6]), Full(np.array([[1 / 3.0]]))).points(
        8000, np.random.default_rng(3)
    )
    x = points.positions[:, 0]
    log_weights = a * x - (a + b) * np.log1p(np.exp(x)) - points.log_density
    assert smooth(log_weights)[1] > 0.7
    weights, k = smooth(log_weights, far=True)
    assert 0 < k < 0.1
    found = moments(points.positions, weights, points)
    digamma, polygamma = scipy.special.digamma, scipy.special.polygamma
    sd = np.sqrt(polygamma(1, a) + polygamma(1, b))
    assert abs(found.mean[0] - digamma(a) + digamma(b)) < 4 * found.mean_error[0] < 0.1 * sd
    assert abs(found.sd[0] - sd) < 4 * found.sd_error[0] < 0.1 * sd


@pytest.mark.parametrize("size", [2, MOST_BY_STUDENT + 1])
def test_densities_are_those_of_the_distributions(size):
    points = proposal(size).points(10, np.random.default_rng(2))
    z = scipy.stats.multivariate_normal(cov=np.eye(size))
    student = scipy.stats.multivariate_t(shape=np.eye(size), df=FREEDOM)
    right = (z if size > MOST_BY_STUDENT else student).logpdf(points.z)
    constant = size / 2 * np.log(2 * np.pi)
    np.testing.assert_allclose(points.log_density, right + constant)


def test_errors_of_a_skewed_posterior_are_right():
    """Of 100 estimates of mean and sd, 95 % are within two errors: a log gamma distribution."""
    shape = 8.0
    start = Proposal(np.array([scipy.special.digamma(shape)]), Full(np.array([[shape]])))
    mean, variance = scipy.stats.loggamma(shape).stats()
    scores = []
    for seed in range(100):
        points = start.points(4000, np.random.default_rng(seed))
        x = points.positions[:, 0]
        weights, k = smooth(shape * x - np.exp(x) - points.log_density)
        assert k < 0.7
        found = moments(points.positions, weights, points)
        scores.append(
            [
                (found.mean[0] - mean) / found.mean_error[0],
                (found.sd[0] - np.sqrt(variance)) / found.sd_error[0],
            ]
        )
    within = (np.abs(scores) < 2).mean(axis=0)
    # binomial: 0.954 with a standard error of 0.021
    assert (within > 0.954 - 4 * 0.021).all(), within
    assert np.abs(np.mean(scores, axis=0)).max() < 0.4


def test_refitted_points_follow_the_weights():
    first = Proposal(np.array([1.0, 1.0]), Full(np.eye(2)))
    points = first.points(4000, np.random.default_rng(1))
    weights, _ = smooth(-(points.positions**2).sum(axis=1) / 2 / 0.5 - points.log_density)
    found = first.fitted(points, weights)
    np.testing.assert_allclose(found.mean, 0, atol=0.1)
    np.testing.assert_allclose(np.linalg.inv(found.shape.precision), 0.5 * np.eye(2), atol=0.1)


def test_a_heavy_tail_is_seen():
    """Points of a normal distribution for one that is twice as wide: no weight has a variance."""
    size = MOST_BY_STUDENT + 1
    narrow = Proposal(np.zeros(size), Full(np.eye(size)))
    points = narrow.points(4000, np.random.default_rng(1))
    target = -(points.positions**2).sum(axis=1) / 2 / 4
    assert smooth(target - points.log_density)[1] > 0.7


def test_weights_without_density_are_zero():
    weights, _ = smooth(np.where(np.arange(1000) < 500, 0.0, [-np.inf, np.nan] * 500))
    assert weights[500:].sum() == 0
    assert weights.sum() == pytest.approx(1)


def test_few_weights_that_are_not_zero_are_no_tail_that_is_light():
    log_weights = np.full(2000, -np.inf)
    log_weights[:40] = np.random.default_rng(1).normal(size=40)
    assert smooth(log_weights)[1] != -np.inf
    assert smooth(np.full(100, np.nan))[1] == np.inf
