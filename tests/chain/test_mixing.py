"""What the draws of a chain say at its end: how many they are worth, and how wide they are."""

import numpy as np
import pytest
from scipy.signal import lfilter

from pymc_sgld.chain.mixing import NEEDED, Mixing
from pymc_sgld.messages import Reason

NAMES = ["a", "b", "c"]


def mixing_of(correlation, draws, seed=1, size=3):
    """Return the readings of independent autoregressive coordinates of variance one."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((draws, size)) * np.sqrt(1 - correlation**2)
    noise[0] = rng.standard_normal(size)
    found = Mixing(size, draws)
    for position in lfilter([1], [1, -correlation], noise, axis=0):
        found.include(position)
    return found


def reasons(mixing, names=NAMES, expected=None):
    return {message.reason for message in mixing.messages(names, expected, True)}


@pytest.mark.parametrize("correlation", [0.0, 0.7, 0.9])
def test_effective_sample_size_of_an_autoregression(correlation):
    """n (1 - r) / (1 + r); the estimate is scaled chi-squared of 19 degrees, three times."""
    sizes = mixing_of(correlation, 20_000).effective_sizes()
    exact = 20_000 * (1 - correlation) / (1 + correlation)
    relative = np.mean(exact / sizes)
    assert abs(relative - 1) < 5 * np.sqrt(2 / 19 / 3)


def test_false_alarms_and_alarms():
    """Chains of the size that is needed are rarely told to be too short; drifting ones are."""
    needed = (1 - NEEDED / 1000) / (1 + NEEDED / 1000)
    some = [mixing_of(needed, 1000, seed) for seed in range(200)]
    assert sum(Reason.SHORT in reasons(each) for each in some) <= 2  # a thousandth is allowed
    slow = [mixing_of(0.998, 1000, seed) for seed in range(20)]
    assert sum(Reason.SHORT in reasons(each) for each in slow) >= 19
    drifting = Mixing(3, 1000)
    for draw in range(1000):
        drifting.include(np.full(3, float(draw)))
    assert Reason.SHORT in reasons(drifting)
    [message] = drifting.messages(NAMES, None, True)
    assert "too few draws to judge" in message.text and " a " in message.text


def test_width_beside_what_was_expected():
    mixing = mixing_of(0.5, 2000)
    np.testing.assert_allclose(mixing.variances(), 1, atol=5 * np.sqrt(2 / 2000 * 5 / 3))
    assert not reasons(mixing, expected=np.full(3, 0.5))
    assert reasons(mixing, expected=np.array([1, 0.1, 1])) == {Reason.WIDTH}
    [message] = mixing.messages(NAMES, np.array([1, 0.1, 1]), True)
    assert "draws of b have 3." in message.text
    assert not mixing.messages(NAMES, np.array([1, 0.1, 1]), False)  # the step was not chosen by it


def test_nothing_is_said_of_few_draws_or_of_a_part_of_them():
    assert not reasons(mixing_of(0.99, 90))
    part = Mixing(3, 1000)
    for _ in range(500):
        part.include(np.zeros(3))
    assert not reasons(part)


def test_a_constant_is_worth_any_number_of_draws():
    constant = Mixing(1, 200)
    for _ in range(200):
        constant.include(np.ones(1))
    assert np.isinf(constant.effective_sizes()).all() and not reasons(constant, ["a"])
