"""Draws of unequal step sizes: their weights, thinning, and the labels of cycles."""

import arviz as az
import numpy as np
import pymc as pm
import pytest
import xarray as xr
from arviz_stats.base.array import array_stats

from pymc_sgld import SGHMC, SGLD, SettingError, schedules, thin_by_step_size
from pymc_sgld.diagnostics.thinning import systematic_draws
from pymc_sgld.diagnostics.weights import step_size_weights
from tests.graphs import QUICK

DECREASING = schedules.polynomial(20.0, 20.0, 0.6)(np.arange(600))  # from 3.3 to 0.42


def diffusion(rng, step_sizes, chains):
    """Exact draws of a diffusion with the law N(0, 1), a step size apart: no bias at all."""
    values = rng.normal(size=(chains, len(step_sizes)))
    for draw in range(1, len(step_sizes)):
        memory = np.exp(-step_sizes[draw] / 2)
        values[:, draw] *= np.sqrt(1 - memory**2)
        values[:, draw] += memory * values[:, draw - 1]
    return values


def run(step_size, draws=None, **groups):
    """Make a result of two chains with these step sizes."""
    step_size = np.broadcast_to(step_size, (2, len(step_size)))
    if draws is None:
        draws = np.random.default_rng(1).normal(size=step_size.shape)
    stats = {"step_size": step_size, "sampling_threshold": 0 * step_size}
    return az.from_dict({"posterior": {"mu": draws}, "sample_stats": stats} | groups)


def equal(step_size, chains=1):
    weights = np.tile(step_size, (chains, 1))
    return weights / weights.sum()


# --- thinning --------------------------------------------------------------------------------


def test_a_draw_is_kept_in_proportion_to_its_step_size_and_at_most_once():
    # Exactly: the average over the offset u, on a fine grid, is the probability.
    class Offsets:
        def __init__(self, value):
            self.value = value

        def random(self, shape):
            return np.full(shape, self.value)

    weights = np.array([5.0, 1.0, 3.0, 2.0, 0.1, 3.9])[None]
    grid = (np.arange(3000) + 0.5) / 3000
    kept = [systematic_draws(weights, Offsets(u))[0] for u in grid]
    assert all(len(draws) == 3 and (np.diff(draws) > 0).all() for draws in kept)
    frequency = np.bincount(np.concatenate(kept), minlength=6) / len(grid)
    np.testing.assert_allclose(frequency, 3 * weights[0] / 15, atol=1 / 3000)


def test_means_of_thinned_draws_are_weighted_means():
    # Draws that depend on their step size: to count all alike is far off.
    weighted = (DECREASING**2).sum() / DECREASING.sum()
    rng = np.random.default_rng(7)
    idata = run(DECREASING, np.tile(DECREASING, (2, 1)))
    means = [thin_by_step_size(idata, rng).posterior["mu"].values.mean() for _ in range(100)]
    error = np.std(means) / np.sqrt(len(means))
    assert abs(np.mean(means) - weighted) < 5 * error
    assert abs(DECREASING.mean() - weighted) > 50 * error
    weights = step_size_weights(idata)
    np.testing.assert_allclose((weights * idata.posterior["mu"]).sum("draw"), weighted, rtol=1e-12)


def test_the_law_of_thinned_draws():
    # The draws kept follow the law, and ArviZ's error of their mean, which trusts that they are
    # evenly spaced in time, is right: over 300 runs its ratio has a standard error of 4 %. The sd
    # of 300 runs of more than 100 independent draws has one of 1/sqrt(2 * 300 * 100).
    rng = np.random.default_rng(8)
    ratios, spreads = [], []
    for _ in range(300):
        draws = diffusion(rng, DECREASING, 2)
        kept = systematic_draws(equal(DECREASING, 2), rng)
        thinned = np.take_along_axis(draws, kept, axis=1)
        ratios.append(thinned.mean() / array_stats.mcse(thinned))
        spreads.append((thinned**2).mean())
    assert abs(np.std(ratios) - 1) < 5 / np.sqrt(2 * len(ratios))
    assert abs(np.mean(spreads) - 1) < 5 * np.sqrt(2 / (300 * 100))
    assert thinned.shape == (2, int(DECREASING.sum() / DECREASING.max()))


def test_chains_count_alike_whatever_their_constant_steps():
    idata = run(np.ones(100))
    idata["sample_stats"]["step_size"] = idata["sample_stats"]["step_size"] * [[0.1], [0.4]]
    np.testing.assert_allclose(step_size_weights(idata), 1 / 100)
    assert thin_by_step_size(idata, 1).posterior.sizes["draw"] == 100


