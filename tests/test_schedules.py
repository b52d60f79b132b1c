"""Schedules against their closed forms, at and after every boundary."""

import pickle

import numpy as np
import pytest

from pymc_sgld import SettingError, schedules
from pymc_sgld.schedules import cycle_of, evaluate, explores, make_schedule

COUNT = np.array([0, 1, 7, 99, 100, 101, 10**6])


def test_constant():
    assert (schedules.constant(0.3)(COUNT) == 0.3).all()
    assert (make_schedule(0.3)(COUNT) == 0.3).all()
    assert (make_schedule(np.float32(0.5))(COUNT) == 0.5).all()


@pytest.mark.parametrize("gamma", [1 / 3, 0.55, 1.0])
def test_polynomial(gamma):
    """Every exponent in (0, 1], the optimal 1/3 among them."""
    expected = [0.7 / (3.0 + t) ** gamma for t in COUNT.tolist()]
    np.testing.assert_allclose(schedules.polynomial(0.7, 3.0, gamma)(COUNT), expected, rtol=1e-12)


def test_polynomial_of_integers():
    """The textbook 1 / t."""
    np.testing.assert_allclose(schedules.polynomial(1, 10, 1)(COUNT), 1 / (10 + COUNT))


def test_polynomial_of_welling_and_teh():
    """From 0.01 to 0.0001 in 10,000 sweeps over 100 rows."""
    schedule = schedules.polynomial(a=0.1995, b=231.1, gamma=0.55)
    np.testing.assert_allclose(schedule(np.array([0, 10**6])), [1e-2, 1e-4], rtol=2e-3)


def test_cyclical():
    schedule = schedules.cyclical(0.2, 100)
    np.testing.assert_allclose(schedule(np.array([0, 50, 100, 200])), [0.2, 0.1, 0.2, 0.2])
    one_cycle = schedule(np.arange(100))
    assert (np.diff(one_cycle) < 0).all() and one_cycle[-1] > 0
    assert schedules.cyclical(1.0, 10**9)(np.array([10**9 - 1])) > 0
    np.testing.assert_allclose(one_cycle.mean(), 0.1 + 0.1 / 100, rtol=1e-9)
    assert (schedule(np.arange(100, 200)) == one_cycle).all()


def test_cycles_are_counted_and_measured():
    schedule = schedules.cyclical(0.2, 100)
    assert [cycle_of(schedule, t) for t in (0, 99, 100, 250)] == [
        (0, 0),
        (0, 0.99),
        (1, 0),
        (2, 0.5),
    ]
    assert cycle_of(schedules.cyclical(1.0, 3), 3 * 10**15 - 1) == (10**15 - 1, 2 / 3)
    for other in (
        schedules.constant(0.1),
        schedules.polynomial(1, 1, 1),
        lambda count: 0.1 + count,
    ):
        assert cycle_of(other, 7) == (-1, 0)


def test_the_first_part_of_each_cycle_explores():
    """With steps that are the same: to explore is to inject no noise."""
    schedule = schedules.cyclical(0.2, 8, exploration=0.25)
    count = np.arange(24)
    assert np.array_equal(explores(schedule, 0, len(count)), count % 8 < 2)
    assert np.array_equal(schedule(count), schedules.cyclical(0.2, 8)(count))
    shares = [
        explores(schedules.cyclical(1.0, 1000, share), 0, len(count)) for share in (0.0, 0.02)
    ]
    assert shares[0] is None and np.array_equal(shares[1], count < 20)
    assert explores(schedules.constant(0.1), 0, 24) is None
    assert explores(lambda count: 0.1 + count, 0, 24) is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.constant(0), "step_size must be finite and positive"),
        (lambda: schedules.constant("0.1"), "must be a number"),
        (lambda: schedules.constant(True), "must be a number"),
        (lambda: schedules.polynomial(1, 1, 0), "gamma must be finite and positive"),
        (lambda: schedules.polynomial(1, 1, 1.01), "gamma=1.01 is above 1"),
        (lambda: schedules.polynomial(1, 0, 0.5), "b must be"),
        (lambda: schedules.polynomial(-1, 1, 0.5), "a must be"),
        (lambda: schedules.cyclical(0.1, 0), "period must be"),
        (lambda: schedules.cyclical(0.1, 2.5), "whole number of updates"),
        (lambda: schedules.cyclical(np.inf, 2), "step_size must be finite"),
        (lambda: schedules.cyclical(0.1, 2, 1.0), "share of a cycle, at least 0 and below 1"),
        (lambda: schedules.cyclical(0.1, 2, -0.1), "got -0.1"),
        (lambda: schedules.cyclical(0.1, 2, np.nan), "got nan"),
        (lambda: schedules.cyclical(0.1, 2, "half"), "got 'half'"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(SettingError, match=message):
        make()


def test_what_a_schedule_may_return():
    assert evaluate(lambda count: 1 / (1 + count), COUNT).shape == COUNT.shape
    with pytest.raises(SettingError, match=r"returned 0\.0 for update 7"):
        evaluate(lambda count: np.where(count == 7, 0.0, 1.0), COUNT)
    with pytest.raises(SettingError, match=r"shape \(\)"):
        evaluate(lambda count: 0.1, COUNT)


def test_value_semantics():
    schedule = schedules.polynomial(0.1, 2.0, 0.5)
    assert schedule == schedules.polynomial(0.1, 2.0, 0.5)
    assert repr(schedule) == "polynomial(a=0.1, b=2.0, gamma=0.5)"
    assert pickle.loads(pickle.dumps(schedule)) == schedule
