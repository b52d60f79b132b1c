"""The Metropolis-adjusted Langevin algorithm: exact on a Gaussian, and in law one leapfrog step."""

import numpy as np
import pymc as pm
import pytest
import scipy
from pymc.blocking import DictToArrayBijection

from pymc_sgld.dynamics.base import Evaluation
from pymc_sgld.dynamics.mala import MetropolisAdjusted, uniform

STANDARD_ERRORS = 5.0
CHAINS = 40_000


class Gaussian:
    """Independent coordinates with precisions ``rates``, for chains side by side: (d, chains)."""

    def __init__(self, rates, scales=1.0):
        self.rates, self.scales = np.reshape(rates, (-1, 1)), np.reshape(scales, (-1, 1))

    def __call__(self, position):
        gradient = -self.rates * position
        return Evaluation(gradient, self.scales**2 * gradient)

    def log_density(self, position):
        return -(self.rates * position**2).sum(axis=0) / 2


class Skewed:
    """exp(x / 2) is Gamma(2.4, 2)."""

    def __call__(self, position):
        gradient = 1.2 - np.exp(position / 2)
        return Evaluation(gradient, gradient)

    def log_density(self, position):
        return (1.2 * position - 2 * np.exp(position / 2)).sum(axis=0)


def updates(target, position, step_size, number, temperature=1.0, dynamics=None, seed=1):
    """Return the positions after some updates, and the acceptance rate."""
    rng, dynamics = np.random.default_rng(seed), dynamics or MetropolisAdjusted()
    nothing = np.zeros_like(position)
    chains = np.zeros(position.shape[1])
    state = dynamics.refresh((position, nothing, nothing, chains, chains), target)
    scales = getattr(target, "scales", 1.0)
    for _ in range(number):
        noise = (scales * rng.standard_normal(position.shape), rng.standard_normal(chains.shape))
        state, _ = dynamics.update(state, target, noise, step_size, temperature)
    return state[0], state[4].mean() / number


def check_gaussian(dynamics, rates, step_size, temperature=1.0, scales=1.0, least=0.1):
    """Check that chains that begin in the law of the target stay in it."""
    target = Gaussian(rates, scales)
    variances = temperature / target.rates
    rng = np.random.default_rng(2)
    start = rng.standard_normal((len(rates), CHAINS)) * np.sqrt(variances)
    position, accepted = updates(target, start, step_size, 40, temperature, dynamics)
    assert accepted > least
    ratios = (position**2 / variances).mean(axis=1)
    assert (np.abs(ratios - 1) < STANDARD_ERRORS * np.sqrt(2 / CHAINS)).all()


@pytest.mark.parametrize("step_size", [0.3, 2.0, 3.0])
@pytest.mark.parametrize("temperature", [1.0, 0.3, 2.5])
def test_exact_at_any_step(step_size, temperature):
    check_gaussian(MetropolisAdjusted(), [1.0, 0.7, 0.2], step_size, temperature)
    check_gaussian(MetropolisAdjusted(), [1.0], 2 * step_size, temperature)


def test_exact_with_a_preconditioner():
    """The scales enter the proposal and its reverse alike."""
    check_gaussian(MetropolisAdjusted(), [4.0, 0.5, 0.1], 1.0, 0.7, scales=[0.5, 1.0, 3.0])


def test_it_finds_the_law_from_elsewhere():
    """Also on a target that is not Gaussian, whose mean Euler-Maruyama would miss."""
    position, _ = updates(Skewed(), np.full((1, CHAINS), 4.0), 1.5, 60)
    mean = 2 * (scipy.special.digamma(2.4) - np.log(2))
    variance = 4 * scipy.special.polygamma(1, 2.4)
    assert abs(position.mean() - mean) < STANDARD_ERRORS * np.sqrt(variance / CHAINS)
    result = scipy.stats.kstest(np.exp(position[0] / 2), scipy.stats.gamma(2.4, scale=0.5).cdf)
    assert result.pvalue > 1e-6


class NoReverseProposal(MetropolisAdjusted):
    """The ratio of densities alone."""

    def update(self, state, target, noise, step_size, temperature):
        position, _, preconditioned, density, accepted = state
        z, chance = noise
        moved = step_size / 2 * preconditioned + np.sqrt(temperature * step_size) * z
        proposal = position + moved
        found, proposed = target(proposal), target.log_density(proposal)
        probability = np.exp(np.minimum((proposed - density) / temperature, 0))
        takes = uniform(chance) < probability
        pairs = zip((proposal, *found, proposed), state, strict=False)
        new = [np.where(takes, one, other) for one, other in pairs]
        return (*new, accepted + probability), Evaluation(*new[1:3])


class NoTemperature(MetropolisAdjusted):
    """The temperature in the proposal, and not in the accept step."""

    def update(self, state, target, noise, step_size, temperature):
        noise = (np.sqrt(temperature) * noise[0], noise[1])
        return super().update(state, target, noise, step_size, 1.0)


class AlwaysAccepted(MetropolisAdjusted):
    """Euler-Maruyama."""

    def update(self, state, target, noise, step_size, temperature):
        always = (noise[0], np.full_like(noise[1], -40.0))
        return super().update(state, target, always, step_size, temperature)


@pytest.mark.parametrize("wrong", [NoReverseProposal, NoTemperature, AlwaysAccepted])
def test_a_wrong_accept_step_is_caught(wrong):
    check_gaussian(MetropolisAdjusted(), [1.0, 0.7, 0.2], 1.0, 0.5)
    with pytest.raises(AssertionError):
        check_gaussian(wrong(), [1.0, 0.7, 0.2], 1.0, 0.5, least=0)


