r"""Known gradient noise: as much less is injected, and the variance is that of the posterior.

On a Gaussian everything is linear, and stationary covariances solve discrete Lyapunov equations.
Conventions: a position of Euler–Maruyama moves by :math:`\tfrac\varepsilon2 M \hat g` and noise of
variance :math:`\varepsilon M`; a momentum by :math:`\varepsilon M \hat g`, and the friction leaves
:math:`c = e^{-\gamma\varepsilon}` of it. In Chen, Fox and Guestrin (2014) the learning rate of
Langevin dynamics is :math:`\eta = \varepsilon / 2`; that of SGHMC is :math:`\varepsilon^2`, with
:math:`\alpha = \gamma\varepsilon` and the velocity :math:`v = \varepsilon u`.
"""

import numpy as np
import pymc as pm
import pytest
import scipy

from pymc_sgld import MALA, SGHMC, SGLD, SGNHT, SettingError
from pymc_sgld.batching.epochs import Reshuffle
from pymc_sgld.batching.order import independent
from pymc_sgld.dynamics.euler_maruyama import EulerMaruyama
from pymc_sgld.dynamics.known_noise import KnownNoise
from pymc_sgld.dynamics.leimkuhler_matthews import LeimkuhlerMatthews
from pymc_sgld.dynamics.underdamped import BAOAB
from pymc_sgld.messages import Reason
from pymc_sgld.preconditioners import Identity
from tests.runs import draws

COMPILED = {"compile_kwargs": {"mode": "FAST_COMPILE"}}
CORRELATED = np.array([[1.0, 0.9], [0.9, 1.0]])
PUBLISHED = [0.4500, 0.1286, 0.0679, 0.0427, 0.0292]
"""Mean absolute errors of the covariance, for learning rates 0.18 * 0.8^i (their figure 3a)."""


def injected(dynamics, noise, step_size, order=independent, temperature=1.0):
    """Return the covariance of the normal numbers that are left, shape (d, d)."""
    root = np.linalg.cholesky(noise).T
    known = KnownNoise.of([root, root], Identity(), dynamics, order, temperature)
    one = np.eye(len(noise))
    left = known.remaining(one, np.full(len(noise), step_size))
    return left.T @ left


def test_the_published_table():
    """Langevin dynamics whose gradients have noise of variance one, in closed form."""
    found, plain, one = [], [], np.eye(2)
    for rate in 0.18 * 0.8 ** np.arange(5):
        A = one - rate * np.linalg.inv(CORRELATED)
        left = injected(EulerMaruyama(), one, 2 * rate)
        np.testing.assert_allclose(2 * rate * left, 2 * rate * (1 - rate / 2) * one)
        for errors, of_normals in ((found, left), (plain, one)):
            law = scipy.linalg.solve_discrete_lyapunov(A, 2 * rate * of_normals + rate**2 * one)
            errors.append(np.abs(law - CORRELATED).mean())
    np.testing.assert_allclose(found, PUBLISHED, atol=5e-5)
    assert (np.array(plain) > np.array(PUBLISHED) + 0.01).all()  # and the test could tell


def law(rates, friction, step_size, noise, left):
    """Return the stationary covariance of BAOAB, positions then momenta: written out."""
    size, one, P = len(rates), np.eye(len(rates)), np.diag(rates)
    c = np.exp(-friction * step_size)
    moved = step_size / 2 * (1 + c)
    A = np.block([[one, moved * one], [-step_size * P, c * one - step_size * moved * P]])
    diffusion = np.vstack([step_size / 2 * one, one - step_size**2 / 2 * P])
    kick = np.vstack([np.zeros((size, size)), step_size * one])
    Q = (1 - c**2) * diffusion @ left @ diffusion.T + kick @ noise @ kick.T
    return scipy.linalg.solve_discrete_lyapunov(A, Q)[:size, :size]


NOISE = np.array([[3.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 0.3]])


@pytest.mark.parametrize("friction", [0.5, 2.0])
@pytest.mark.parametrize("step_size", [0.02, 0.3])
def test_positions_of_a_momentum_have_the_posterior_variance(friction, step_size):
    """Exactly, where M is the covariance; noise that differs by direction is taken off, too."""
    left, one = injected(BAOAB(friction), NOISE, step_size), np.eye(3)
    exact = law(np.ones(3), friction, step_size, NOISE, left)
    np.testing.assert_allclose(exact, one, atol=1e-6)
    plain = law(np.ones(3), friction, step_size, NOISE, one)
    assert plain.max() > 1 + step_size / 2 / friction  # and the test could tell


def test_what_is_left_at_other_rates_is_of_second_order_at_least():
    rates, size = np.array([0.3, 1.0, 2.0]), []
    for step_size in (0.1, 0.05):
        left = injected(BAOAB(1.0), NOISE, step_size)
        size.append(np.abs(law(rates, 1.0, step_size, NOISE, left) - np.diag(1 / rates)).max())
    assert size[0] / size[1] > 3.3


def test_the_friction_less_the_noise():
    """Chen, Fox and Guestrin, equation 13: N(0, 2 (alpha - beta) eta), with beta = eta V / 2."""
    friction, step_size = 1.5, 1e-4
    eta, alpha = step_size**2, friction * step_size
    theirs = 2 * (alpha * np.eye(3) - eta * NOISE / 2) * eta / step_size**2  # of u = v / epsilon
    left = injected(BAOAB(friction), NOISE, step_size)
    ours = (1 - np.exp(-2 * friction * step_size)) * left
    np.testing.assert_allclose(ours, theirs, atol=1e-3 * theirs.max())
    np.testing.assert_allclose(np.diag(1 - left), np.diag(step_size * NOISE / 2 / friction), 1e-3)


