"""From draw to draw: shadows, attempts that fail, what tuning changes, and a restored chain."""

import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLD, NonFiniteError
from pymc_sgld.chain import draw as transition
from pymc_sgld.chain.coupled import TUNING_SHARE, coupled_draws
from pymc_sgld.chain.failures import is_stable
from pymc_sgld.messages import Reason
from pymc_sgld.minibatch.position import moved
from tests.graphs import QUICK
from tests.models import gaussian_mean


@pytest.fixture(scope="module")
def default():
    with gaussian_mean():
        return SGLD(batch_size=50, compile_kwargs={"mode": "FAST_COMPILE"})


def run(step, draws, tune=0, seed=1):
    step.setup_chain(np.random.default_rng(seed), tune, draws)
    point = moved({}, step.coordinates, step._transition.origin)
    out = []
    for _ in range(tune + draws):
        point, [stats] = step.step(point)
        out.append((point, stats))
    return out


def test_restored_in_the_middle_of_a_contrast(default):
    default.setup_chain(np.random.default_rng(1), 0, 300)
    point = moved({}, default.coordinates, default._transition.origin)
    for _ in range(280):
        point, _ = default.step(point)
    state = default.sampling_state
    results = []
    for _ in range(2):
        default.setup_chain(np.random.default_rng(99), 0, 1)  # of another length
        default.sampling_state = state
        at = point
        for _ in range(20):
            at, [stats] = default.step(at)
        results.append((at["theta"], stats["untrusted"], default.chain.coupled.bias().shift))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.isfinite(results[0][2]).all()


@pytest.mark.parametrize("of_rows", [False, True])
def test_a_draw_in_parts_is_the_same_draw(of_rows, default, monkeypatch):
    """Very many coordinates are run in parts: the same numbers and rows, coupled or not."""
    step = default
    if of_rows:  # a control variate cancels them on a Gaussian, and plain noise is not averaged
        with gaussian_mean():
            step = SGLD(gradient="minibatch", preconditioner="laplace", batch_size=50)
    assert step.steps_per_draw > 4
    whole = drawn(step)
    monkeypatch.setattr(transition, "_ENTRIES_OF_A_PART", 1)
    parts_of = step._transition._parts
    assert [part.stop - part.start for part in parts_of(10, 1)] == [2] * 5
    assert [part.stop - part.start for part in parts_of(11, 1)] == [4, 3, 4]
    parts = drawn(step)
    assert np.abs(parts[1]).max() > 0
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


def drawn(step):
    """Return the draws of a chain, the coupled differences, and what it has read."""
    names = "gradient_norm", "rows_seen", "updates", "step_size"
    found = [
        [float(point["theta"]), *[stats[name] for name in names]] for point, stats in run(step, 300)
    ]
    return found, step.chain.coupled._differences, step.chain.coupled.state[0]


def test_an_attempt_that_fails_leaves_the_shadow_where_it_was(default, monkeypatch):
    """Also where its first parts went well."""
    monkeypatch.setattr(transition, "_ENTRIES_OF_A_PART", 1)
    default.setup_chain(np.random.default_rng(4), 300, 10)
    point, states = moved({}, default.coordinates, default._transition.origin), []
    while not (default.chain.is_coupled and default.chain.coupled.state):
        point, _ = default.step(point)
    stable, calls = transition.is_stable, iter([True, False])

    def fails_once(*arguments):
        states.append(default.chain.coupled.state[0])
        return next(calls, stable(*arguments))

    monkeypatch.setattr(transition, "is_stable", fails_once)
    default.step(point)
    before, shifted, again = states[:3]
    assert not np.array_equal(before, shifted)
    np.testing.assert_array_equal(before, again)


def test_tuning_refines_a_step_that_is_too_large(monkeypatch):
    """The noise around the center said less than the chain meets."""
    with gaussian_mean():
        step = SGLD(
            batch_size=50,
            gradient="minibatch",
            batching="with_replacement",
            integrator="leimkuhler_matthews",
        )
    good = step.schedule.step_size
    object.__setattr__(step.schedule, "step_size", 5 * good)
    results = run(step, 20, tune=200)
    stats = [stats for _, stats in results]
    np.testing.assert_allclose(stats[0]["step_size"], 5 * good)
    np.testing.assert_allclose(stats[-1]["step_size"], good, rtol=0.15)
    assert stats[-1]["steps_per_draw"] > 3 * stats[0]["steps_per_draw"]
    assert not stats[-1]["untrusted"]
    assert run(step, 100)[-1][1]["untrusted"]  # without tuning it is only said


@pytest.mark.long
def test_steps_that_fail_while_tuning_become_smaller():
    """A step chosen here is mended; one of the user's own is an error."""
    with pm.Model() as model:
        rate = pm.Exponential("rate", 1)
        pm.Poisson("x", rate, observed=np.full(200, 3))
        step = SGLD()
        own = SGLD(step_size=1e4, **QUICK)
    object.__setattr__(step.schedule, "step_size", 1e4)
    results = run(step, 5, tune=20)
    assert results[-1][1]["step_size"] < 100
    read = results[0][1]["rows_seen"] / results[0][1]["batch_size"]
    assert read > results[0][1]["updates"]  # what failed was read too
    assert np.isfinite(results[-1][0]["rate_log__"])
    own.setup_chain(np.random.default_rng(1), 20, 5)
    with pytest.raises(NonFiniteError, match=r'"rate".*log_exp_m1'):
        point = model.initial_point()
        for _ in range(20):
            point, _ = own.step(point)


@pytest.mark.long
def test_steps_that_fail_after_tuning_lose_no_draws():
    """The draw is repeated with smaller steps, and the chain is not trusted."""
    with pm.Model():
        rate = pm.Exponential("rate", 1)
        pm.Poisson("x", rate, observed=np.full(200, 3))
        step = SGLD(compile_kwargs={"mode": "FAST_COMPILE"})
    good = step.schedule.step_size
    before = run(step, 8, tune=4)
    assert not before[-1][1]["reasons"] & Reason.UNSTABLE
    object.__setattr__(step.schedule, "step_size", 1e4)
    results = run(step, 12)
    assert len(results) == 12
    assert results[-1][1]["step_size"] < 1e3 * good
    assert np.isfinite(results[-1][0]["rate_log__"])
    assert results[-1][1]["reasons"] & Reason.UNSTABLE
    assert "overflowed after tuning" in results[-1][1]["warning"].message


def test_rows_of_the_shadow_are_counted(default):
    """It makes two updates beside each one of the last draws, of tuning as of the others."""
    stats = [stats for _, stats in run(default, 120, tune=60)]
    rows = np.diff([0] + [s["rows_seen"] for s in stats]) / 50
    own = np.diff([0] + [s["updates"] for s in stats])
    shadow = np.zeros(180, dtype=int)
    shadow[:60] = shadow[80:] = 1
    assert (coupled_draws(60, TUNING_SHARE), coupled_draws(120)) == (60, 100)
    np.testing.assert_array_equal(rows, own * (1 + 2 * shadow))


def test_steps_that_swing_out_are_failures():
    """Finite, and on the way to infinity; noise of any size and a far start are not."""
    first, last = np.random.default_rng(8).normal(size=(2, 2)) * 1e3
    assert is_stable(1e-7, (first, first), (last, last))
    assert is_stable(0.3, (first, first), (last / 1e3, last / 1e3))
    swinging = np.array([1.0]), np.array([-1e6])
    assert not is_stable(10.0, (swinging[0], swinging[0]), (swinging[1], swinging[1]))
