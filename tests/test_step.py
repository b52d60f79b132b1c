"""PyMC's contract for a step method."""

import logging
import pickle

import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLD, NonFiniteError, SettingError, SGLDWarning, preconditioners
from pymc_sgld.batching.epochs import ORDERS
from pymc_sgld.dynamics import INTEGRATORS
from pymc_sgld.dynamics.base import Evaluation
from pymc_sgld.gradients import ESTIMATORS
from pymc_sgld.stats import WORDS
from tests.graphs import QUICK
from tests.models import X, mixed, y
from tests.runs import RUN, draws, same


@pytest.fixture(scope="module")
def model():
    return mixed()


@pytest.fixture(scope="module")
def step(model):
    """One compiled step; ``setup_chain`` makes it a fresh one."""
    return SGLD(batch_size=7, step_size=1e-3, steps_per_draw=4, model=model, **QUICK)


# sampling through pm.sample


def test_every_setting_that_is_a_word_has_its_number():
    for name, words in {
        "gradient": ESTIMATORS,
        "batching": ORDERS,
        "integrator": [*INTEGRATORS, "baoab", "mala", "thermostat"],
    }.items():
        assert sorted(WORDS[name]) == sorted(words)
    one = np.ones(1)
    made = [
        preconditioners.Identity(),
        preconditioners.Diagonal(one),
        preconditioners.Dense(one[:, None], one[:, None]),
        preconditioners.LowRank(one, one[:, None], one),
        preconditioners.Adaptive(None, 1, float),
        preconditioners.FisherLowRank(one, one[:, None], one),
    ]
    names = [*preconditioners.LAPLACE, *[each.name for each in made]]
    assert sorted(WORDS["preconditioner"]) == sorted(names)


def test_initvals_var_names_callback(model, step):
    seen = []
    with model:
        result = pm.sample(
            step=step,
            **RUN,
            initvals={"beta": np.full(3, 5.0)},
            var_names=["beta"],
            callback=lambda trace, draw: seen.append((draw.chain, draw.draw_idx)),
        )
    assert list(result.posterior.data_vars) == ["beta"]
    assert (result.posterior["beta"] > 4).all()
    assert len(seen) == 2 * 9


