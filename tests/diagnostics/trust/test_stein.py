"""Stein's identities, the bias that they measure, and the kernel Stein discrepancy, in NumPy."""

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.special import digamma, polygamma
from scipy.stats import binom

from pymc_sgld.diagnostics.trust.gradient_regression import measure_bias
from pymc_sgld.diagnostics.trust.kernel_stein import kernel_discrepancy, stein_kernel
from pymc_sgld.diagnostics.trust.stein_identities import identities, worst_direction
from pymc_sgld.diagnostics.trust.whitened import Sample

COVARIANCE = np.array([[4.0, 1.2, 0.0], [1.2, 1.0, -0.3], [0.0, -0.3, 0.25]])
MEAN = np.array([10.0, -3.0, 0.5])
PRECISION = np.linalg.inv(COVARIANCE)
FACTOR = np.linalg.cholesky(COVARIANCE)


def autoregressive(rng, correlation, *shape):
    """Stationary AR(1) chains of variance 1, shape (chains, draws, d)."""
    fresh = rng.normal(size=shape)
    start = correlation * rng.normal(size=(shape[0], 1, shape[2]))
    scale = np.sqrt(1 - correlation**2)
    return lfilter([scale], [1, -correlation], fresh, axis=1, zi=start)[0]


def gaussian(position, every=1):
    """Draws with the gradient of N(MEAN, COVARIANCE)."""
    return Sample(position, -(position[:, every - 1 :: every] - MEAN) @ PRECISION, every)


def standard(position, every=1):
    return Sample(position, -position[:, every - 1 :: every], every)


# --- identities ------------------------------------------------------------------------------


def test_identities_are_those_of_the_formula():
    rng = np.random.default_rng(1)
    position, gradient = rng.normal(size=(2, 30, 3)) @ FACTOR.T, rng.normal(size=(2, 30, 3))
    found = identities(Sample(position, gradient, every=1))
    flat, g = position.reshape(-1, 3), gradient.reshape(-1, 3)
    covariance = np.cov(flat.T)
    products = g @ covariance
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(found.first, -(products / sd).mean(axis=0), rtol=1e-10)
    away = flat - flat.mean(axis=0)
    second = -(away * products).mean(axis=0) / sd**2
    np.testing.assert_allclose(found.second, second, rtol=1e-10)


def test_the_first_identity_does_not_see_the_variance_and_the_second_does():
    # Draws twice as wide. Catches a first identity that is taken for a check of the variance, and a
    # second one that is not centered: the mean is 5 sd away from 0.
    z = np.random.default_rng(2).normal(size=(4, 1000, 3))
    found = identities(gaussian(MEAN + 2 * z @ FACTOR.T))
    assert (np.abs(found.first) < 5 * found.first_error).all()
    assert (np.abs(found.second - 4) < 5 * found.second_error).all()
    assert (found.second_error < 0.2).all()  # so that 1 would be far away


def test_the_worst_direction_is_no_maximum_of_noise():
    # 20 coordinates, exact draws: the mean of standardised readings over 40 runs is 0, with a
    # standard error of 0.16. The greatest eigenvalue of the same matrix fails by far.
    rng = np.random.default_rng(3)
    readings, naive = [], []
    for _ in range(40):
        sample = standard(rng.normal(size=(4, 200, 20)))
        found = worst_direction(sample)
        readings.append((found.inflation - 1) / found.error)
        z, s = sample.here.reshape(-1, 20), sample.slope.reshape(-1, 20)
        second = -z.T @ s / len(z)
        values = np.linalg.eigvalsh((second + second.T) / 2)
        naive.append((values[np.argmax(np.abs(values - 1))] - 1) / found.error)
    assert abs(np.mean(readings)) < 5 / np.sqrt(40)
    assert abs(np.mean(np.abs(naive))) > 3


