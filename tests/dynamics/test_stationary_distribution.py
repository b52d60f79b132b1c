r"""The exact stationary law of SGLD on a Gaussian mean.

For :math:`x_i \sim N(\theta, 1)` with a prior :math:`N(\mu_0, \sigma_0^2)` the chain is an AR(1)
process with mean :math:`(\sum x_i + \mu_0/\sigma_0^2) / A` and variance
:math:`(T + \varepsilon V / 4) / (A (1 - \varepsilon A / 4))`, where :math:`A = N + 1/\sigma_0^2`
and :math:`V` is the variance of the gradient: :math:`(N^2/n) s^2` with replacement, times
:math:`(N - n)/(N - 1)` without, 0 for the full gradient.
"""

import numpy as np
import pymc as pm
import pytest
from arviz_stats.base.array import array_stats

from pymc_sgld import SGLD
from pymc_sgld.dynamics.euler_maruyama import EulerMaruyama
from pymc_sgld.gradients import ESTIMATORS
from pymc_sgld.gradients.base import Estimate
from tests.graphs import TEXTBOOK

ROWS, BATCH = 1000, 50
STANDARD_ERRORS = 5.0
DATA = np.random.default_rng(2).normal(size=ROWS)
DATA = (DATA - DATA.mean()) / DATA.std()


def sample(
    batching="with_replacement", step_size=5e-4, temperature=1.0, prior=(0.0, 5.0), count=3000
):
    """Return draws of theta, shape (chain, draw), and the model's A."""
    full = batching == "full"
    with pm.Model():
        theta = pm.Normal("theta", *prior)
        pm.Normal("x", theta, 1, observed=DATA)
        step = SGLD(
            batch_size=ROWS if full else BATCH,
            step_size=step_size,
            temperature=temperature,
            batching="reshuffle" if full else batching,
            steps_per_draw=20,
            **TEXTBOOK,
        )
        idata = pm.sample(
            draws=count, tune=100, chains=4, cores=1, step=step, random_seed=11, quiet=True
        )
    return idata.posterior["theta"].values, ROWS + 1 / prior[1] ** 2


def expected_variance(batching, step_size, temperature, precision):
    noise = {
        "with_replacement": ROWS**2 / BATCH,
        "without_replacement": ROWS**2 / BATCH * (ROWS - BATCH) / (ROWS - 1),
        "full": 0.0,
    }[batching]
    inflated = temperature + step_size * noise / 4
    return inflated / (precision * (1 - step_size * precision / 4))


def check(draws, mean, variance):
    """Compare mean and variance of draws with the law, in Monte-Carlo standard errors."""
    squares = (draws - mean) ** 2
    assert array_stats.ess(draws, method="mean") > 2000
    assert array_stats.ess(squares, method="mean") > 2000
    assert abs(draws.mean() - mean) < STANDARD_ERRORS * array_stats.mcse(draws)
    assert abs(squares.mean() - variance) < STANDARD_ERRORS * array_stats.mcse(squares)


def long(*values):
    """Return parameters between others: nothing depends on them in a way of its own."""
    return pytest.param(*values, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ("batching", "step_size"),
    [
        long("with_replacement", 1e-4),
        long("with_replacement", 5e-4),
        ("with_replacement", 1e-3),
        long("without_replacement", 1e-4),
        ("without_replacement", 5e-4),
        long("without_replacement", 1e-3),
        long("full", 1e-4),
        long("full", 5e-4),
        long("full", 1e-3),
    ],
)
def test_stationary_law(batching, step_size):
    draws, precision = sample(batching, step_size)
    check(draws, 0.0, expected_variance(batching, step_size, 1.0, precision))


def test_the_figures_of_the_design():
    """The closed form, as numbers."""
    A = ROWS + 1 / 25
    ratios = [A * expected_variance("with_replacement", e, 1.0, A) for e in (1e-4, 5e-4, 1e-3)]
    assert np.round(ratios, 3).tolist() == [1.538, 4.0, 8.0]
    ratios = [A * expected_variance("full", e, 1.0, A) for e in (1e-4, 5e-4, 1e-3)]
    assert np.round(ratios, 3).tolist() == [1.026, 1.143, 1.333]


@pytest.mark.parametrize("temperature", [0.25, 2.0])
def test_temperature(temperature):
    draws, precision = sample("full", 5e-4, temperature)
    check(draws, 0.0, expected_variance("full", 5e-4, temperature, precision))


@pytest.mark.parametrize("step_size", [1e-4, long(5e-4), 1e-3])
def test_reshuffling_has_less_noise(step_size):
    """Between the variance of the full gradient and that of independent batches."""
    draws, precision = sample("reshuffle", step_size)
    error = STANDARD_ERRORS * array_stats.mcse(draws**2)
    assert draws.var() + error < expected_variance("without_replacement", step_size, 1.0, precision)
    assert draws.var() + error > expected_variance("full", step_size, 1.0, precision)


PRIOR = (0.5, 0.1)  # tight, and off the sample: it moves the mean to 50 / 1100


def test_informative_prior():
    draws, precision = sample(prior=PRIOR)
    mean = PRIOR[0] / PRIOR[1] ** 2 / precision
    check(draws, mean, expected_variance("with_replacement", 5e-4, 1.0, precision))


# each defect that the tests above are for, and that they do see


@pytest.mark.parametrize("times", [pytest.param(2, marks=pytest.mark.long), 1.1])
def test_wrong_noise_is_caught(times, monkeypatch):
    update = EulerMaruyama.update

    def wrong(self, state, target, noise, step_size, temperature):
        return update(self, state, target, noise, step_size, times * temperature)

    with monkeypatch.context() as patched:
        patched.setattr(EulerMaruyama, "update", wrong)
        draws, precision = sample("full", 5e-4, count=6000)
        with pytest.raises(AssertionError):
            check(draws, 0.0, expected_variance("full", 5e-4, 1.0, precision))


def test_missing_scale_of_the_batch_is_caught(monkeypatch):
    def unscaled(density, center):
        total = density.log_prior + sum(density.log_likelihoods)
        return Estimate(density.gradient(total, density.position))

    monkeypatch.setitem(ESTIMATORS, "minibatch", unscaled)
    draws, precision = sample("with_replacement", 5e-4)
    with pytest.raises(AssertionError):
        check(draws, 0.0, expected_variance("with_replacement", 5e-4, 1.0, precision))


def test_scaled_prior_is_caught(monkeypatch):
    def scaled(density, center):
        total = (density.log_prior + sum(density.log_likelihoods)) * (ROWS / BATCH)
        return Estimate(density.gradient(total, density.position))

    monkeypatch.setitem(ESTIMATORS, "minibatch", scaled)
    draws, precision = sample(step_size=1e-4, prior=PRIOR)
    with pytest.raises(AssertionError):
        mean = PRIOR[0] / PRIOR[1] ** 2 / precision
        check(draws, mean, expected_variance("with_replacement", 1e-4, 1.0, precision))
