"""What a chain measures of its own bias: against closed forms, and what it says about it."""

import logging
import pickle
import re

import arviz as az
import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLD, SGLDWarning, compare
from pymc_sgld.batching.epochs import Reshuffle, WithReplacement
from pymc_sgld.batching.order import independent
from pymc_sgld.chain.coupled import CoupledBias, CoupledDifference, coupled_draws
from pymc_sgld.chain.judge import Judge
from pymc_sgld.chain.noise_monitor import READ, NoiseMonitor, Reading
from pymc_sgld.diagnostics.stored import StoredStats, untrusted_chains
from pymc_sgld.dynamics import INTEGRATORS
from pymc_sgld.dynamics.gaussian_law import GaussianLaw
from pymc_sgld.messages import CHAIN, RUN, LastWords, Message, Reason
from pymc_sgld.minibatch.position import moved
from tests.graphs import QUICK, TEXTBOOK
from tests.models import ROWS, gaussian_mean

SIZE = 4
_rng = np.random.default_rng(8)
_root = _rng.normal(size=(SIZE, SIZE))
PRECISION = _root @ _root.T + np.eye(SIZE)
M = np.linalg.inv(PRECISION)
V = 6 * PRECISION @ np.diag([1.0, 0.1, 0.1, 0.1]) @ PRECISION
DRAWS, UPDATES = 400, 20
EULER, AVERAGED = INTEGRATORS["euler_maruyama"], INTEGRATORS["leimkuhler_matthews"]


def chain(step_size, dynamics, share=1.0, seed=1, size=SIZE, precision=PRECISION, noise=V):
    """Run SGLD on a Gaussian with independent gradient noise; give each draw to a monitor."""
    rng = np.random.default_rng(seed)
    covariance = np.linalg.inv(precision)
    roots = np.linalg.cholesky(covariance), np.linalg.cholesky(noise)
    monitor, readings, positions = NoiseMonitor(dynamics, 1.0, share, True), [], []
    position, previous = roots[0] @ rng.normal(size=size), rng.normal(size=size)
    for _ in range(DRAWS):
        gradients = np.empty((UPDATES, size))
        for k in range(UPDATES):
            gradients[k] = -precision @ position + roots[1] @ rng.normal(size=size)
            fresh = rng.normal(size=size)
            z = (fresh + previous) / 2 if dynamics.is_exact else fresh
            previous = fresh
            drift = step_size / 2 * covariance @ gradients[k]
            position = position + drift + np.sqrt(step_size) * roots[0] @ z
            positions.append(position)
        readings.append(
            monitor.read(np.full(UPDATES, step_size), gradients, gradients @ covariance)
        )
    return readings, np.array(positions)


def within(values, expected, bound=5):
    """Whether a mean is the expected one, by its Monte-Carlo error."""
    error = az.mcse(np.asarray(values)[None])
    return abs(np.mean(values) - expected) < bound * error


def within_chains(values, expected, bound=6):
    return abs(values.mean() - expected) < bound * az.mcse(values)


@pytest.mark.parametrize("dynamics", [EULER, AVERAGED])
def test_readings_of_a_gaussian(dynamics):
    """Design formulas: the trace for all directions, the threshold for the worst, and each one."""
    step_size = 0.05
    readings, positions = chain(step_size, dynamics)
    noise = step_size / 4 * M @ V @ M
    left = 1 - step_size / 2
    # what the injected noise moves, in half a squared difference
    moved = step_size / 4 * (1 - left) * (0.5 if dynamics.is_exact else 1)
    added = np.trace(noise @ PRECISION) / SIZE
    # E of the squared gradient is that of the stationary law, which has all of the inflation
    own = step_size / 4 / (1 - step_size / 4) * (1 + added)
    found = [r.inflation for r in readings]
    assert within(found, 1 + added + (moved if dynamics.is_exact else own), 6)
    root = np.linalg.cholesky(M)
    threshold = step_size / 4 * np.linalg.eigvalsh(root.T @ V @ root)[-1]
    late = [r.threshold for r in readings[50:]]
    assert within(late, threshold + moved, 6)
    for i in range(SIZE):
        assert within([r.noise[i] for r in readings], noise[i, i] + moved * M[i, i], 6)
    # and it is what the chain did, up to second order in the step
    measured = np.trace(positions.T @ positions / len(positions) @ PRECISION) / SIZE
    assert abs(measured - np.mean(found)) < 0.12


