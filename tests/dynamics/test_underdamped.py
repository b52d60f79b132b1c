r"""The splitting BAOAB: its stationary law on a Gaussian, with gradient noise and without.

Everything is linear there. With :math:`c = e^{-\gamma \varepsilon}` and a gradient
:math:`-r \theta + \xi`, an update takes :math:`(\theta, u)` to

.. math::

    \theta' = \theta + \tfrac\varepsilon2 (1 + c) u + \tfrac\varepsilon2 s z, \qquad
    u' = c u + s z + \varepsilon (\xi - r \theta'), \qquad s^2 = T (1 - c^2),

and the stationary covariance solves a discrete Lyapunov equation.
"""

from itertools import pairwise

import numpy as np
import pytest
import scipy
from scipy.special import digamma, polygamma

from pymc_sgld.batching.epochs import Reshuffle
from pymc_sgld.batching.order import independent
from pymc_sgld.dynamics.base import Evaluation
from pymc_sgld.dynamics.euler_maruyama import EulerMaruyama
from pymc_sgld.dynamics.underdamped import BAOAB

STANDARD_ERRORS = 5.0
CHAINS = 30_000
RATES = np.array([0.2, 1.0, 2.5])


def law(rates, friction, step_size, temperature=1.0, noise=None):
    """Return the stationary covariance of all positions, then all momenta: written out."""
    rates = np.asarray(rates, dtype=float)
    size = len(rates)
    one, P = np.eye(size), np.diag(rates)
    c = np.exp(-friction * step_size)
    moved = step_size / 2 * (1 + c)
    A = np.block([[one, moved * one], [-step_size * P, c * one - step_size * moved * P]])
    injected = np.vstack([step_size / 2 * one, one - step_size**2 / 2 * P])
    Q = temperature * (1 - c**2) * injected @ injected.T
    if noise is not None:
        kick = np.vstack([0 * one, step_size * one])
        Q = Q + kick @ noise @ kick.T
    return scipy.linalg.solve_discrete_lyapunov(A, Q)


def simulate(dynamics, rates, step_size, temperature=1.0, noise=0.0, seed=1):
    """Return positions and momenta of independent chains, shape (chains, d), after a long time."""
    rng, shape = np.random.default_rng(seed), (CHAINS, len(rates))
    position = rng.standard_normal(shape) * np.sqrt(temperature / rates)
    state = (position, *dynamics.start(lambda: (rng.standard_normal(shape),), temperature))

    def target(position):
        gradient = -rates * position + noise * rng.standard_normal(shape)
        return Evaluation(gradient, gradient)

    left = BAOAB(dynamics.friction).memory(rates, step_size).max()
    with np.errstate(all="ignore"):  # a wrong update may explode
        for _ in range(int(np.log(1e-3) / np.log(left))):
            z = rng.standard_normal(shape)
            state, _ = dynamics.update(state, target, (z,), step_size, temperature)
    return state


def check(draws, variances):
    """Compare variances with the law, in Monte-Carlo standard errors of independent chains."""
    error = STANDARD_ERRORS * np.sqrt(2 / len(draws)) * variances
    assert (np.abs((draws**2).mean(axis=0) - variances) < error).all()


def check_equipartition(dynamics, step_size, temperature=1.0):
    """Check that positions have the variance of the Gaussian, and momenta the temperature."""
    position, momentum = simulate(dynamics, RATES, step_size, temperature)
    check(position, temperature / RATES)
    check(momentum, np.full(len(RATES), temperature))


SETTINGS = [(0.4, 0.7, 1.0), (1.1, 1.0, 1.0), (1.1, 5.0, 1.0), (0.8, 2.0, 0.3)]


@pytest.mark.parametrize(("step_size", "friction", "temperature"), SETTINGS)
def test_equipartition(step_size, friction, temperature):
    """At any stable step, for slow directions and fast ones."""
    check_equipartition(BAOAB(friction), step_size, temperature)


@pytest.mark.parametrize(("step_size", "friction", "temperature"), SETTINGS)
def test_the_law_written_out_is_exact(step_size, friction, temperature):
    variances = np.diag(law(RATES, friction, step_size, temperature))
    np.testing.assert_allclose(variances[:3], temperature / RATES, rtol=1e-10)
    np.testing.assert_allclose(variances[3:], temperature, rtol=1e-10)
    np.testing.assert_array_equal(BAOAB(friction).variance(RATES, step_size), 1)


# each defect that these tests are for, and that they do see