def test_the_worst_direction_is_found():
    # Right marginals, wrong correlation: 0.6 instead of 0. Variances along (1, 1) and (1, -1) are
    # 1.6 and 0.4 times what they should be.
    correlated = np.linalg.cholesky([[1, 0.6], [0.6, 1]])
    z = np.random.default_rng(4).normal(size=(4, 1000, 2))
    found = worst_direction(standard(z @ correlated.T))
    nearest = min((1.6, 0.4), key=lambda exact: abs(found.inflation - exact))
    assert abs(found.inflation - nearest) < 5 * found.error
    assert found.error < 0.1


# --- the size of a bias ----------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 4])
def test_the_posterior_of_a_gaussian_is_found_exactly(every):
    # Whatever the draws follow: here a t distribution of another mean, width and correlation.
    position = 3 * np.random.default_rng(5).standard_t(5, size=(4, 200, 3)) + 1
    sample = gaussian(position, every)
    bias = measure_bias(sample)
    sd = np.sqrt(np.diag(COVARIANCE))
    # what is estimated: the jackknife only takes the 1/draws bias of a ratio off
    np.testing.assert_allclose(bias.shift, (sample.mean - MEAN) / sd, rtol=1e-6)
    exact = np.var(position.reshape(-1, 3), axis=0, ddof=1) / np.diag(COVARIANCE)
    assert (np.abs(bias.inflation - exact) < bias.inflation_error / 10).all()


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_errors_are_errors(correlation):
    # Standardised figures over 100 runs have an sd of about 1, with a standard error of 7 %. Errors
    # that ignore autocorrelation give 3 at 0.8, as the last line shows.
    rng = np.random.default_rng(6)
    scores, naive = [], []
    for _ in range(100):
        sample = standard(autoregressive(rng, correlation, 4, 800, 2), every=2)
        bias = measure_bias(sample)
        scores.append([bias.shift / bias.shift_error, (bias.inflation - 1) / bias.inflation_error])
        naive.append(bias.shift / np.sqrt(1 / 3200))
    sd = np.std(scores, axis=0)
    assert (np.abs(sd - 1) < 5 / np.sqrt(2 * 100)).all()
    assert (np.std(naive, axis=0) > 2).all() == (correlation > 0)


def test_draws_of_a_skewed_law_have_no_bias():
    # log of a gamma variable: for exact draws the identities hold of any law. Catches a regression
    # that is biased where gradients are not linear; 40 runs, standard error 0.16.
    rng = np.random.default_rng(7)
    scores = []
    for _ in range(40):
        position = np.log(rng.gamma(2.0, size=(4, 400, 2)))
        bias = measure_bias(Sample(position, 2 - np.exp(position), every=1))
        scores.append([bias.shift / bias.shift_error, (bias.inflation - 1) / bias.inflation_error])
    assert (np.abs(np.mean(scores, axis=0)) < 5 / np.sqrt(40)).all()


def test_a_shift_of_the_mean_that_the_first_identity_cannot_see():
    # Stationary SGLD on the log of a gamma variable: E g = 0 although the mean is off. The weights
    # of the residuals are of first order: a quarter of the shift is granted.
    rng = np.random.default_rng(8)
    shape, noise = 2.0, 6.0
    step_size = 0.15
    position = np.full((40, 500, 1), digamma(shape))
    for _ in range(400):
        gradient = shape - np.exp(position) + np.sqrt(noise) * rng.normal(size=position.shape)
        position = position + step_size / 2 * gradient
        position = position + np.sqrt(step_size) * rng.normal(size=position.shape)
    sample = Sample(position, shape - np.exp(position), every=1)
    true = (position.mean() - digamma(shape)) / np.sqrt(polygamma(1, shape))
    assert true < -0.1
    first, bias = identities(sample), measure_bias(sample)
    assert abs(first.first[0]) < 5 * first.first_error[0]
    assert bias.shift[0] < -5 * bias.shift_error[0]
    assert abs(bias.shift[0] - true) < 5 * bias.shift_error[0] + abs(true) / 4