def test_a_constant_step_size_keeps_every_draw():
    idata = run(np.full(333, 0.1))
    thinned = thin_by_step_size(idata, 1)
    assert np.array_equal(thinned.posterior["mu"], idata.posterior["mu"])
    assert np.array_equal(thinned.sample_stats["kept_draw"][1], np.arange(333))


def test_all_groups_keep_the_same_draws():
    number = np.arange(2 * 600.0).reshape(2, 600)
    idata = run(
        DECREASING,
        number,
        log_likelihood={"y": number[..., None] + [0, 0.5]},
        posterior_predictive={"y": -number},
        prior={"mu": np.zeros((1, 50))},
        observed_data={"y": np.zeros(2)},
    )
    before = idata.copy(deep=True)
    idata["sample_stats"].dataset = (
        idata["sample_stats"]
        .to_dataset()
        .assign(
            untrusted=(("chain", "draw"), np.isin(number, [5, 1199]).astype(int)),
            pymc_sgld=(("chain", "draw"), np.full((2, 600), "0.1.0", dtype="<U16")),
            common=("draw", np.arange(600)),
        )
    )
    idata["posterior"].attrs["tuning_steps"] = 7
    thinned = thin_by_step_size(idata, 3)
    kept = thinned.posterior["mu"].values
    assert kept.dtype == float and (np.diff(kept) > 0).all()
    assert np.array_equal(kept - [[0], [600]], thinned.sample_stats["kept_draw"])
    assert np.array_equal(thinned.log_likelihood["y"], kept[..., None] + [0, 0.5])
    assert thinned.log_likelihood["y"].dims == idata.log_likelihood["y"].dims
    assert np.array_equal(thinned.posterior_predictive["y"], -kept)
    places = (kept % 600).astype(int)
    assert np.array_equal(thinned.sample_stats["step_size"], DECREASING[places])
    assert np.array_equal(thinned.sample_stats["common"], places)
    assert thinned.sample_stats["pymc_sgld"].dtype == "<U16"
    verdict = thinned.sample_stats["untrusted"]
    assert verdict.sum() == 1 and verdict[1, -1] == 1  # of the second chain: that of its end
    assert list(thinned.posterior["draw"].values) == list(range(kept.shape[1]))
    assert thinned.posterior.attrs["tuning_steps"] == 7
    assert thinned["prior"].identical(idata["prior"])
    assert thinned["observed_data"].identical(idata["observed_data"])
    assert (
        idata["posterior"]
        .to_dataset()
        .drop_attrs()
        .identical(before["posterior"].to_dataset().drop_attrs())
    )


def test_the_choice_follows_the_seed():
    idata = run(DECREASING)
    one, again, other = (
        thin_by_step_size(idata, seed).sample_stats["kept_draw"].values for seed in (1, 1, 2)
    )
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    assert not np.array_equal(one[0], one[1])


# --- what is refused, and what is said -------------------------------------------------------


def test_results_without_step_sizes_of_sgld_are_refused():
    idata = run(DECREASING)
    del idata["sample_stats"]["sampling_threshold"]  # as NUTS: a step size, but not ours
    with pytest.raises(SettingError, match="its sample_stats are not of an SGLD step"):
        thin_by_step_size(idata)
    with pytest.raises(SettingError, match="cannot read the step sizes of idata"):
        thin_by_step_size(idata["posterior"].to_dataset())
    with pytest.raises(SettingError, match="rng='a' is no seed"):
        thin_by_step_size(run(DECREASING), "a")
    exploring = run(DECREASING)
    explores = xr.ones_like(exploring["sample_stats"]["step_size"], dtype=int)
    exploring["sample_stats"]["explores"] = explores
    with pytest.raises(SettingError, match="in a chain all draws explore"):
        thin_by_step_size(exploring)
    with pytest.raises(SettingError, match="kept its draws in proportion"):
        thin_by_step_size(thin_by_step_size(run(DECREASING), 1))


def test_a_group_with_draws_of_its_own_is_refused():
    idata = run(DECREASING, posterior_predictive={"y": np.zeros((2, 7))})
    with pytest.raises(SettingError, match=r'del idata\["posterior_predictive"\]'):
        thin_by_step_size(idata)