@pytest.mark.parametrize("dynamics", [EulerMaruyama(), LeimkuhlerMatthews()])
@pytest.mark.parametrize("order", [independent, Reshuffle(8 * 50, 50).accumulated])
def test_the_variance_of_an_overdamped_chain(dynamics, order):
    """What is left of the injected noise, and what the order leaves of that of gradients."""
    step_size, one, temperature = 0.4, np.ones(1), 0.7
    left = injected(dynamics, NOISE, step_size, order, temperature)
    own = dynamics.variance(one, step_size)[0]
    gained = dynamics.gained(one, step_size, order)[0, 0]
    np.testing.assert_allclose(
        temperature * own * left + gained * NOISE, temperature * own * np.eye(3), atol=1e-12
    )


def test_not_more_than_all_is_taken():
    left = injected(EulerMaruyama(), np.diag([1.0, 100.0]), 0.2)
    np.testing.assert_allclose(left, np.diag([0.95, 0.0]), atol=1e-12)


def test_steps_of_several_sizes_and_none():
    known = KnownNoise.of([np.ones((1, 1))] * 2, Identity(), EulerMaruyama(), independent)
    left = known.remaining(np.ones((4, 1)), np.array([0.4, 0.0, 0.4, 0.8]))
    np.testing.assert_allclose(left[:, 0] ** 2, [0.9, 1.0, 0.9, 0.8])
    np.testing.assert_allclose(known.taken(0.4), [0.1])


# as a setting of the step methods

ROWS, BATCH = 1000, 100
Z = np.random.default_rng(3).normal(size=(ROWS, 2))
Z = (Z - Z.mean(axis=0)) / Z.std(axis=0) * [1.0, 1.5]
PRECISION = ROWS + 1 / 25


def two_means():
    """Means whose gradients have noise of the variances N / n and 2.25 N / n: its scale is off."""
    with pm.Model() as model:
        theta = pm.Normal("theta", 0, 5, shape=2)
        pm.Normal("x", theta, 1, observed=Z)
    return model


def make(sampler, model, **settings):
    settings = {"gradient": "minibatch", "steps_per_draw": 19, "batch_size": BATCH} | settings
    return sampler(model=model, **settings, **COMPILED)


@pytest.mark.parametrize(
    ("sampler", "step_size", "batching"),
    [
        pytest.param(SGLD, 0.15, "with_replacement", marks=pytest.mark.long),
        pytest.param(SGHMC, 0.07, "with_replacement", marks=pytest.mark.long),
        (SGLD, 0.3, "reshuffle"),
    ],
)
def test_the_variance_is_that_of_the_posterior(sampler, step_size, batching):
    """Noise that differs by direction, and adds about 80 % to the variance of the second."""
    model, tune = two_means(), 30
    settings = {"step_size": step_size, "batching": batching}
    step = make(sampler, model, subtract_noise=True, **settings)
    run = draws(step, model.initial_point(), 300, tune=tune)
    squares = np.array([point["theta"] for point, _ in run[tune:]]) ** 2 * PRECISION
    groups = squares.reshape(25, -1, 2).mean(axis=1)
    error = groups.std(axis=0, ddof=1) / 5
    assert (error < 0.2).all()
    assert (np.abs(groups.mean(axis=0) - 1) < 5 * error).all()
    plain = make(sampler, model, **settings)
    run = draws(plain, model.initial_point(), 100, tune=tune)
    squares = np.array([point["theta"][1] for point, _ in run[tune:]]) ** 2 * PRECISION
    assert squares.mean() > 1.3  # and the test could tell
    assert not step.chain.reasons & Reason.NOISE and plain.chain.reasons & Reason.NOISE


def test_a_chain_tells_what_is_left():
    """Of which half was not known."""
    model = two_means()
    step = make(SGLD, model, subtract_noise=True, step_size=0.15, batching="with_replacement")
    known = step._transition.run.known
    known.variances[:] /= 2
    draws(step, model.initial_point(), 60, tune=10)
    assert step.chain.reasons & Reason.NOISE
    added = step._transition.verdict.judge.added(step.chain.reading, 0.15)
    expected = 0.15 / 4 * ROWS / BATCH * np.array([1, 2.25]) / 2
    own = 1 / (1 - 0.15 / 4) - 1
    np.testing.assert_allclose(np.sort(added) - own, expected, rtol=0.25)


@pytest.mark.parametrize(
    ("sampler", "settings", "message"),
    [
        (SGLD, {"preconditioner": "identity"}, 'is "identity" here: use the default'),
        (SGHMC, {"preconditioner": "laplace_diagonal"}, "the covariance matrix of the posterior"),
        (SGLD, {"temperature": 0, "step_size": 0.1}, "there is none at temperature=0"),
        (SGLD, {"subtract_noise": "yes"}, "subtract_noise='yes' must be True"),
        (SGNHT, {}, "SGNHT has no subtract_noise: its friction takes out the noise"),
        (MALA, {}, "MALA has no subtract_noise: its gradients have none"),
    ],
)
def test_refused(sampler, settings, message):
    with pytest.raises(SettingError, match=message):
        sampler(**{"subtract_noise": True} | settings, model=two_means(), **COMPILED)


def test_nothing_to_take_where_all_rows_are_read():
    step = SGLD(subtract_noise=True, batch_size=ROWS, model=two_means(), **COMPILED)
    assert step._transition.run.known is None