def test_many_coordinates_do_not_drown_the_shift_in_noise():
    # A scale and 60 effects of it: residuals that go with the width of all effects. Without
    # shrinkage, noise in the covariance doubles the error of the scale's mean.
    rng = np.random.default_rng(14)
    log_scale = 0.1 * rng.normal(size=(4, 600, 1))
    effects = np.exp(log_scale) * rng.normal(size=(4, 600, 60))
    relative = effects / np.exp(2 * log_scale)
    of_scale = -log_scale / 0.01 - 60 + (effects * relative).sum(axis=2, keepdims=True)
    position = np.concatenate([log_scale, effects], axis=2)
    gradient = np.concatenate([of_scale, -relative], axis=2)
    sample = Sample(position, gradient[:, 3::4], every=4)
    bias = measure_bias(sample)
    assert abs(bias.shift[0]) < 5 * bias.shift_error[0]
    assert bias.shift_error[0] < 1.5 * identities(sample).first_error[0]


def test_no_size_of_a_bias_without_a_hump():
    # Between the two modes of a mixture the density is convex.
    position = np.random.default_rng(9).normal(0, 0.5, size=(4, 200, 1))
    gradient = -position + 3 * np.tanh(3 * position)
    assert measure_bias(Sample(position, gradient, every=1)) is None


# --- kernel Stein discrepancy ----------------------------------------------------------------


def test_the_stein_kernel_is_that_of_the_definition():
    # Every derivative of the kernel by hand, in a double loop.
    rng = np.random.default_rng(10)
    points, slopes = rng.normal(size=(2, 12, 3))
    expected = np.empty((12, 12))
    for i in range(12):
        for j in range(12):
            r = points[i] - points[j]
            q = 1 + r @ r
            kernel = 1 / np.sqrt(q)
            by_x, by_y = -r / q**1.5, r / q**1.5
            by_both = sum(q**-1.5 - 3 * r[k] ** 2 * q**-2.5 for k in range(3))
            expected[i, j] = slopes[i] @ slopes[j] * kernel
            expected[i, j] += slopes[i] @ by_y + slopes[j] @ by_x + by_both
    np.testing.assert_allclose(stein_kernel(points, slopes), expected, rtol=1e-10, atol=1e-12)


def test_statistics_are_those_of_the_kernel_at_thinned_draws():
    sample = standard(autoregressive(np.random.default_rng(11), 0.7, 1, 300, 2))
    found = kernel_discrepancy(sample)
    thin = int(np.ceil(300 / sample.effective))
    assert thin > 1
    at = np.arange(299, -1, -thin)[::-1]
    kernel = stein_kernel(sample.here[0, at], sample.slope[0, at])
    assert found.draws == len(at)
    np.testing.assert_allclose(found.size**2, kernel.mean(), rtol=1e-10)


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_level_of_the_kernel_test(correlation):
    # 5 % of 60 exact samples; more than `most` have a probability of 1e-4.
    rng = np.random.default_rng(12)
    samples = [standard(autoregressive(rng, correlation, 4, 200, 2)) for _ in range(60)]
    p_values = np.array([kernel_discrepancy(sample).p_value for sample in samples])
    most = binom.isf(1e-4, 60, 0.05)
    assert (p_values < 0.05).sum() <= most
    assert np.median(p_values) > 0.2
    if correlation:  # with all draws and independent signs, the test would reject exact draws
        naive = []
        for sample in samples[:20]:
            kernel = stein_kernel(sample.here.reshape(-1, 2), sample.slope.reshape(-1, 2))
            signs = rng.choice([-1.0, 1.0], size=(500, len(kernel)))
            naive.append((np.einsum("ri,ri->r", signs @ kernel, signs) >= kernel.sum()).mean())
        assert np.sum(np.array(naive) < 0.05) > binom.isf(1e-4, 20, 0.05)


def test_the_kernel_test_sees_a_shape():
    # Mean 0 and variance 1, but two humps: neither identity of first or second order is far off.
    rng = np.random.default_rng(13)
    position = rng.choice([-0.9, 0.9], size=(4, 250, 1)) + np.sqrt(0.19) * rng.normal(
        size=(4, 250, 1)
    )
    sample = standard(position)
    bias = measure_bias(sample)
    assert np.abs(bias.inflation - 1) < 0.2 and np.abs(bias.shift) < 0.2
    assert kernel_discrepancy(sample).p_value < 0.001
