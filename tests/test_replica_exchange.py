"""Replica exchange: swaps that are right on average, and the masses of two modes."""

import numpy as np
import pymc as pm
import pytest

from pymc_sgld import ReplicaExchange, SettingError, schedules
from pymc_sgld.replica_exchange import swap_probability
from tests.models import DATA, gaussian_mean
from tests.runs import draws

COMPILED = {"compile_kwargs": {"mode": "FAST_COMPILE"}}
Z = np.linspace(-8, 8, 2001)
WEIGHTS = np.exp(-(Z**2) / 2) / np.exp(-(Z**2) / 2).sum()


def mean_probability(difference, sd, tau, share):
    """Return that of a swap, over estimates of a difference with a Gaussian error of that sd."""
    half = sd / np.sqrt(2 * share)  # of two batches: their variance times the share is sd^2
    rates = [
        swap_probability(difference + sd * z + half * np.array([-1, 1]), tau, share) for z in Z
    ]
    return WEIGHTS @ np.array(rates)


@pytest.mark.parametrize("sd", [0.5, 2.0])
@pytest.mark.parametrize("difference", [0.3, 2.0])
def test_swaps_are_in_detailed_balance(difference, sd):
    """With noisy densities, too: forth and back are as likely as the densities say."""
    tau, share = 0.75, 0.5
    forth, back = (mean_probability(sign * difference, sd, tau, share) for sign in (1, -1))
    np.testing.assert_allclose(forth / back, np.exp(tau * difference), rtol=5e-3)


def test_a_missing_correction_is_caught():
    """The defect that the test above is for: noise that is taken for a difference."""
    tau, sd = 0.75, 2.0

    def uncorrected(difference):
        return WEIGHTS @ [swap_probability(difference + sd * np.full(2, z), tau, 0.5) for z in Z]

    assert uncorrected(2.0) / uncorrected(-2.0) < 0.8 * np.exp(2 * tau)


def test_a_swap_without_noise_and_out_of_the_support():
    assert swap_probability(np.array([-2.0]), 0.5, 0.0) == pytest.approx(np.exp(-1))
    assert swap_probability(np.array([2.0]), 0.5, 0.0) == 1
    assert swap_probability(np.array([-np.inf, -np.inf]), 0.5, 0.5) == 0


# through the engine


def make(model, **settings):
    settings = {"gradient": "minibatch", "preconditioner": "identity", "step_size": 1e-4} | settings
    return ReplicaExchange(model=model, **COMPILED | settings)


@pytest.mark.parametrize(("batch_size", "batches"), [(100, 10), (30, 16), (1000, 1)])
def test_densities_are_estimated_with_their_error(batch_size, batches):
    """Batches of an epoch: all rows where that is few, and then there is no error."""
    model = gaussian_mean()
    step = make(model, batch_size=batch_size)
    positions = [np.array([0.0]), np.array([0.1])]
    exact = model.compile_logp(mode="FAST_COMPILE")
    exact = exact({"theta": np.array(0.1)}) - exact({"theta": np.array(0.0)})
    means, variances = [], []
    for _ in range(60):
        found, share = step._log_densities(positions, [])
        assert found.shape == (2, batches)
        differences = found[1] - found[0]
        means.append(differences.mean())
        variances.append(share * differences.var(ddof=1) if share else 0.0)
    if batch_size != 30:
        np.testing.assert_allclose(means, exact, rtol=1e-9)
        assert share == 0
    else:
        error = np.std(means, ddof=1)
        assert abs(np.mean(means) - exact) < 5 * error / np.sqrt(60)
        # each variance from 16 batches, that of the means from 60: five standard errors of both
        ratio = np.mean(variances) / error**2
        assert abs(np.log(ratio)) < 5 * np.sqrt(2 / 59 + 2 / 15 / 60)


def test_the_masses_of_two_modes():
    """Where one chain finds one of them; in the hot chains, and in what swaps bring."""
    with pm.Model() as model:
        pm.NormalMixture("x", w=[0.3, 0.7], mu=[-5, 5], sigma=1)
    settings = {"step_size": 0.5, "steps_per_draw": 10, "compile_kwargs": {"mode": "NUMBA"}}
    step = make(model, temperatures=(1, 4, 16), **settings)
    start = {"x": np.array(5.0)}
    run = draws(step, start, 1500, tune=50)[50:]
    x = np.array([point["x"] for point, _ in run])
    parts = (x < 0).reshape(25, -1).mean(axis=1)
    error = parts.std(ddof=1) / 5
    assert abs(parts.mean() - 0.3) < 5 * error and error < 0.04
    assert abs(x[x > 0].std() / np.sqrt(1 / (1 - 0.5 / 4)) - 1) < 0.1  # of Euler, within a mode
    stats = [stats for _, [stats] in run]
    assert 0.3 < np.mean([each["swap_rate"] for each in stats]) < 0.9
    swapped = np.array([each["swapped"] for each in stats])
    assert swapped[np.flatnonzero(np.diff(x < 0)) + 1].mean() > 0.9  # how it crosses
    assert not swapped[1::2].any() or not swapped[::2].any()  # even and odd pairs take turns
    alone = draws(make(model, temperatures=(1, 1.0001), **settings), start, 300)
    assert all(point["x"] > 0 for point, _ in alone)  # and the test could tell


def test_swaps_of_hot_draws_that_are_always_accepted_are_caught(monkeypatch):
    """The defect that the masses are for."""
    monkeypatch.setattr("pymc_sgld.replica_exchange.swap_probability", lambda *_: 1.0)
    with pm.Model() as model:
        pm.NormalMixture("x", w=[0.3, 0.7], mu=[-5, 5], sigma=1)
    step = make(model, temperatures=(1, 16), step_size=0.5, steps_per_draw=10)
    x = np.array([point["x"] for point, _ in draws(step, {"x": np.array(5.0)}, 200)])
    assert x[x > 0].std() > 1.3


def test_cycles_without_noise_are_refused():
    cycles = schedules.cyclical(1e-3, 10, exploration=0.5)
    with pytest.raises(SettingError, match="ReplicaExchange cannot explore without noise: swaps"):
        make(gaussian_mean(), step_size=cycles)


def test_sources_are_refused():
    with pytest.raises(SettingError, match="ReplicaExchange has no data: its swaps read random"):
        make(gaussian_mean(), data={"x": DATA})
