"""What every sampler of the package does: PyMC's contract, and what it says of itself."""

import copy
import inspect
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
from arviz_stats.base.array import array_stats
from pymc.sampling.parallel import ParallelSamplingError
from pymc.step_methods.compound import Competence

import pymc_sgld
from pymc_sgld import (
    MALA,
    SGHMC,
    SGLD,
    SGNHT,
    NetworkSGHMC,
    NonFiniteError,
    ReplicaExchange,
    SettingError,
    compare,
    diagnose,
    run_settings,
)
from pymc_sgld.backends import jax_process
from pymc_sgld.compiled.normals import standard_normal
from pymc_sgld.dynamics.base import Evaluation
from tests.graphs import QUICK
from tests.models import gaussian_mean, mixed
from tests.runs import RUN, draws, same

COMPILED = {"compile_kwargs": {"mode": "FAST_COMPILE"}}
SETTINGS = {
    SGLD: {"batch_size": 7, "step_size": 1e-3, "steps_per_draw": 4} | QUICK,
    SGHMC: {"batch_size": 7, "step_size": 0.03, "steps_per_draw": 4, "friction": 2.0} | QUICK,
    SGNHT: {"batch_size": 7, "step_size": 0.03, "steps_per_draw": 4, "friction": 2.0} | QUICK,
    MALA: {"step_size": 1e-3, "steps_per_draw": 4, "preconditioner": "identity"} | COMPILED,
    ReplicaExchange: {"batch_size": 7, "step_size": 1e-3, "steps_per_draw": 4} | QUICK,
}
ROWS = {SGLD: 7, SGHMC: 7, SGNHT: 7, MALA: 60, ReplicaExchange: 7}  # of a batch


def make(sampler, model, **changes):
    """Return a step with settings of the user's own."""
    return sampler(**SETTINGS[sampler] | changes, model=model)


@pytest.fixture(scope="module")
def model():
    return mixed()


@pytest.fixture(scope="module", params=SETTINGS, ids=lambda sampler: sampler.__name__)
def sampler(request):
    return request.param


@pytest.fixture(scope="module")
def step(sampler, model):
    """One compiled step; ``setup_chain`` makes it a fresh one."""
    return make(sampler, model)


# sampling through pm.sample


@pytest.fixture(scope="module")
def sequential(model, step):
    with model:
        return pm.sample(step=step, **RUN)


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.long)])
def test_cores_do_not_change_the_draws(model, step, sequential, context):
    with model:
        parallel = pm.sample(step=step, **RUN | {"cores": 2, "mp_ctx": context})
    assert same(sequential.posterior, parallel.posterior)
    for name in set(step.stats_dtypes_shapes) - {"warning"}:
        assert sequential.sample_stats[name].equals(parallel.sample_stats[name]), name


def test_a_new_process_does_not_change_the_draws(model):
    """It imports all anew, which takes seconds: for one sampler."""
    with model:
        runs = [
            pm.sample(step=make(SGLD, model), **RUN | {"cores": cores, "mp_ctx": "spawn"})
            for cores in (1, 2)
        ]
    assert same(runs[0].posterior, runs[1].posterior)


def test_same_seed_same_draws_on_a_used_instance(model, step, sequential):
    with model:
        again = pm.sample(step=step, **RUN)
        other = pm.sample(step=step, **RUN | {"random_seed": 6})
    assert same(sequential.posterior, again.posterior)
    assert not same(sequential.posterior, other.posterior)
    assert not np.array_equal(sequential.posterior["beta"][0], sequential.posterior["beta"][1])


def test_sample_stats(sampler, sequential):
    stats = sequential.sample_stats
    expected = {
        "step_size": SETTINGS[sampler]["step_size"],
        "batch_size": ROWS[sampler],
        "total_size": 60,
        "steps_per_draw": 4,
        "temperature": 1.0,
    }
    for name, value in expected.items():
        assert stats[name].dims == ("chain", "draw")
        assert (stats[name] == value).all()
    assert (stats["updates"][0] == 4 * np.arange(4, 10)).all()
    read = stats["updates"]
    if sampler is ReplicaExchange:  # chains, and 8 batches for the densities of each
        read = 4 * (read + 8 * read / 4)
    assert (stats["rows_seen"] == ROWS[sampler] * read).all()
    assert (stats["gradient_norm"] > 0).all()
    known = {"step_size", "gradient_norm", "rows_seen", "updates"}
    assert known <= set(sampler.stats_dtypes_shapes)
    if sampler is MALA:
        assert ((stats["acceptance_rate"] > 0.5) & (stats["acceptance_rate"] <= 1)).all()