class Wrong(BAOAB):
    """The update with its parts to be replaced."""

    def kept(self, step_size):
        return np.exp(-self.friction * step_size)

    def scale(self, kept, step_size, temperature):
        return (temperature * (1 - kept**2)) ** 0.5

    def kicks_at(self, before, after):
        return after

    def update(self, state, target, noise, step_size, temperature):
        (position, momentum), (z,) = state, noise
        kept = self.kept(step_size)
        half = position + step_size / 2 * momentum
        new = kept * momentum + self.scale(kept, step_size, temperature) * z
        after = half + step_size / 2 * new
        found = target(self.kicks_at(position, after))
        return (after, new + step_size * found.preconditioned), found


class NoFrictionInTheNoise(Wrong):
    def scale(self, kept, step_size, temperature):
        return (2 * self.friction * step_size * temperature) ** 0.5


class NoFriction(Wrong):
    def kept(self, step_size):
        return 1 - 0.5 * self.friction * step_size

    def scale(self, kept, step_size, temperature):
        return super().scale(super().kept(step_size), step_size, temperature)


class KickAtTheOldPosition(Wrong):
    def kicks_at(self, before, after):
        return before


class KickAtTheMiddle(Wrong):
    def kicks_at(self, before, after):
        return (before + after) / 2


class NoTemperature(Wrong):
    def scale(self, kept, step_size, temperature):
        return super().scale(kept, step_size, 1.0)


@pytest.mark.parametrize(
    "wrong",
    [NoFrictionInTheNoise, NoFriction, KickAtTheOldPosition, KickAtTheMiddle, NoTemperature],
)
def test_a_wrong_update_is_caught(wrong):
    temperature = 0.3 if wrong is NoTemperature else 1.0
    check_equipartition(Wrong(1.0), 0.4, temperature)
    with pytest.raises(AssertionError):
        check_equipartition(wrong(1.0), 0.4, temperature)


# gradient noise

FRICTIONS = [0.2, 1.0, 2.0, 10.0]


@pytest.mark.parametrize("friction", FRICTIONS)
@pytest.mark.parametrize("step_size", [1e-4, 0.02, 0.5, 1.2])
def test_what_noise_adds(friction, step_size):
    """In several directions at once, with noise that is correlated: the Lyapunov equation."""
    rates = np.array([0.3, 1.0, 1.0, 2.5])
    root = np.random.default_rng(4).normal(size=(4, 4))
    noise = root @ root.T
    found = BAOAB(friction).gained(rates, step_size, independent) * noise
    exact = law(rates, friction, step_size, noise=noise) - law(rates, friction, step_size)
    scale = np.sqrt(np.outer(np.diag(exact)[:4], np.diag(exact)[:4]))
    assert (np.abs(found - exact[:4, :4]) < 1e-4 * scale).all()


@pytest.mark.parametrize("friction", [0.1, 1.0])
def test_what_noise_adds_to_first_order(friction):
    """The variance of a momentum that is heated and cooled, in small steps."""
    dynamics, step_size = BAOAB(friction), 1e-3
    found = dynamics.gained(np.ones(1), step_size, independent)[0, 0]
    np.testing.assert_allclose(found, dynamics.noise_weight(step_size), rtol=2e-3)


@pytest.mark.parametrize("times_friction", [1 - 1e-9, 1, 1 + 1e-9, 1 + 1e-5])
def test_what_noise_adds_at_critical_damping(times_friction):
    """Both eigenvalues of the update are one there."""
    step_size, rate = 0.4, np.ones(1)

    def discriminant(friction):
        c = np.exp(-friction * step_size)
        return (1 + c) ** 2 / 4 * (1 - step_size**2 / 2) ** 2 - c

    friction = times_friction * scipy.optimize.brentq(discriminant, 1, 3, xtol=1e-15)
    found = BAOAB(friction).gained(rate, step_size, independent)[0, 0]
    exact = law(rate, friction, step_size, noise=np.ones((1, 1)))[0, 0] - 1
    np.testing.assert_allclose(found, exact, rtol=1e-6)


@pytest.mark.parametrize(("friction", "step_size"), [(0.5, 0.3), (3.0, 1.0)])
def test_gradient_noise_by_simulation(friction, step_size):
    """The noise enters where the law that is written out says."""
    position, momentum = simulate(BAOAB(friction), RATES, step_size, noise=2.0)
    expected = np.diag(law(RATES, friction, step_size, noise=4 * np.eye(3)))
    check(position, expected[:3])
    check(momentum, expected[3:])
    assert (expected[:3] * RATES > 1.1).all()