def test_reading_that_forgets_to_halve_is_caught():
    """What the test above is for: differences of gradients have twice the noise."""
    noise = 0.05 / 4 * M @ V @ M
    found = [r.inflation for r in chain(0.05, AVERAGED, share=2.0)[0]]
    assert not within(found, 1 + np.trace(noise @ PRECISION) / SIZE + 0.05**2 / 16, 6)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_readings_are_relative_to_the_temperature(temperature):
    gradients = _rng.normal(size=(5, 3))
    one = NoiseMonitor(EULER, 1.0, 1.0, False).read(np.full(5, 0.1), gradients, gradients)
    other = NoiseMonitor(EULER, temperature, 1.0, False).read(np.full(5, 0.1), gradients, gradients)
    np.testing.assert_allclose((other.inflation - 1) * temperature, one.inflation - 1)
    np.testing.assert_allclose(other.noise * temperature, one.noise)
    np.testing.assert_allclose(other.threshold, one.threshold)  # has no temperature in it
    optimiser = NoiseMonitor(EULER, 0.0, 1.0, False).read(np.full(5, 0.1), gradients, gradients)
    assert np.isnan(optimiser.inflation)


@pytest.mark.parametrize("batches", [4, 10, 100])
@pytest.mark.parametrize("rate", [0.15, 0.01])
def test_what_reshuffling_leaves_of_the_noise(batches, rate):
    """A linear chain with noise that sums to zero in an epoch, simulated."""
    rng = np.random.default_rng(batches)
    noise = rng.normal(size=(200, 400_000 // (200 * batches), batches))
    noise = (noise - noise.mean(axis=2, keepdims=True)) * np.sqrt(batches / (batches - 1))
    position, squares = np.zeros(200), []
    for column in noise.reshape(200, -1).T:
        position = (1 - rate) * position + column
        squares.append(position**2)
    late = np.array(squares[len(squares) // 5 :]).mean(axis=0)
    expected = Reshuffle(batches * 8, 8).accumulated(np.array([1 - rate]))[0, 0]
    assert abs(late.mean() - expected) < 5 * late.std() / np.sqrt(200)
    assert expected < independent(np.array([1 - rate]))[0, 0]


def test_limits_of_what_reshuffling_leaves():
    left = np.array([0.9, 0.99])
    long = Reshuffle(10**8, 10).accumulated(left)
    np.testing.assert_allclose(long, independent(left), rtol=1e-4)
    np.testing.assert_allclose(WithReplacement(100, 10).accumulated(left), independent(left))
    slow = [Reshuffle(100, 10).accumulated(np.array([1 - r]))[0, 0] for r in (1.1e-4, 0.9e-4)]
    np.testing.assert_allclose(slow[0], slow[1], rtol=1e-3)  # where the formula changes


def coupled_bias(mean_of, steps, order, seed=0, draws=2000, correlation=0.3, coupling=0.98):
    """Give a coupled difference pairs of normal draws with a bias of that order in the step."""
    rng = np.random.default_rng(seed)
    coupled = CoupledDifference(1, coupled_draws(draws), order)
    z, other = rng.normal(size=2)
    for _ in range(coupled.length):
        z = correlation * z + np.sqrt(1 - correlation**2) * rng.normal()
        other = correlation * other + np.sqrt(1 - correlation**2) * rng.normal()
        pair = []
        near = coupling * z + np.sqrt(1 - coupling**2) * other
        for step, at in zip(steps, (z, near), strict=True):
            shift, inflation = mean_of(step)
            pair.append(np.array([shift + np.sqrt(1 + inflation) * at]))
        coupled.compare(*pair)
    return coupled.bias()


@pytest.mark.parametrize("order", [1, 2])
def test_coupled_bias_known_biases(order):
    def of(step):
        return 0.4 * step**order, 0.3 * step**order

    bias = coupled_bias(of, (1.0, 0.5), order)
    sd = np.sqrt(1.3)
    assert abs(bias.shift[0] - 0.4 / sd) < 5 * bias.shift_error[0]
    assert abs(bias.inflation[0] - 0.3 / 1.3) < 5 * bias.inflation_error[0]
    assert bias.shift_error[0] < 0.05  # far less than that of 400 independent draws of each


def judge(size=1, variances=None, dynamics=AVERAGED, target=0.05):
    names = [f"beta[{i}]" for i in range(size)]
    law = None if variances is None else GaussianLaw.of_one_rate(dynamics, independent)
    return Judge(names, names, target, variances, True, law)


@pytest.mark.parametrize(
    ("correlation", "coupling", "most"), [(0.3, 0.98, 5), (0.9, 0.98, 5), (0.9, 0.5, 20)]
)
def test_false_alarms_of_the_coupled_difference(correlation, coupling, most):
    """No bias, a thousand runs: the level is one in a thousand; few more with hardly ten draws."""
    assert false_alarms(correlation, coupling) <= most


def false_alarms(correlation, coupling):
    alarms = 0
    for seed in range(1000):
        bias = coupled_bias(lambda _: (0.0, 0.0), (1.0, 0.5), 1, seed, 300, correlation, coupling)
        alarms += bool(judge().messages(Reading.none(1), bias, 0.1))
    return alarms


@pytest.mark.parametrize(("coupling", "most"), [(0.98, 5), (0.5, 20)])
def test_groups_taken_as_independent_are_caught(monkeypatch, coupling, most):
    def independent_groups(groups):
        return groups.std(axis=1, ddof=1) / np.sqrt(groups.shape[1])

    monkeypatch.setattr("pymc_sgld.chain.coupled._errors_of_means", independent_groups)
    assert false_alarms(0.9, coupling) > most


def test_contrast_says_what_is_off():
    def shifted(step):
        return 0.5 * step, 0.0

    def wide(step):
        return 0.0, 1.0 * step

    for of, expected in ((shifted, r"mean of beta\[0\] is about \+0\.\d\d"), (wide, "too large")):
        [message] = judge().messages(Reading.none(1), coupled_bias(of, (1.0, 0.5), 1), 0.1)
        assert re.search(expected, message.text) and "smaller step_size (now 0.1)" in message.text


def test_short_chains_have_no_contrast():
    assert [coupled_draws(draws) for draws in (30, 60, 200, 1000)] == [0, 60, 100, 200]
    assert CoupledDifference(3, 0, 1).bias() is None


def test_findings_are_those_of_the_parameter_that_is_off_beyond_doubt():
    """Not of the largest estimate, where its error is as large."""
    shift, inflation = np.array([0.5, -0.3, 0.1]), np.array([0.1, 0.9, 0.21])
    errors = np.array([0.4, 0.01, 0.01]), np.array([0.02, 2.0, 0.01])
    bias = CoupledBias(shift, errors[0], inflation, errors[1])
    some = judge(3, np.ones(3))
    little = Reading(10, 1.0, 0.0, np.full(3, 0.02))
    found = some.findings(little, bias, 0.01)
    assert (found.mean_shift, found.mean_shift_error) == (-0.3, 0.01)
    np.testing.assert_allclose(found[2:], [1.1, 0.01 / 2.2])
    # gradient noise is worse, and has no error
    much = some.findings(Reading(10, 1.0, 0.0, np.array([0.02, 0.5, 0.1])), bias, 0.01)
    assert much.mean_shift == -0.3 and np.isnan(much.sd_ratio_error)
    np.testing.assert_allclose(much.sd_ratio, np.sqrt(1.5), rtol=0.01)
    assert np.isnan(some.findings(little, None, 0.01).mean_shift)


def test_worst_parameter_is_named():
    reading = Reading(10, 1.0, 0.0, np.array([0.02, 0.5, 0.1]))
    variances = np.array([1.0, 1.0, 2.0])
    [message] = judge(3, variances).messages(reading, None, 0.01)
    assert "beta[1] is about 22 % too large" in message.text and "sd_ratio 1.22" in message.text
    assert not judge(3, variances, target=0.3).messages(reading, None, 0.01)
    [euler] = judge(3, variances, EULER).messages(reading, None, 0.4)
    assert "sd_ratio 1.27" in euler.text  # and sqrt(1 / (1 - 0.4 / 4))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["a larger batch_size", 'gradient="taylor"']),
        ({"gradient": "minibatch"}, ["a larger batch_size", 'gradient="control_variate"']),
        ({"gradient": "taylor"}, ["a larger batch_size"]),
        ({"batch_size": ROWS}, []),
    ],
)
def test_remedies_against_noise_are_those_that_are_left(settings, expected):
    step = SGLD(
        model=gaussian_mean(),
        compile_kwargs={"mode": "FAST_COMPILE"},
        **{"batch_size": 50, "step_size": 0.1} | settings,
    )
    assert step._transition.verdict.judge.gentler == expected


@pytest.fixture(scope="module")
def biased():
    """The closed form with an inflation of four, which R-hat does not see."""
    with gaussian_mean() as model:
        step = SGLD(
            batch_size=50,
            step_size=5e-4,
            batching="with_replacement",
            steps_per_draw=10,
            **TEXTBOOK,
        )
        logger = logging.getLogger("pymc")
        level, records = logger.level, []
        logger.setLevel(logging.INFO)  # without it nothing says that a run is over
        handler = logging.Handler()
        handler.emit = lambda record: records.append(record.getMessage())
        logger.addHandler(handler)
        idata = pm.sample(
            draws=600, tune=50, chains=2, cores=1, step=step, random_seed=1, progressbar=False
        )
        logger.removeHandler(handler)
        logger.setLevel(level)
    return (model, step), idata, records


def test_stats_are_the_closed_form(biased):
    """The stationary law of design: 1 + (ε/4) E ĝ² is exact, and the threshold ε V / 4."""
    _, idata, _ = biased
    stats, precision, step_size = idata.sample_stats, ROWS + 1 / 25, 5e-4
    noise, move = ROWS**2 / 50, step_size / 2 * (ROWS + 1 / 25)
    ratio = (1 + step_size * noise / 4) / (1 - step_size * precision / 4)
    # the second gradient is at another place than the first
    apart = noise * (1 + (1 + move) ** 2) + move**2 * precision * ratio + step_size * precision**2
    threshold = step_size / 4 * apart / 2
    assert within_chains(stats["sampling_threshold"].to_numpy(), threshold)
    assert abs(threshold / (step_size * noise / 4) - 1) < 2 * move
    found = stats["sd_ratio"].isel(draw=-1).to_numpy()
    error = az.mcse(stats["sampling_threshold"].to_numpy()) * 2  # of one of two chains
    assert (np.abs(found**2 - max(ratio, 1 + threshold)) < 6 * error).all()
    assert np.isnan(stats["sd_ratio"].isel(draw=slice(None, 19))).all()


def test_a_biased_chain_says_so(biased):
    _, idata, records = biased
    untrusted = idata.sample_stats["untrusted"]
    assert (idata.sample_stats["reasons"] == untrusted * Reason.NOISE).all()
    assert (untrusted[:, :19] == 0).all() and (untrusted[:, 19:] == 1).all()
    said = [record for record in records if "too large" in record]
    [line] = said  # for both chains
    assert line.startswith("SGLD, 2 of 2 chains, the worst of them: the standard deviation of")
    assert line.endswith(
        " Pass a smaller step_size (now 0.0005; one is chosen if you leave it out), or a larger "
        'batch_size, or gradient="control_variate".'
    )
    assert "bias_target=0.05" in line and "Sampling 2 chains" in records[records.index(line) + 1]
    with pytest.warns(
        SGLDWarning, match=r"(?s)2 of 2 .* too large \(2 of 2\).*gradient=\"control_variate\""
    ):
        compare(idata, idata)
    assert "warning" not in idata.sample_stats
    assert (idata.sample_stats["bias_target"] == 0.05).all()


def test_chains_speak_once_and_lose_no_word(caplog):
    """Whatever is off in several chains is one line; without the end of a run each is its own."""
    noisy = [Message(Reason.NOISE, size, f"off by {size}") for size in (1.5, 3.0)]
    mean = Message(Reason.MEAN, 2.0, "mean off")
    words = [LastWords.of(each, "b") for each in ([noisy[0], mean], [noisy[1]])]
    words = pickle.loads(pickle.dumps([*words, LastWords.of([mean], "other")]))  # from a worker
    once = [
        "SGLD, 2 of 4 chains, the worst of them: off by 3.0",
        *["SGLD, 1 of 4 chains: mean off"] * 2,
    ]
    caplog.set_level(logging.INFO, logger="pymc")
    for level, expected in ((logging.INFO, once), (logging.WARNING, list(map(str, words)))):
        RUN.setLevel(level)
        caplog.clear()
        RUN.info("Sequential sampling (4 chains in 1 job)")
        for each in words:
            CHAIN.warning(each)
        RUN.info("Sampling 4 chains for 0 tune and 1 draw iterations")
        found = [record.getMessage() for record in caplog.records]
        assert [line for line in found if "ampling" not in line] == expected
    RUN.setLevel(logging.NOTSET)


def test_a_biased_chain_that_is_interrupted_says_so(biased):
    (model, step), _, _ = biased

    def stop(trace, draw):
        if draw.draw_idx == 10 + 50:
            raise KeyboardInterrupt

    with model:
        idata = pm.sample(
            draws=600,
            tune=10,
            chains=1,
            step=step,
            random_seed=1,
            callback=stop,
            compute_convergence_checks=False,
            quiet=True,
        )
    untrusted = idata.sample_stats["untrusted"][0]
    assert 40 < len(untrusted) < 60
    assert (untrusted[:19] == 0).all() and (untrusted[19:] == 1).all()
    assert untrusted_chains(StoredStats.of(idata)) == (1, 1)


def test_the_verdict_so_far_raises_no_false_alarm():
    """An inflation of 1.05, half of what is tolerated: 10 % of the reading after 20 draws."""
    with gaussian_mean():
        step = SGLD(
            batch_size=50, step_size=1e-5, batching="with_replacement", steps_per_draw=10, **QUICK
        )
    step.setup_chain(np.random.default_rng(1), 0, 600)
    point, verdicts = moved({}, step.coordinates, step._transition.origin), []
    for _ in range(200):
        point, [stats] = step.step(point)
        verdicts.append(stats["untrusted"])
    assert not any(verdicts)
    assert 1.03 < step.chain.reading.inflation < 1.07


def test_the_last_verdict_counts():
    untrusted = np.zeros((3, 50), dtype=int)
    untrusted[0, 20:40] = untrusted[1, 40:] = 1
    found = az.from_dict({"sample_stats": {"untrusted": untrusted}})
    assert untrusted_chains(StoredStats.of(found)) == (1, 3)


def test_compare_warns(biased):
    _, idata, _ = biased
    reference = az.from_dict({"posterior": {"theta": _rng.normal(0, 0.03, size=(2, 500))}})
    with pytest.warns(SGLDWarning, match="- idata: 2 of 2 chains were"):
        compare(idata, reference)
    with pytest.warns(SGLDWarning, match="- the reference: "):
        compare(reference, idata)


def test_an_update_that_moves_nothing_does_not_count():
    """One update a draw is read with the gradient after it."""
    gradients = _rng.normal(size=(2, 3))
    steps = np.array([0.1, 0.0])
    one = NoiseMonitor(EULER, 1.0, 1.0, False).read(steps, gradients, gradients)
    np.testing.assert_allclose(one.inflation - 1, 0.1 / 4 * gradients[0] @ gradients[0] / 3)


@pytest.mark.parametrize("dynamics", [EULER, AVERAGED])
def test_of_many_updates_the_last_are_read(dynamics):
    gradients, steps = _rng.normal(size=(100, 3)), np.geomspace(1, 0.1, 100)
    last = slice(-READ, None)
    one = NoiseMonitor(dynamics, 1.0, 1.0, True).read(steps, gradients, 2 * gradients)
    other = NoiseMonitor(dynamics, 1.0, 1.0, True).read(
        steps[last], gradients[last], 2 * gradients[last]
    )
    assert (one.inflation, one.threshold) == (other.inflation, other.threshold)
    np.testing.assert_array_equal(one.noise, other.noise)


def test_shadow_that_fails_is_said():
    [message] = judge().messages(Reading.none(1), None, 0.1, failed=True)
    assert "steps of half the size left the support" in message.text


def test_rows_that_batches_never_read():
    """One row of a level of its own: neither the measurement nor a chain sees its noise."""
    level = np.zeros(400_000, dtype="int8")
    level[123_456] = 1
    outcome = np.random.default_rng(1).normal(size=len(level), loc=1)
    with pm.Model():
        means = pm.Normal("means", 0, 1, shape=2)
        pm.Normal("y", means[level], 1, observed=outcome)
        with pytest.warns(SGLDWarning, match=r"means\[1\] depends on rows so rare"):
            SGLD(batch_size=64, audit=False, compile_kwargs={"mode": "FAST_COMPILE"})


def test_model_without_second_derivatives():
    """A von Mises likelihood: its Bessel function has one derivative in PyTensor."""
    angles = np.random.default_rng(2).vonmises(0.5, 3, 300)
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 1)
        pm.VonMises("y", mu, pm.HalfNormal("kappa", 5), observed=angles)
        step = SGLD(batch_size=32, compile_kwargs={"mode": "FAST_COMPILE"})
    logp, mean = model.compile_logp(mode="FAST_COMPILE"), step._transition.gaussian.mean

    def along(distance):
        return logp(moved({}, step.coordinates, mean + np.array([distance, 0])))

    precision = -(along(0.01) - 2 * along(0) + along(-0.01)) / 0.01**2
    assert abs(step._transition.gaussian.shape.precision[0, 0] / precision - 1) < 0.1


def test_readings_that_overflowed_are_not_trusted():
    reading = Reading(10, np.nan, np.nan, np.array([0.0, np.nan]))
    for variances in (np.ones(2), None):
        [message] = judge(2, variances).messages(reading, None, 0.1)
        assert "too large" in message.text


def test_euler_keeps_its_own_bias_where_reshuffling_cancels_noise():
    """Any preconditioner: what the injected noise adds is not cancelled with that of batches."""
    accumulated = Reshuffle(1000, 100).accumulated
    prediction = GaussianLaw(np.eye(1), np.full((2, 1, 1), 0.1), np.eye(1), EULER, accumulated)
    unmatched = Judge(["a"], ["a"], 0.05, None, True, prediction)
    reading = Reading(10, 1.2, 0.1, np.zeros(1))
    own = 1 / (1 - 0.5 / 4) - 1
    expected = own + 0.1 * prediction.remains(0.5)
    np.testing.assert_allclose(unmatched.added(reading, 0.5), [expected])
    assert prediction.remains(0.5) < 1