def test_settings_of_a_run(sampler, sequential, step):
    own = {
        SGLD: {"integrator": "euler_maruyama"},
        SGHMC: {"integrator": "baoab", "friction": 2.0},
        SGNHT: {"integrator": "thermostat", "friction": 2.0},
        MALA: {"integrator": "mala"},
        ReplicaExchange: {"integrator": "euler_maruyama"},
    }
    assert run_settings(sequential) == own[sampler] | {
        "gradient": "minibatch",
        "preconditioner": "identity",
        "batching": "reshuffle",
        "batch_size": ROWS[sampler],
        "total_size": 60,
        "temperature": 1.0,
        "bias_target": 0.05,
        "subtract_noise": 0,
        "integrated_out": 0,
        "setup_seconds": step.setup_seconds,
        "pymc_sgld": pymc_sgld.__version__,
    }
    stats = sequential.sample_stats
    assert [name for name in stats if stats[name].dtype.kind not in "if"] == ["pymc_sgld"]


def test_a_result_of_something_else():
    with pytest.raises(SettingError, match="it has no statistics of SGLD"):
        run_settings(az.from_dict({"posterior": {"x": np.zeros((1, 3))}}))


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


def test_blocked_false(sampler, model):
    with model:
        compound = make(sampler, None, blocked=False)
        result = pm.sample(step=compound, **RUN)
    assert [type(one) for one in compound.methods] == [sampler, sampler]
    assert [[v.name for v in s.vars] for s in compound.methods] == [["beta"], ["sigma_log__"]]
    assert set(result.posterior.data_vars) == {"beta", "sigma", "shift"}


def test_beside_nuts(sampler, model):
    """The stats of both have a dimension for the step methods."""
    with model:
        steps = [
            make(sampler, None, vars=[model["beta"]]),
            pm.NUTS([model["sigma"]], compile_kwargs={"mode": "FAST_COMPILE"}),
        ]
        result = pm.sample(step=steps, **RUN)
    assert result.sample_stats["step_size"].dims == ("chain", "draw", "step_size_dim_0")
    assert np.ptp(result.posterior["beta"].values) > 0


def test_competence(sampler):
    assert sampler.competence(None, True) == Competence.INCOMPATIBLE


# the updates


@pytest.mark.parametrize("sampler", [SGHMC, MALA])
def test_updates_are_those_of_the_dynamics(sampler, model):
    """Compiled, on all rows, beside the same update in NumPy with PyMC's density and gradient."""
    root = np.random.default_rng(4).normal(size=(4, 4)) / 3
    M = root @ root.T + 0.3 * np.eye(4)
    settings = {"step_size": 0.02, "steps_per_draw": 5, "temperature": 0.7, "preconditioner": M}
    more = {"batch_size": 60} if sampler is SGHMC else {}
    step = make(sampler, model, **settings, **more)
    point = model.initial_point()
    step.setup_chain(np.random.default_rng(8), 0, 1)
    extra, dynamics = step.chain.extra, step._transition.run.dynamics
    noise = standard_normal(copy.deepcopy(step.rng), (5, 4 + dynamics.scalars), np.dtype(float))
    new, [stats] = step.step(point)

    free = [model["beta"], model["sigma"]]
    gradient = model.compile_dlogp(free, mode="FAST_COMPILE")
    density = model.compile_logp(mode="FAST_COMPILE")

    class Target:
        def at(self, position):
            return point | {"beta": position[:3], "sigma_log__": position[3]}

        def __call__(self, position):
            found = gradient(self.at(position))
            return Evaluation(found, M @ found)

        def log_density(self, position):
            return density(self.at(position))

    target = Target()
    position = np.append(point["beta"], point["sigma_log__"])
    state = dynamics.refresh((position, *extra), target)
    for z in noise:
        taken = (np.linalg.cholesky(M) @ z[:4], *z[4:])
        state, found = dynamics.update(state, target, taken, 0.02, 0.7)
    np.testing.assert_allclose(np.append(new["beta"], new["sigma_log__"]), state[0], rtol=1e-9)
    np.testing.assert_allclose(stats["gradient_norm"], np.linalg.norm(found.gradient), rtol=1e-9)
    if sampler is MALA:
        np.testing.assert_allclose(stats["acceptance_rate"], state[4] / 5, rtol=1e-9)
        assert stats["acceptance_rate"] < 1