@pytest.mark.parametrize("target", [Gaussian([1.0, 0.5]), Skewed()], ids=["gaussian", "skewed"])
def test_rejections_fall_with_the_step(target):
    """As its power 3/2: the energy error of a leapfrog step is of third order in its length."""
    chains = 200_000
    rng = np.random.default_rng(3)
    if isinstance(target, Gaussian):
        start = rng.standard_normal((2, chains)) / np.sqrt(target.rates)
    else:
        start = 2 * np.log(rng.gamma(2.4, 0.5, size=(1, chains)))
    steps = [0.04, 0.01, 0.0025]
    rejected = [1 - updates(target, start, step, 1)[1] for step in steps]
    slopes = np.diff(np.log(rejected)) / np.diff(np.log(steps))
    np.testing.assert_allclose(slopes, 1.5, atol=0.06)
    wrong = NoReverseProposal()
    rejected = [1 - updates(target, start, step, 1, dynamics=wrong)[1] for step in steps]
    assert (np.diff(np.log(rejected)) / np.diff(np.log(steps)) < 0.8).all()  # the test could tell


def test_what_is_not_a_number_is_rejected():
    """Outside the support, where density and gradient are NaN, or minus infinity."""

    class Half:
        def __call__(self, position):
            gradient = np.where(position > 0, -position, np.nan)
            return Evaluation(gradient, gradient)

        def __init__(self, outside):
            self.outside = outside

        def log_density(self, position):
            inside = (position > 0).all(axis=0)
            return np.where(inside, -(position**2).sum(axis=0) / 2, self.outside)

    rng = np.random.default_rng(5)
    for outside in (np.nan, -np.inf):
        start = np.abs(rng.standard_normal((1, CHAINS)))
        with np.errstate(invalid="ignore"):
            position, accepted = updates(Half(outside), start, 1.0, 30)
        assert (position > 0).all() and accepted < 0.9
        assert abs((position**2).mean() - 1) < STANDARD_ERRORS * np.sqrt(2 / CHAINS)


def test_uniform_numbers():
    z = np.random.default_rng(1).standard_normal(10_000)
    assert scipy.stats.kstest(uniform(z), "uniform").pvalue > 1e-6


# Hamiltonian Monte Carlo with one leapfrog step


def hmc(step_size):
    """Return PyMC's sampler with one step of that length, and the skewed density of a model."""
    with pm.Model() as model:
        x = pm.Flat("x", shape=2)
        pm.Potential("skewed", (1.2 * x - 2 * pm.math.exp(x / 2)).sum())
        step = pm.HamiltonianMC(
            path_length=step_size,
            step_scale=step_size * 2**0.25,
            step_rand=None,
            adapt_step_size=False,
            scaling=np.ones(2),
            rng=np.random.default_rng(7),
            compile_kwargs={"mode": "FAST_COMPILE"},
        )
    assert step.step_size == pytest.approx(step_size)
    return model, step


@pytest.mark.parametrize("step_size", [0.3, 2.0])
def test_one_leapfrog_step_is_the_proposal(step_size):
    """For the same normal numbers, and minus its change of energy is the logarithm of the ratio."""
    _, step = hmc(np.sqrt(step_size))
    at, z, target = np.array([1.0, -0.5]), np.array([[0.3], [-1.2]]), Skewed()
    point = DictToArrayBijection.map({"x": at})
    start = step.integrator.compute_state(point, z[:, 0])
    end = step.integrator.step(np.sqrt(step_size), start)
    position = at[:, None]
    proposal = position + step_size / 2 * target(position).gradient + np.sqrt(step_size) * z
    np.testing.assert_allclose(end.q.data, proposal[:, 0], rtol=1e-12)
    dynamics = MetropolisAdjusted()
    state = dynamics.refresh((position, 0, 0, 0, np.zeros(1)), target)
    state, _ = dynamics.update(state, target, (z, np.full(1, -40.0)), step_size, 1.0)
    np.testing.assert_allclose(state[0], proposal)
    np.testing.assert_allclose(state[4], np.exp(min(0, start.energy - end.energy)), rtol=1e-10)


def test_it_is_hamiltonian_monte_carlo_with_one_step():
    """In law, from one point: acceptance rates, and where accepted proposals are."""
    step_size, number, at = 2.0, 2000, np.array([1.0, -0.5])
    _, step = hmc(np.sqrt(step_size))
    found, rates = np.empty((number, 2)), np.empty(number)
    for i in range(number):
        point, [stats] = step.step({"x": at})
        assert stats["n_steps"] == 1
        found[i], rates[i] = point["x"], stats["accept"]
    start = np.repeat(at[:, None], CHAINS, axis=1)
    position, accepted = updates(Skewed(), start, step_size, 1)
    error = STANDARD_ERRORS * rates.std() / np.sqrt(number)
    assert abs(rates.mean() - accepted) < error and 0.3 < accepted < 0.9
    moved = np.any(found != at, axis=1)
    error = STANDARD_ERRORS * np.sqrt(accepted * (1 - accepted) / number)
    assert abs(moved.mean() - accepted) < error
    ours = position.T[np.any(position.T != at, axis=1)]
    for i in range(2):
        assert scipy.stats.ks_2samp(found[moved, i], ours[:, i]).pvalue > 1e-6
    assert scipy.stats.ks_2samp(found[moved].sum(axis=1), ours.sum(axis=1)).pvalue > 1e-6
    # the test could tell: proposals before the accept step are elsewhere
    other, _ = updates(Skewed(), start, step_size, 1, dynamics=AlwaysAccepted())
    assert scipy.stats.ks_2samp(found[moved, 0], other[0]).pvalue < 1e-6
