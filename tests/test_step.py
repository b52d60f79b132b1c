"""PyMC's contract for a step method."""

import logging
import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import arviz as az
import cloudpickle
import numpy as np
import pymc as pm
import pytensor
import pytest
from pymc.sampling.parallel import ParallelSamplingError
from pymc.step_methods.compound import Competence

import pymc_sgld
from pymc_sgld import SGLD, NonFiniteError, SettingError, SGLDWarning, preconditioners, run_settings
from pymc_sgld.batching.epochs import ORDERS
from pymc_sgld.dynamics import INTEGRATORS
from pymc_sgld.dynamics.base import Evaluation
from pymc_sgld.gradients.estimators import ESTIMATORS
from pymc_sgld.stats import WORDS
from tests.graphs import QUICK, TEXTBOOK
from tests.models import X, mixed, y

RUN = {
    "draws": 6,
    "tune": 3,
    "chains": 2,
    "cores": 1,
    "random_seed": 5,
    "progressbar": False,
    "quiet": True,
    "compute_convergence_checks": False,
}


@pytest.fixture(scope="module")
def model():
    return mixed()


@pytest.fixture(scope="module")
def step(model):
    """One compiled step; ``setup_chain`` makes it a fresh one."""
    return SGLD(batch_size=7, step_size=1e-3, steps_per_draw=4, model=model, **QUICK)


def draws(step, point, count, seed=3):
    step.setup_chain(np.random.default_rng(seed), 0, count)
    out = []
    for _ in range(count):
        point, stats = step.step(point)
        out.append((point, stats))
    return out


def same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in one)


# sampling through pm.sample


@pytest.fixture(scope="module")
def sequential(model, step):
    with model:
        return pm.sample(step=step, **RUN)


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_cores_do_not_change_the_draws(model, step, sequential, context):
    with model:
        parallel = pm.sample(step=step, **RUN | {"cores": 2, "mp_ctx": context})
    assert same(sequential.posterior, parallel.posterior)
    for name in set(SGLD.stats_dtypes_shapes) - {"warning"}:
        assert np.array_equal(sequential.sample_stats[name], parallel.sample_stats[name]), name


def test_same_seed_same_draws_on_a_used_instance(model, step, sequential):
    with model:
        again = pm.sample(step=step, **RUN)
        other = pm.sample(step=step, **RUN | {"random_seed": 6})
    assert same(sequential.posterior, again.posterior)
    assert not same(sequential.posterior, other.posterior)
    assert not np.array_equal(sequential.posterior["beta"][0], sequential.posterior["beta"][1])


def test_sample_stats(sequential):
    stats = sequential.sample_stats
    expected = {
        "step_size": 1e-3,
        "batch_size": 7,
        "total_size": 60,
        "steps_per_draw": 4,
        "temperature": 1.0,
    }
    for name, value in expected.items():
        assert stats[name].dims == ("chain", "draw")
        assert (stats[name] == value).all()
    assert (stats["updates"][0] == 4 * np.arange(4, 10)).all()
    assert (stats["rows_seen"] == 7 * stats["updates"]).all()
    assert (stats["gradient_norm"] > 0).all()
    assert {"step_size", "gradient_norm", "rows_seen", "updates"} <= set(SGLD.stats_dtypes_shapes)


def test_settings_of_a_run(sequential, step):
    assert run_settings(sequential) == {
        "gradient": "minibatch",
        "preconditioner": "identity",
        "batching": "reshuffle",
        "integrator": "euler_maruyama",
        "batch_size": 7,
        "total_size": 60,
        "temperature": 1.0,
        "bias_target": 0.05,
        "setup_seconds": step.setup_seconds,
        "pymc_sgld": pymc_sgld.__version__,
    }
    stats = sequential.sample_stats
    assert [name for name in stats if stats[name].dtype.kind not in "if"] == ["pymc_sgld"]
    with pytest.raises(SettingError, match="it has no statistics of SGLD"):
        run_settings(az.from_dict({"posterior": {"x": np.zeros((1, 3))}}))


def test_every_setting_that_is_a_word_has_its_number():
    for name, words in {
        "gradient": ESTIMATORS,
        "batching": ORDERS,
        "integrator": INTEGRATORS,
    }.items():
        assert sorted(WORDS[name]) == sorted(words)
    one = np.ones(1)
    made = [
        preconditioners.Identity(),
        preconditioners.Diagonal(one),
        preconditioners.Dense(one[:, None], one[:, None]),
        preconditioners.LowRank(one, one[:, None], one),
    ]
    names = [*preconditioners.LAPLACE, *[each.name for each in made]]
    assert sorted(WORDS["preconditioner"]) == sorted(names)


