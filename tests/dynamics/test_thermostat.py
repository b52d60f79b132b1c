r"""The thermostat: gradient noise of unknown size is absorbed, where it is equal in all directions.

With the rate one, a friction :math:`\xi` and gradient noise of variance :math:`\nu_i`, the
temperature of a direction is, to first order in the step,
:math:`(\gamma T + \varepsilon \nu_i / 2) / \xi`, and the mean of all directions is :math:`T`: that
gives the mean of :math:`\xi`.

One chain has many directions, whose draws are nearly independent of each other: to the Monte-Carlo
error of an average comes what its friction, common to all of them, fluctuates.
"""

import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGNHT, SettingError, schedules
from pymc_sgld.dynamics.base import Evaluation
from pymc_sgld.dynamics.underdamped import BAOAB, Thermostat

STEP_SIZE, NOISE = 0.1, 20.0
DIRECTIONS, UPDATES, BURN_IN = 1000, 4000, 500


def simulate(dynamics, noise=0.0, temperature=1.0, step_size=STEP_SIZE, rates=1.0, seed=1):
    """Return the variance of each direction in time, times its rate, and the mean friction."""
    rng = np.random.default_rng(seed)
    position = rng.standard_normal(DIRECTIONS) * np.sqrt(temperature / rates)

    def normal():
        z = rng.standard_normal(DIRECTIONS)
        return (z, z) if dynamics.takes_duals else (z,)

    def target(position):
        gradient = -rates * position + np.sqrt(noise) * rng.standard_normal(DIRECTIONS)
        return Evaluation(gradient, gradient)

    state = (position, *dynamics.start(normal, temperature))
    squares, friction = np.zeros(DIRECTIONS), 0.0
    with np.errstate(all="ignore"):  # a wrong update may explode
        for update in range(UPDATES):
            state, _ = dynamics.update(state, target, normal(), step_size, temperature)
            if update >= BURN_IN:
                squares += state[0] ** 2
                friction += float(state[-1]) if dynamics.takes_duals else dynamics.friction
    return rates * squares / (UPDATES - BURN_IN), friction / (UPDATES - BURN_IN)


def check_absorbed(dynamics, temperature=1.0):
    """Check that the standard deviation is that of the posterior, within 2 %."""
    variances, _ = simulate(dynamics, NOISE, temperature)
    assert abs(np.sqrt(variances.mean() / temperature) - 1) < 0.02


@pytest.mark.parametrize(("friction", "temperature"), [(1.0, 1.0), (0.3, 1.0), (3.0, 0.5)])
def test_noise_of_unknown_size_is_absorbed(friction, temperature):
    """The friction alone does not: the variance is too large by 33 % to more than 300 %."""
    check_absorbed(Thermostat(friction), temperature)
    variances, _ = simulate(BAOAB(friction), NOISE, temperature)
    expected = 1 + STEP_SIZE * NOISE / (2 * friction * temperature)
    assert variances.mean() / temperature == pytest.approx(expected, rel=0.1)
    assert variances.mean() / temperature > 1.3


def test_the_friction_takes_out_what_the_noise_puts_in():
    for noise in (5.0, NOISE):
        _, found = simulate(Thermostat(1.0), noise)
        assert found == pytest.approx(1 + STEP_SIZE * noise / 2, rel=0.05)


@pytest.mark.parametrize("friction", [0.5, 1.0, 2.0])
def test_without_noise_the_mean_friction_is_that_of_the_argument(friction):
    variances, found = simulate(Thermostat(friction))
    assert found == pytest.approx(friction, rel=0.02)
    assert variances.mean() == pytest.approx(1, rel=0.02)


def test_noise_that_differs_by_direction_is_not_absorbed():
    """Half of the directions have it: these are too wide, and the others too narrow."""
    noise = NOISE * (np.arange(DIRECTIONS) % 2)
    variances, found = simulate(Thermostat(1.0), noise)
    mean_friction = 1 + STEP_SIZE * NOISE / 4
    assert found == pytest.approx(mean_friction, rel=0.05)
    assert variances[::2].mean() == pytest.approx(1 / mean_friction, rel=0.05)
    assert variances[1::2].mean() == pytest.approx(2 / mean_friction, rel=0.05)


class Frozen(Thermostat):
    """A friction that stays where it is."""

    def update(self, state, target, noise, step_size, temperature):
        new, found = super().update(state, target, noise, step_size, temperature)
        return (*new[:-1], state[-1]), found


class Backwards(Thermostat):
    """A friction that falls where the momentum is too large."""

    def update(self, state, target, noise, step_size, temperature):
        new, found = super().update(state, target, noise, step_size, temperature)
        return (*new[:-1], 2 * state[-1] - new[-1]), found


class NoTemperature(Thermostat):
    """The kinetic energy is held at one."""

    def update(self, state, target, noise, step_size, temperature):
        return super().update(state, target, noise, step_size, 1.0)


@pytest.mark.parametrize("wrong", [Frozen, Backwards, NoTemperature])
def test_a_wrong_thermostat_is_caught(wrong):
    with pytest.raises(AssertionError):
        check_absorbed(wrong(1.0), temperature=0.5)


def test_a_preconditioner_is_a_mass():
    """The kinetic energy is that of the momentum and its dual: no scale enters."""
    rng, scale = np.random.default_rng(3), 7.0
    z, noise = rng.standard_normal((2, 5))

    def target(position):
        gradient = -position / scale**2
        return Evaluation(gradient, scale**2 * gradient)

    dynamics, plain = Thermostat(1.0), (z, z, z, np.asarray(1.0))
    scaled = (scale * z, scale * z, z / scale, np.asarray(1.0))

    def unscaled(position):
        return Evaluation(-position, -position)

    for _ in range(3):
        plain, _ = dynamics.update(plain, unscaled, (noise, noise), 0.3, 1.0)
        scaled, _ = dynamics.update(scaled, target, (scale * noise, noise / scale), 0.3, 1.0)
    np.testing.assert_allclose(scaled[0], scale * plain[0])
    np.testing.assert_allclose(scaled[1], scale * plain[1])
    np.testing.assert_allclose(scaled[2], plain[2] / scale)
    np.testing.assert_allclose(scaled[3], plain[3])


def test_all_rows_are_refused():
    with pm.Model():
        mean = pm.Normal("mean")
        pm.Normal("x", mean, observed=np.zeros(20))
        with pytest.raises(SettingError, match=r"every update reads all rows: use SGHMC"):
            SGNHT(batch_size=20, step_size=0.1, compile_kwargs={"mode": "FAST_COMPILE"})


def test_a_thermostat_does_not_come_to_rest():
    """Without noise its friction falls until the momentum stays: no cycles that explore."""
    nothing = np.zeros(50)
    start = np.random.default_rng(4).standard_normal(50)

    def target(position):
        return Evaluation(-position, -position)

    def at_rest(state, noise, dynamics):
        for _ in range(500):
            state, _ = dynamics.update(state, target, noise, STEP_SIZE, 1.0)
        return np.abs(state[0]).max() < 1e-6

    assert at_rest((start, nothing), (nothing,), BAOAB(1.0))
    still = (start, nothing, nothing, np.asarray(1.0))
    assert not at_rest(still, (nothing, nothing), Thermostat(1.0))
    with pm.Model():
        pm.Normal("x", pm.Normal("mean"), observed=np.zeros(20))
        with pytest.raises(SettingError, match=r"its friction holds the temperature"):
            SGNHT(batch_size=5, step_size=schedules.cyclical(0.1, 10, exploration=0.25))