@pytest.mark.parametrize(("friction", "step_size"), [(0.5, 0.3), (2.0, 0.5), (5.0, 1.0)])
def test_epochs_leave_less_noise(friction, step_size):
    """With batches that make up for each other, and no other noise: the mean over an epoch."""
    batches, rates = 8, np.array([0.5, 1.0])
    rng, dynamics = np.random.default_rng(3), BAOAB(friction)
    kicks = np.empty((CHAINS, 1))

    def target(position):
        gradient = -rates * position + kicks
        return Evaluation(gradient, gradient)

    state = (np.zeros((CHAINS, 2)), np.zeros((CHAINS, 2)))
    epochs = int(np.log(1e-3) / np.log(dynamics.memory(rates, step_size).max()) / batches) + 1
    for _ in range(epochs):
        drawn = rng.standard_normal((batches, CHAINS, 1))
        drawn = (drawn - drawn.mean(axis=0)) * np.sqrt(batches / (batches - 1))
        covariances = []
        for kicks in drawn:
            state, _ = dynamics.update(state, target, (np.zeros(2),), step_size, 1.0)
            covariances.append(state[0].T @ state[0] / CHAINS)
    expected = dynamics.gained(rates, step_size, Reshuffle(8 * 50, 50).accumulated)
    error = STANDARD_ERRORS * np.sqrt(2 / CHAINS) * np.diag(expected).max()
    assert (np.abs(np.mean(covariances, axis=0) - expected) < error).all()
    plain = np.diag(dynamics.gained(rates, step_size, independent))
    assert (np.diag(expected) < 0.8 * plain).all()  # and the test could tell