def test_result_survives_a_file(sequential, tmp_path):
    sequential.to_netcdf(tmp_path / "run.nc", engine="h5netcdf")
    with az.from_netcdf(tmp_path / "run.nc", engine="h5netcdf") as read:
        assert same(sequential.posterior, read.posterior)
        assert run_settings(read) == run_settings(sequential)


def test_discard_tuned_samples(model, step, sequential):
    with model:
        everything = pm.sample(step=step, **RUN, discard_tuned_samples=False)
    assert everything.warmup_posterior.sizes["draw"] == 3
    assert (everything.warmup_sample_stats["updates"][0] == [4, 8, 12]).all()
    assert same(sequential.posterior, everything.posterior)


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


def test_blocked_false(model):
    with model:
        compound = SGLD(batch_size=7, step_size=1e-3, blocked=False, **QUICK)
        result = pm.sample(step=compound, **RUN)
    assert [[v.name for v in s.vars] for s in compound.methods] == [["beta"], ["sigma_log__"]]
    assert set(result.posterior.data_vars) == {"beta", "sigma", "shift"}


def test_competence():
    assert SGLD.competence(None, True) == Competence.INCOMPATIBLE


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


def test_zero_temperature_is_gradient_ascent():
    data = np.random.default_rng(2).normal(3, 1, size=50)
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 5)
        pm.Normal("x", mean, 1, observed=data)
        step = SGLD(batch_size=50, step_size=0.02, temperature=0, steps_per_draw=40, **QUICK)
    point = draws(step, model.initial_point(), 1)[-1][0]
    np.testing.assert_allclose(point["mean"], data.sum() / (50 + 1 / 25), rtol=1e-6)


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


def test_another_step_moves_a_variable(model, step):
    """The gradient is that at the current value of a variable of another sampler."""
    full = SGLD(batch_size=60, step_size=1e-9, steps_per_draw=1, model=model, **QUICK)
    gradient = model.compile_dlogp([model["beta"], model["sigma"]], mode="FAST_COMPILE")
    for shift in (0, 30):
        point = model.initial_point() | {"shift": np.array(shift)}
        _, [stats] = full.step(point)
        np.testing.assert_allclose(stats["gradient_norm"], np.linalg.norm(gradient(point)))
        moved, _ = step.step(point)
        assert moved["shift"] == shift


def test_scalars_stay_arrays(model, step):
    point = draws(step, model.initial_point(), 1)[0][0]
    assert all(isinstance(value, np.ndarray) for value in point.values())
    assert point["sigma_log__"].dtype == model.initial_point()["sigma_log__"].dtype


# state


@pytest.mark.parametrize("batching", ["reshuffle", "with_replacement", "without_replacement"])
def test_restored_state_replays(model, batching):
    step = SGLD(
        batch_size=7, step_size=1e-3, steps_per_draw=5, batching=batching, model=model, **QUICK
    )
    point = draws(step, model.initial_point(), 3)[-1][0]
    state = step.sampling_state
    first, _ = step.step(point)
    step.step(first)
    step.setup_chain(np.random.default_rng(99), 0, 1)
    step.sampling_state = pickle.loads(pickle.dumps(state))
    again, _ = step.step(point)
    assert same(first, again)
    step.sampling_state = state
    other = SGLD(
        batch_size=7, step_size=1e-3, steps_per_draw=5, batching=batching, model=model, **QUICK
    )
    other.sampling_state = state
    assert same(first, other.step(point)[0])


@pytest.mark.parametrize(
    "setting", [{"batch_size": 8}, {"temperature": 0}, {"preconditioner": np.ones(4)}]
)
def test_state_of_other_settings_is_refused(model, step, setting):
    settings = {"batch_size": 7, "step_size": 1e-3, "steps_per_draw": 4} | QUICK | setting
    other = SGLD(**settings, model=model)
    with pytest.raises(ValueError, match=next(iter(setting))):
        other.sampling_state = step.sampling_state


def test_pickle_replays(model, step):
    point = draws(step, model.initial_point(), 2)[-1][0]
    copy = cloudpickle.loads(cloudpickle.dumps(step))
    assert same(step.step(point)[0], copy.step(point)[0])


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


def test_a_point_without_its_variables(step):
    with pytest.raises(SettingError, match=r"no values of \['beta', 'sigma_log__', 'shift'\]"):
        step.step({})


def test_a_step_serves_one_thread(model, step):
    """Each would go on with the chain of the other."""
    point = model.initial_point()
    step.setup_chain(np.random.default_rng(1), 0, 9)
    step.step(point)
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(SettingError, match="runs a chain in another thread"):
            pool.submit(step.step, point).result()
        pool.submit(step.setup_chain, np.random.default_rng(1), 0, 9).result()
        pool.submit(step.step, point).result()
        with pytest.raises(SettingError, match="runs a chain in another thread"):
            step.step(point)
    step.step(point)  # that thread has ended