@pytest.mark.parametrize("mode", [True, "combined", "split", "combined+stats", "split+stats"])
def test_progress_bar(model, step, mode, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    with model:
        pm.sample(step=step, **RUN | {"progressbar": mode, "quiet": False, "chains": 1})
    printed = capsys.readouterr().out
    with_stats = mode is True or mode.endswith("stats")
    assert ("Epochs" in printed) == with_stats
    assert ("0.001" in printed) == with_stats


def test_progress_bar_beside_nuts(model, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    with model:
        steps = [
            SGLD([model["beta"]], batch_size=7, step_size=1.25e-6, **QUICK),
            pm.NUTS([model["sigma"]], compile_kwargs={"mode": "FAST_COMPILE"}),
        ]
        result = pm.sample(
            step=steps, **RUN | {"progressbar": "split+stats", "quiet": False, "chains": 1}
        )
    assert "1.25e-06" in capsys.readouterr().out
    assert result.sample_stats["step_size"].dims == ("chain", "draw", "step_size_dim_0")


# the updates


def test_one_update_is_the_formula(model):
    """A full-data draw of one update, written out with PyMC's own gradient."""
    point = model.initial_point()
    M = np.array([[2.0, 0.3, 0, 0], [0.3, 1, 0, 0], [0, 0, 0.5, 0.1], [0, 0, 0.1, 3]])
    for preconditioner, matrix in [
        ("identity", np.eye(4)),
        (np.diag(M), np.diag(np.diag(M))),
        (M, M),
    ]:
        step = SGLD(
            batch_size=60,
            step_size=0.01,
            temperature=0.7,
            steps_per_draw=1,
            model=model,
            **(QUICK | {"preconditioner": preconditioner}),
        )
        step.setup_chain(np.random.default_rng(8), 0, 1)
        row_rng = np.random.default_rng(8)
        row_rng.integers(2**63)
        z = row_rng.standard_normal(4)
        gradient = model.compile_dlogp([model["beta"], model["sigma"]], mode="FAST_COMPILE")(point)
        position = np.append(point["beta"], point["sigma_log__"])
        expected = (
            position
            + 0.005 * matrix @ gradient
            + np.sqrt(0.7 * 0.01) * np.linalg.cholesky(matrix) @ z
        )
        new, [stats] = step.step(point)
        np.testing.assert_allclose(np.append(new["beta"], new["sigma_log__"]), expected, rtol=1e-12)
        np.testing.assert_allclose(stats["gradient_norm"], np.linalg.norm(gradient), rtol=1e-12)
        (moved,), _ = INTEGRATORS["euler_maruyama"].update(
            (position,),
            lambda at, gradient=gradient: Evaluation(gradient, matrix @ gradient),
            (np.linalg.cholesky(matrix) @ z,),
            0.01,
            0.7,
        )
        np.testing.assert_allclose(moved, expected, rtol=1e-12)


def test_unit_preconditioner_is_none(model, step):
    unit = SGLD(
        batch_size=7,
        step_size=1e-3,
        steps_per_draw=4,
        model=model,
        **(QUICK | {"preconditioner": np.ones(4)}),
    )
    point = model.initial_point()
    assert same(draws(step, point, 3)[-1][0], draws(unit, point, 3)[-1][0])


def test_schedule_counts_updates(model):
    calls = []

    def schedule(count):
        calls.append(count)
        return 1e-4 / (1 + count)

    step = SGLD(batch_size=7, step_size=schedule, steps_per_draw=4, model=model, **QUICK)
    calls.clear()
    stats = [s[0]["step_size"] for _, s in draws(step, model.initial_point(), 3)]
    assert np.concatenate(calls).tolist() == 2 * list(range(12))  # checked for the chain, then used
    np.testing.assert_allclose(stats, 1e-4 / np.array([4, 8, 12]))


def test_without_observed_data():
    with pm.Model() as model:
        pm.Normal("x", 0, 1, shape=3)
        pm.Potential("well", pm.math.sum(model["x"] ** 2))
        step = SGLD(step_size=0.1, **QUICK)
    assert "no rows" in repr(step)
    assert draws(step, model.initial_point(), 2)[-1][1][0]["rows_seen"] == 0


# state


def test_changed_data_are_noticed():
    with pm.Model() as model:
        beta = pm.Normal("beta", shape=3)
        pm.Normal("y", pm.Data("X", X) @ beta, 1, observed=y)
        step = SGLD(batch_size=7, step_size=1e-3, **QUICK)
        point = model.initial_point()
        pm.set_data({"X": 2 * X})
        with pytest.raises(SettingError, match='"X" changed'):
            step.step(point)
        with pytest.raises(SettingError, match='"X" changed'):
            pm.sample(step=step, **RUN)


def test_the_same_data_again_go_on():
    with pm.Model() as model:
        pm.Normal("y", pm.Data("X", X) @ pm.Normal("b", shape=3), 1, observed=y)
        step = SGLD(batch_size=7, step_size=1e-3, **QUICK)
        pm.set_data({"X": X.copy()})
        step.setup_chain(np.random.default_rng(1), 0, 1)
        assert step.step(model.initial_point())


@pytest.mark.parametrize(
    ("name", "add"),
    [
        ("more", lambda b: pm.Normal("more", b, 1, observed=y)),
        ("penalty", lambda b: pm.Potential("penalty", -(b**2))),
        ("a", lambda b: pm.Normal("a", b)),
    ],
)
def test_a_term_that_comes_later_is_noticed(name, add):
    with pm.Model() as model:
        b = pm.Normal("b")
        pm.Normal("y", b, 1, observed=y)
        step = SGLD(batch_size=7, step_size=1e-3, **QUICK)
        add(b)
        for use in (step.setup_chain, lambda *_: pickle.dumps(step)):
            with pytest.raises(SettingError, match=rf"^{name} came into the model"):
                use(np.random.default_rng(1), 0, 1)
        with pytest.raises(SettingError, match=rf"^{name} came into the model"):
            step.step(model.initial_point())


@pytest.mark.parametrize("batching", ["reshuffle", "with_replacement"])
def test_arrays_are_kept_as_they_were(batching):
    """Those of a batch, those that are read in full, and the small ones within the graph."""
    rows, scales, centers = y.copy(), 1 + X[:4, 0] ** 2, np.repeat(X[:, 1], 2)
    with pm.Model() as model:
        b = pm.Normal("b", shape=4)
        pm.Normal("a", centers, 1 + b[0] ** 2, shape=120)
        pm.Normal("y", (b * scales).sum(), 1, observed=rows)
        step = SGLD(batch_size=7, step_size=1e-3, batching=batching, **QUICK)
    point, found = model.initial_point(), []
    for array in (None, rows, scales, centers):
        if array is not None:
            array[:] = 1e3
        found += draws(step, point, 1)
    assert all(same(found[0][0], other) for other, _ in found)


# backends


# what goes wrong while sampling


def test_a_density_that_ends_at_a_parameter():
    """Its gradient pushes the chain over the edge, however small the steps are."""
    with pm.Model() as model:
        edge = pm.HalfNormal("edge", 10, initval=1.001)
        pm.Uniform("y", 0, edge, observed=np.linspace(0.001, 1, 60))
        with pytest.warns(SGLDWarning, match="did not settle"):
            step = SGLD(batch_size=7, compile_kwargs={"mode": "FAST_COMPILE"})
        step.setup_chain(np.random.default_rng(1), 100, 1)
        with pytest.raises(NonFiniteError, match=r'density of .*"y".*"edge".*attempts') as caught:
            for _ in range(100):
                step.step(model.initial_point())
        assert "another step method" in str(caught.value)


def test_schedule_that_turns_bad(model):
    """Before the first draw, since the length of the chain is known."""
    step = SGLD(batch_size=7, step_size=lambda count: 1e-3 - 1e-4 * count, model=model, **QUICK)
    with pytest.raises(SettingError, match="update 10"):
        step.setup_chain(np.random.default_rng(1), 0, 2)
    table = np.full(15, 1e-3)
    step = SGLD(batch_size=7, step_size=lambda count: table[count], model=model, **QUICK)
    with pytest.raises(SettingError, match="out of bounds"):
        step.setup_chain(np.random.default_rng(1), 1, 1)


# what it says of itself


def test_quiet_import_of_logging():
    """Nothing of the package logs on its own."""
    assert not [name for name in logging.root.manager.loggerDict if name.startswith("pymc_sgld")]