@pytest.mark.parametrize("sampler", [SGLD, SGHMC])  # an accept step has no chance there
def test_zero_temperature_is_gradient_ascent(sampler):
    data = np.random.default_rng(2).normal(3, 1, size=50)
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 5)
        pm.Normal("x", mean, 1, observed=data)
        step_size = 0.02 if sampler is SGLD else 0.15
        more = {"friction": 5.0} if sampler is SGHMC else {}
        step = sampler(
            batch_size=50, step_size=step_size, temperature=0, steps_per_draw=60, **more, **QUICK
        )
    point = draws(step, model.initial_point(), 1)[-1][0]
    np.testing.assert_allclose(point["mean"], data.sum() / (50 + 1 / 25), rtol=1e-6)


def test_another_step_moves_a_variable(sampler, model, step):
    """The gradient is that at the current value of a variable of another sampler."""
    more = {} if sampler is MALA else {"batch_size": 60}
    of_all_rows = SGHMC if sampler is SGNHT else sampler  # which refuses them
    full = make(of_all_rows, model, step_size=1e-18, steps_per_draw=1, **more)
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


@pytest.mark.parametrize(
    ("sampler", "batching"),
    [
        (SGLD, {"batching": "reshuffle"}),
        (SGLD, {"batching": "with_replacement"}),
        (SGLD, {"batching": "without_replacement"}),
        (SGHMC, {"batching": "reshuffle"}),
        (MALA, {}),
        (ReplicaExchange, {}),
    ],
)
def test_restored_state_replays(sampler, batching, model):
    step = make(sampler, model, steps_per_draw=5, **batching)
    point = draws(step, model.initial_point(), 3)[-1][0]
    state = step.sampling_state
    first, _ = step.step(point)
    step.step(first)
    step.setup_chain(np.random.default_rng(99), 0, 1)
    step.sampling_state = pickle.loads(pickle.dumps(state))
    again, _ = step.step(point)
    assert same(first, again)
    step.sampling_state = state
    other = make(sampler, model, steps_per_draw=5, **batching)
    other.sampling_state = state
    assert same(first, other.step(point)[0])


@pytest.mark.parametrize(
    ("sampler", "setting"),
    [
        (SGLD, {"batch_size": 8}),
        (SGLD, {"temperature": 0}),
        (SGLD, {"preconditioner": np.ones(4)}),
        (SGHMC, {"friction": 1.0}),
        (MALA, {"temperature": 0.5}),
        (ReplicaExchange, {"temperatures": (1, 3)}),
    ],
)
def test_state_of_other_settings_is_refused(sampler, setting, model):
    other = make(sampler, model, **setting)
    with pytest.raises(ValueError, match=next(iter(setting))):
        other.sampling_state = make(sampler, model).sampling_state


def test_pickle_replays(model, step):
    point = draws(step, model.initial_point(), 2)[-1][0]
    copied = cloudpickle.loads(cloudpickle.dumps(step))
    assert same(step.step(point)[0], copied.step(point)[0])


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


def last_point(sampler, mode, **changes):
    model = mixed()
    step = make(sampler, model, compile_kwargs={"mode": mode}, **changes)
    return draws(step, model.initial_point(), 3)[-1][0]


def last_default_point(mode):
    """Give the last draw of a step that chooses for itself, and tunes."""
    model = mixed()
    step = SGLD(batch_size=7, steps_per_draw=4, model=model, compile_kwargs={"mode": mode})
    return draws(step, model.initial_point(), 3, tune=100)[-1][0]