def test_states_are_compared_entry_by_entry(model, step):
    point = model.initial_point()
    draws(step, point, 2)
    state = step.sampling_state
    assert state == step.sampling_state
    step.step(point)
    assert state != step.sampling_state


# backends


def last_point(mode):
    model = mixed()
    kwargs = {"mode": mode}
    step = SGLD(batch_size=7, step_size=1e-3, model=model, compile_kwargs=kwargs, **TEXTBOOK)
    return draws(step, model.initial_point(), 3)[-1][0]


def last_default_point(mode):
    """Give the last draw of a step that chooses for itself, and tunes."""
    model = mixed()
    kwargs = {"mode": mode}
    step = SGLD(batch_size=7, steps_per_draw=4, model=model, compile_kwargs=kwargs)
    step.setup_chain(np.random.default_rng(3), 100, 3)
    point = model.initial_point()
    for _ in range(103):
        point, _ = step.step(point)
    return point


def test_backends_agree():
    """The same random numbers go into every backend: the same draws come out, up to rounding."""
    points = {mode: last_point(mode) for mode in ("NUMBA", "FAST_COMPILE")}
    default = last_default_point("FAST_COMPILE")
    spawn = multiprocessing.get_context("spawn")  # JAX starts threads: no fork after it
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        points["JAX"] = pool.submit(last_point, "JAX").result()
        on_jax = pool.submit(last_default_point, "JAX").result()
    for mode in ("FAST_COMPILE", "JAX"):
        for name, value in points["NUMBA"].items():
            np.testing.assert_allclose(points[mode][name], value, rtol=1e-9)
    for name, value in default.items():
        np.testing.assert_allclose(on_jax[name], value, rtol=1e-6)


@pytest.mark.long
def test_the_backend_of_c_agrees(monkeypatch):
    """In a process that finds the compiler."""
    monkeypatch.setenv("PYTENSOR_FLAGS", os.environ["PYTENSOR_FLAGS"].removesuffix("cxx="))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        by_c, compiler = pool.submit(last_point, "CVM"), pool.submit(c_compiler)
        assert compiler.result()
    for name, value in last_point("FAST_COMPILE").items():
        np.testing.assert_allclose(by_c.result()[name], value, rtol=1e-9)


def c_compiler():
    return pytensor.config.cxx


def test_forked_jax_is_refused(model, monkeypatch):
    """It would hang: the check runs where a chain starts, in the worker."""
    step = SGLD(batch_size=7, step_size=1e-3, model=model, **QUICK)
    step._transition.run.static = True
    step.setup_chain(np.random.default_rng(1), 0, 1)
    monkeypatch.setattr("os.getpid", lambda: -1)
    with pytest.raises(SettingError, match="forkserver"):
        step.setup_chain(np.random.default_rng(1), 0, 1)


# what goes wrong while sampling


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # PyMC's pipes
@pytest.mark.parametrize("cores", [1, 2])
def test_non_finite(model, cores):
    with model:
        step = SGLD([model["beta"], model["sigma"]], batch_size=7, step_size=50.0, **QUICK)
        with pytest.raises((NonFiniteError, ParallelSamplingError)) as caught:
            pm.sample(step=step, **RUN | {"cores": cores, "mp_ctx": "fork"})
    message = str(caught.value)
    assert '"beta"' in message and "update" in message and "step_size=50" in message
    assert "smaller step_size" in message and "preconditioner" in message


def test_a_start_that_is_not_finite(model, step):
    point = model.initial_point() | {"beta": np.array([0, np.nan, 0])}
    step.setup_chain(np.random.default_rng(1), 5, 1)
    with pytest.raises(NonFiniteError, match='"beta" is not finite where a draw starts'):
        step.step(point)


def test_a_density_that_ends_at_a_parameter():
    """Its gradient pushes the chain over the edge, however small the steps are."""
    with pm.Model() as model:
        edge = pm.HalfNormal("edge", 10, initval=1.001)
        pm.Uniform("y", 0, edge, observed=np.linspace(0.001, 1, 60))
        with pytest.warns(SGLDWarning, match="did not settle"):
            step = SGLD(batch_size=7, compile_kwargs={"mode": "FAST_COMPILE"})
        step.setup_chain(np.random.default_rng(1), 100, 1)
        with pytest.raises(NonFiniteError, match=r'density of .*"y".*"edge".*not help') as caught:
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


def test_repr(step):
    assert repr(step).startswith(
        "SGLD(vars=[beta, sigma], batch_size=7 of 60 rows, step_size=const"
    )


def test_coordinate_names(step):
    assert step.coordinate_names == ["beta[0]", "beta[1]", "beta[2]", "sigma"]


def test_quiet_import_of_logging():
    """Nothing of the package logs on its own."""
    assert not [name for name in logging.root.manager.loggerDict if name.startswith("pymc_sgld")]