@pytest.mark.parametrize("friction", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("matched", [True, False])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_what_is_read_of_noise(friction, matched, noise):
    """The way of a momentum is not read as noise, which plain differences would do."""
    dynamics, step_size, rng = BAOAB(friction), 0.5, np.random.default_rng(1)
    gradients, rates = [], np.ones(1)

    def target(position):
        gradient = -rates * position + noise * rng.standard_normal(position.shape)
        gradients.append(gradient)
        return Evaluation(gradient, gradient)

    state = tuple(rng.standard_normal((2, 5000, 1)))
    for _ in range(30):
        state, _ = dynamics.update(state, target, (rng.standard_normal((5000, 1)),), step_size, 1.0)
    read = [
        dynamics.differences(np.full(30, step_size), np.array(gradients)[:, i], matched)
        for i in range(5000)
    ]
    added = dynamics.noise_weight(step_size) * np.mean(np.square(read)) / 2
    expected = dynamics.noise_weight(step_size) * noise**2
    np.testing.assert_allclose(
        added, expected, rtol=0.03 if matched else 0.25, atol=0.02 if matched else 0.1
    )


def test_what_is_read_of_few_updates():
    """The last of which moves nothing: two gradients at one place."""
    dynamics, gradients = BAOAB(), np.array([[9.0], [4.0], [1.0]])
    for number in (2, 3):
        steps = np.append(np.full(number - 1, 0.5), 0)
        read = dynamics.differences(steps, gradients[-number:], True)
        np.testing.assert_array_equal(read, [[-3.0]])


# two half steps and one step, on one path


def skewed(position):
    gradient = 1.2 - np.exp(position / 2)
    return Evaluation(gradient, gradient)


def path(dynamics, steps, noise, start):
    """Return positions after updates of given step sizes, all of them."""
    state, positions = start, []
    for step_size, z in zip(steps, noise, strict=True):
        state, _ = dynamics.update(state, skewed, (z,), step_size, 1.0)
        positions.append(state[0])
    return np.array(positions)


def halves(dynamics, noise, step_size):
    """Return the noise of half as many updates of that step size."""
    return dynamics.coarse(noise[::2], noise[1::2], np.full(len(noise) // 2, step_size))


@pytest.mark.parametrize("dynamics", [BAOAB(0.3), BAOAB(8.0), EulerMaruyama()])
def test_fine_noise(dynamics):
    """Of two updates, independent standard normal numbers, whose coarse noise is that of one."""
    z, steps = np.random.default_rng(1).standard_normal((2, 5, 3)), np.linspace(0.1, 2, 5)
    np.testing.assert_allclose(dynamics.coarse(*dynamics.fine(*z, steps), steps), z[0], rtol=1e-12)
    ones, zeros = np.ones((5, 1)), np.zeros((5, 1))
    columns = dynamics.fine(ones, zeros, steps), dynamics.fine(zeros, ones, steps)
    turn = np.moveaxis(np.array(columns)[..., 0], 2, 0)
    identity = np.broadcast_to(np.eye(2), (5, 2, 2))
    np.testing.assert_allclose(turn @ turn.swapaxes(1, 2), identity, atol=1e-12)


@pytest.mark.parametrize("friction", [0.3, 1.0, 8.0])
@pytest.mark.parametrize("step_size", [0.01, 0.5, 2.0])
def test_coarse_noise(friction, step_size):
    """A standard normal number, and where nothing pulls it leaves the momentum of both."""
    dynamics, one = BAOAB(friction), np.ones((1, 1))
    weights = [dynamics.coarse(a * one, (1 - a) * one, np.array([step_size])) for a in (1, 0)]
    np.testing.assert_allclose(weights[0] ** 2 + weights[1] ** 2, 1)

    def free(position):
        return Evaluation(0 * position, 0 * position)

    z = np.random.default_rng(1).standard_normal((2, 3))
    state = start = (np.zeros(3), np.ones(3))
    for half in z:
        state, _ = dynamics.update(state, free, (half,), step_size / 2, 0.7)
    [both] = dynamics.coarse(z[:1], z[1:], np.array([step_size]))
    whole, _ = dynamics.update(start, free, (both,), step_size, 0.7)
    np.testing.assert_allclose(whole[1], state[1])


@pytest.mark.parametrize("friction", [0.5, 2.0])
def test_paths_stay_close(friction):
    """The distance from half the step falls with the step; on another path it does not."""
    dynamics, chains, time = BAOAB(friction), 2000, 6.4
    rng = np.random.default_rng(2)
    start = rng.standard_normal((2, chains))
    fine = rng.standard_normal((64, chains))
    middle = halves(dynamics, fine, 0.2)
    coarse = halves(dynamics, middle, 0.4)

    def after(noise):
        return path(dynamics, np.full(len(noise), time / len(noise)), noise, tuple(start))[-1]

    ends = [after(noise) for noise in (fine, middle, coarse)]
    near, far = (np.sqrt(np.mean((a - b) ** 2)) for a, b in pairwise(ends))
    assert 1.6 < far / near < 3 and far < 0.4
    other = after(rng.standard_normal(middle.shape))
    assert np.sqrt(np.mean((other - ends[0]) ** 2)) > 1  # and the test could tell


def moments_on_one_path(dynamics, chains, updates=100):
    """Return means of x^2 on the skewed target, by step (1, 1/2, 1/4) and chain."""
    rng = np.random.default_rng(5)
    states = [tuple(rng.standard_normal((2, chains)))] * 3
    totals = np.zeros((3, chains))
    for update in range(updates):
        fine = rng.standard_normal((4, chains))
        middle = halves(dynamics, fine, 0.5)
        noises = [halves(dynamics, middle, 1.0), middle, fine]
        for i, noise in enumerate(noises):
            for z in noise:
                states[i], _ = dynamics.update(states[i], skewed, (z,), 0.5**i, 1.0)
        if update >= 20:
            totals += np.square([state[0] for state in states]) / (updates - 20)
    return totals


def mean_and_error(values):
    return values.mean(), STANDARD_ERRORS * values.std() / np.sqrt(values.size)


def test_the_bias_is_of_second_order():
    """Half the step leaves a quarter of it, and the limit is the target."""
    totals = moments_on_one_path(BAOAB(1.0), 20_000)
    coarse, fine = totals[:-1] - totals[1:]
    off, error = mean_and_error(coarse - 4 * fine)
    assert abs(off) < error
    exact = 4 * (polygamma(1, 2.4) + (digamma(2.4) - np.log(2)) ** 2)  # exp(x / 2): Gamma(2.4, 2)
    limit, error = mean_and_error(totals[2] - fine / 3)
    assert abs(limit - exact) < error


def test_a_bias_of_first_order_is_caught():
    coarse, fine = -np.diff(moments_on_one_path(KickAtTheMiddle(1.0), 20_000), axis=0)
    off, error = mean_and_error(coarse - 4 * fine)
    assert abs(off) > error


@pytest.mark.long
def test_order_of_the_bias():
    """It is so small that its order takes many chains to see."""
    coarse, fine = -np.diff(moments_on_one_path(BAOAB(1.0), 1_000_000), axis=0).mean(axis=1)
    assert 1.5 < np.log2(coarse / fine) < 2.8


@pytest.mark.parametrize("friction", FRICTIONS)
def test_memory_and_limit(friction):
    """The eigenvalues of the update that is written out; and the limit is stable."""
    dynamics, step_size = BAOAB(friction), 0.7
    for rate in (0.1, 1.0, 2.5):
        c, moved = (
            np.exp(-friction * step_size),
            step_size / 2 * (1 + np.exp(-friction * step_size)),
        )
        A = [[1, moved], [-step_size * rate, c - step_size * moved * rate]]
        radius = np.abs(np.linalg.eigvals(A)).max()
        np.testing.assert_allclose(dynamics.memory(np.array([rate]), step_size), radius)
        assert dynamics.limit(0.3, rate) ** 2 * rate == pytest.approx(0.3)