@pytest.mark.long
def test_backends_agree():
    """The same random numbers go into every backend: the same draws come out, up to rounding."""
    quick = "FAST_COMPILE"
    points = {(sampler, quick): last_point(sampler, quick) for sampler in SETTINGS}
    points[SGLD, "NUMBA"] = last_point(SGLD, "NUMBA")
    saga = [last_point(SGLD, mode, gradient="saga") for mode in (quick, "NUMBA")]
    default = last_default_point("FAST_COMPILE")
    spawn = multiprocessing.get_context("spawn")  # JAX starts threads: no fork after it
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        for sampler in SETTINGS:
            points[sampler, "JAX"] = pool.submit(last_point, sampler, "JAX").result()
        saga.append(pool.submit(last_point, SGLD, "JAX", gradient="saga").result())
        on_jax = pool.submit(last_default_point, "JAX").result()
    for (sampler, _), point in points.items():
        for name, value in points[sampler, "FAST_COMPILE"].items():
            np.testing.assert_allclose(point[name], value, rtol=1e-9)
    for name, value in saga[0].items():
        np.testing.assert_allclose([point[name] for point in saga[1:]], [value] * 2, rtol=1e-9)
    for name, value in default.items():
        np.testing.assert_allclose(on_jax[name], value, rtol=1e-6)


@pytest.mark.long
def test_numba_agrees(sampler):
    for name, value in last_point(sampler, "FAST_COMPILE").items():
        np.testing.assert_allclose(last_point(sampler, "NUMBA")[name], value, rtol=1e-9)


@pytest.mark.long
def test_the_backend_of_c_agrees(sampler, monkeypatch):
    """In a process that finds the compiler."""
    monkeypatch.setenv("PYTENSOR_FLAGS", os.environ["PYTENSOR_FLAGS"].removesuffix("cxx="))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        by_c, compiler = pool.submit(last_point, sampler, "CVM"), pool.submit(c_compiler)
        assert compiler.result()
    for name, value in last_point(sampler, "FAST_COMPILE").items():
        np.testing.assert_allclose(by_c.result()[name], value, rtol=1e-9)


def c_compiler():
    return pytensor.config.cxx


def test_forked_jax_is_refused(sampler, model, monkeypatch):
    """It would hang: the check runs where a chain starts, in the worker."""
    step = make(sampler, model)
    step._transition.run.static = True
    monkeypatch.setattr(jax_process, "_begun", os.getpid())
    step.setup_chain(np.random.default_rng(1), 0, 1)
    monkeypatch.setattr("os.getpid", lambda: -1)
    with pytest.raises(SettingError, match="forkserver"):
        step.setup_chain(np.random.default_rng(1), 0, 1)


# what goes wrong while sampling


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # PyMC's pipes
@pytest.mark.parametrize(
    ("sampler", "cores"), [(SGLD, 1), (SGLD, 2), (SGHMC, 1)]
)  # MALA stays where it is: see below
def test_non_finite(sampler, cores, model):
    with model:
        step = make(sampler, None, vars=[model["beta"], model["sigma"]], step_size=50.0)
        with pytest.raises((NonFiniteError, ParallelSamplingError)) as caught:
            pm.sample(step=step, **RUN | {"cores": cores, "mp_ctx": "fork"})
    message = str(caught.value)
    assert f"{sampler.__name__}: " in message
    assert '"beta"' in message or '"sigma"' in message  # or both: the first is named
    assert "update" in message and "step_size=50" in message
    assert "smaller step_size" in message and "preconditioner" in message


def test_a_start_that_is_not_finite(sampler, model, step):
    point = model.initial_point() | {"beta": np.array([0, np.nan, 0])}
    step.setup_chain(np.random.default_rng(1), 5, 1)
    expected = f'{sampler.__name__}: "beta" is not finite where a draw starts'
    with pytest.raises(NonFiniteError, match=expected):
        step.step(point)


# what they say of themselves


def test_repr(sampler, step):
    assert repr(step).startswith(
        f"{sampler.__name__}(vars=[beta, sigma], batch_size={ROWS[sampler]} of 60 rows, "
        "step_size=const"
    )
    assert ("friction=2.0" in repr(step)) == (sampler in (SGHMC, SGNHT))


def test_coordinate_names(step):
    assert step.coordinate_names == ["beta[0]", "beta[1]", "beta[2]", "sigma"]


def test_arguments_are_seen_by_help():
    shared = {"step_size", "preconditioner", "temperature", "steps_per_draw", "center", "settings"}
    of_batches = {"batch_size", "gradient", "batching", "bias_target"}
    for sampler, has, has_not in [
        (SGHMC, shared | of_batches | {"friction"}, {"integrator"}),
        (MALA, shared, of_batches | {"integrator", "friction"}),
    ]:
        parameters = inspect.signature(sampler).parameters
        assert has <= parameters.keys() and not has_not & parameters.keys()
        assert not any(each.kind == each.VAR_KEYWORD for each in parameters.values())