def test_step_sizes_of_several_step_methods():
    # beside another step method PyMC gives the stat a dimension more
    def several(*columns):
        idata = run(DECREASING)
        stats = idata["sample_stats"].to_dataset()
        columns = [np.broadcast_to(column, (2, 600)) for column in columns]
        stats["step_size"] = (("chain", "draw", "step_size_dim_0"), np.stack(columns, axis=-1))
        idata["sample_stats"].dataset = stats
        return idata

    alone = step_size_weights(run(DECREASING))
    for idata in (several([[0.3], [0.7]], DECREASING), several(2 * DECREASING, DECREASING)):
        xr.testing.assert_allclose(step_size_weights(idata), alone)
    constant = step_size_weights(several(np.ones(600), np.ones(600)))
    np.testing.assert_allclose(constant, 1 / 600)
    with pytest.raises(SettingError, match="2 of its step methods decreased"):
        step_size_weights(several(DECREASING, DECREASING[::-1]))


# --- a run -----------------------------------------------------------------------------------


def test_cycles_are_labelled_in_the_stats_of_a_run():
    with pm.Model():
        mu = pm.Normal("mu", 0, 1)
        pm.Normal("x", mu, 1, observed=np.zeros(20))
        step = SGLD(step_size=schedules.cyclical(0.02, 50), steps_per_draw=8, **QUICK)
        idata = pm.sample(
            40, tune=3, chains=2, cores=1, step=step, quiet=True, random_seed=1,
            compute_convergence_checks=False,
        )  # fmt: skip
    stats = idata.sample_stats
    last = 8 * np.arange(4, 44) - 1  # the last update of each draw
    assert np.array_equal(stats["cycle"], np.tile(last // 50, (2, 1)))
    np.testing.assert_allclose(stats["cycle_position"][0], last % 50 / 50, rtol=1e-12)
    np.testing.assert_allclose(stats["step_size"], step.schedule(np.tile(last, (2, 1))))
    late = (stats["cycle_position"][0] > 0.5).values
    sampled = idata.isel(draw=late)
    thinned = thin_by_step_size(sampled, 1)
    assert 0 < thinned.posterior.sizes["draw"] < late.sum()
    assert (thinned.sample_stats["cycle_position"] > 0.5).all()
    kept = thinned.sample_stats["kept_draw"].values
    draws = np.take_along_axis(idata.posterior["mu"].values, kept, axis=1)
    assert np.array_equal(thinned.posterior["mu"], draws)


def of_a_draw(sampler, step_sizes):
    """Return the matrix by which updates without noise move a position and a momentum: N(0, 1)."""
    found = np.eye(2)
    for step_size in step_sizes:
        kept = np.exp(-step_size) if sampler is SGHMC else 0
        moved = step_size / 2 * (1 + kept)
        update = [[1, moved], [-step_size, kept - step_size * moved]]
        found = (update if sampler is SGHMC else np.diag([1 - step_size / 2, 0])) @ found
    return found


@pytest.mark.parametrize("sampler", [SGLD, SGHMC])
def test_draws_that_explore_have_no_noise_and_are_not_kept(sampler):
    """Without data, and so without gradient noise, the draws before them say where they are."""
    schedule = schedules.cyclical(0.5, period=40, exploration=0.5)
    with pm.Model():
        pm.Normal("x", 0, 1, shape=2)
        step = sampler(step_size=schedule, steps_per_draw=4, **QUICK)
        idata = pm.sample(
            30, tune=0, chains=2, cores=1, step=step, quiet=True, random_seed=1,
            compute_convergence_checks=False,
        )  # fmt: skip
    explores = idata.sample_stats["explores"].values
    assert np.array_equal(explores, np.tile(np.arange(30) % 10 < 5, (2, 1)))
    x = idata.posterior["x"].values
    moves = [of_a_draw(sampler, steps) for steps in schedule(np.arange(120)).reshape(30, 4)]
    predicted = set()
    for draw in range(1, 29):
        momentum = 0
        if sampler is SGHMC:  # that which leads to this draw from the one before
            before = (x[:, draw] - moves[draw][0, 0] * x[:, draw - 1]) / moves[draw][0, 1]
            momentum = moves[draw][1] @ np.stack([x[:, draw - 1], before]).swapaxes(0, 1)
        expected = moves[draw + 1][0, 0] * x[:, draw] + moves[draw + 1][0, 1] * momentum
        if np.abs(x[:, draw + 1] - expected).max() < 1e-9:
            predicted.add(draw + 1)
    least = 1 if sampler is SGHMC else 0  # a momentum is known from two draws
    known = {draw for draw in range(2, 30) if least <= draw % 10 < 5}
    assert predicted == known
    kept = thin_by_step_size(idata, 1).sample_stats
    assert not kept["explores"].any() and kept.sizes["draw"] > 3
    assert (kept["kept_draw"] % 10 >= 5).all()