@pytest.mark.parametrize(
    ("sampler", "arguments", "message"),
    [
        (SGHMC, {"friction": 0}, "friction=0 must be a finite number above zero"),
        (SGHMC, {"friction": -1.0}, "friction=-1.0 must be a finite number above zero"),
        (SGHMC, {"friction": np.nan}, "friction=nan must be a finite number"),
        (SGHMC, {"friction": "much"}, "friction='much' must be a finite number"),
        (SGHMC, {"integrator": "baoab"}, "SGHMC has no integrator: .* Leave it out, or use SGLD"),
        (NetworkSGHMC, {"step_size": 0.1}, r"or use SGHMC\(step_size"),
        (NetworkSGHMC, {"integrator": "baoab"}, r"or use SGLD\(integrator"),
        (MALA, {"batch_size": 7}, "MALA has no batch_size: it reads all rows at every update"),
        (MALA, {"gradient": "taylor"}, "MALA has no gradient"),
        (MALA, {"batching": "reshuffle"}, "MALA has no batching"),
        (MALA, {"integrator": "mala"}, "MALA has no integrator"),
        (MALA, {"bias_target": 0.1}, "MALA has no bias_target: its accept step leaves no bias"),
        (ReplicaExchange, {"temperatures": 4}, "temperatures=4 must be two numbers or more"),
        (ReplicaExchange, {"temperatures": (1,)}, "must be two numbers or more"),
        (ReplicaExchange, {"temperatures": (2, 4)}, "and the first 1: its draws are kept"),
        (ReplicaExchange, {"temperatures": (1, 4, 3)}, "each above the one before"),
        (ReplicaExchange, {"temperature": 2}, "has no temperature: it has temperatures"),
        (MALA, {"temperature": 0}, "temperature=0 cannot be used with an accept step: use SGLD"),
        (MALA, {"temperature": "hot"}, "temperature='hot' must be a number"),
    ],
)
def test_bad_settings(sampler, arguments, message, model):
    with pytest.raises(SettingError, match=message):
        sampler(**arguments, model=model)


def test_an_unknown_argument(sampler, model):
    """The error names the class that was called."""
    with pytest.raises(TypeError, match=rf"{sampler.__name__}.*'stepsize'"):
        sampler(stepsize=0.1, model=model)


# runs with what they choose themselves, on a posterior that is known


@pytest.fixture(scope="module", params=[SGHMC, MALA], ids=lambda sampler: sampler.__name__)
def chosen(request):
    """Return a model, and a run of its defaults."""
    model = gaussian_mean()
    with model:
        step = request.param(**COMPILED)
        idata = pm.sample(step=step, **RUN | {"draws": 400, "tune": 60})
    return model, idata


def test_the_law_of_a_run(chosen):
    """The mean of a Gaussian: no gradient noise with a control variate, and no bias."""
    values, precision = chosen[1].posterior["theta"].values, 1000 + 1 / 25
    for draws_of, expected in ((values, 0), (values**2, 1 / precision)):
        assert abs(draws_of.mean() - expected) < 5 * array_stats.mcse(draws_of)
    assert array_stats.ess(values) > 400


def test_nothing_is_said_against_a_good_run(chosen):
    stats = chosen[1].sample_stats
    assert not stats["untrusted"].any() and not stats["reasons"].any()
    last = stats.to_dataset().isel(draw=-1)
    assert (abs(last["sd_ratio"] - 1) < 0.03 + 5 * last["sd_ratio_error"].fillna(0)).all()
    assert stats["sampling_threshold"].mean() < 0.015


def test_a_run_is_compared_and_diagnosed(chosen):
    model, idata = chosen
    exact = np.random.default_rng(6).normal(size=(2, 4000)) / np.sqrt(1000 + 1 / 25)
    table = compare(idata, az.from_dict({"posterior": {"theta": exact}}))
    assert abs(table.loc["theta", "sd_ratio"] - 1) < 0.2
    report = diagnose(idata, model)
    theta = report.table.loc["theta"]
    assert abs(theta["sd_ratio"] - 1) < 5 * theta["sd_ratio_error"] and report.trusted
