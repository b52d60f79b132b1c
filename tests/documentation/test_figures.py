"""The figures of "How SGLD works": every script runs, and what it plots is true."""

import importlib
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytensor
import pytest
from arviz_stats.base.array import array_stats
from pymc.blocking import DictToArrayBijection
from pymc.step_methods.hmc.integration import CpuLeapfrogIntegrator
from pymc.step_methods.hmc.quadpotential import QuadPotentialDiag

from pymc_sgld.dynamics.base import Evaluation
from pymc_sgld.dynamics.euler_maruyama import EulerMaruyama

DOCS = Path(__file__).parents[2] / "docs"
SCRIPTS, PAGES = DOCS / "figures" / "how_it_works", DOCS / "how_it_works"
NAMES = sorted(path.stem for path in PAGES.glob("*.md") if path.stem != "index")
LONG = ("euler_maruyama", "langevin", "sgld")  # that run longer than they compile
STANDARD_ERRORS = 5.0


@pytest.fixture(scope="module")
def scripts():
    """Import a script as Python finds it when it is run, and forget all of them afterwards."""
    names = [path.stem for path in SCRIPTS.glob("[a-z]*.py")]
    assert not set(names) & set(sys.modules)
    sys.path.insert(0, str(SCRIPTS))
    backend, parameters = plt.get_backend(), matplotlib.rcParams.copy()
    plt.switch_backend("Agg")
    yield importlib.import_module
    dict.update(matplotlib.rcParams, parameters)
    plt.switch_backend(backend)
    sys.path.remove(str(SCRIPTS))
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def run(scripts, tmp_path_factory):
    """Return a function that runs a script and returns its module and what it found and wrote."""
    folder, done = tmp_path_factory.mktemp("figures"), {}

    def run(name, capsys):
        if name not in done:
            module, path = scripts(name), folder / f"{name}.svg"
            mode = "NUMBA" if name in LONG else "FAST_COMPILE"
            with pytensor.config.change_flags(mode=mode):
                found = module.main(path)
            printed = capsys.readouterr().out
            done[name] = SimpleNamespace(module=module, found=found, path=path, printed=printed)
        return done[name]

    return run


@pytest.fixture
def figure(request, run, capsys):
    return run(request.param, capsys)


def of(*names):
    return pytest.mark.parametrize("figure", names, indirect=True)


def check_mean(values, expected):
    """Compare the mean of draws, shape (chain, draw), with theory, in Monte-Carlo errors."""
    assert array_stats.ess(values, method="mean") > 100
    error = array_stats.mcse(values)
    assert abs(values.mean() - expected) < STANDARD_ERRORS * error


def check_independent(values, expected):
    """Compare the mean of values that are independent of each other with theory."""
    error = values.std(ddof=1) / np.sqrt(len(values))
    assert abs(values.mean() - expected) < STANDARD_ERRORS * error


@of(*NAMES)
def test_the_page_shows_the_figure_its_script_and_what_it_prints(figure):
    name = figure.path.stem
    page = (PAGES / f"{name}.md").read_text()
    assert f"(../figures/how_it_works/{name}.svg)" in page
    assert f"../figures/how_it_works/{name}.py\n" in page
    assert figure.printed
    assert figure.printed in page
    for path in (figure.path, SCRIPTS / f"{name}.svg"):
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
        assert 10_000 < path.stat().st_size < 80_000


def test_every_page_has_a_figure_that_is_drawn_with_the_others():
    listed = re.findall(r'^    "(\w+)",$', (SCRIPTS / "__main__.py").read_text(), re.MULTILINE)
    assert sorted(listed) == NAMES
    assert sorted(path.stem for path in SCRIPTS.glob("*.svg")) == NAMES


@of("hamiltonian")
def test_the_same_figure_is_the_same_file(figure, tmp_path):
    again = tmp_path / "again.svg"
    figure.module.main(again)
    (found, numbers), (expected, positions) = map(parts, (again, figure.path))
    assert found == expected
    np.testing.assert_allclose(numbers, positions, atol=0.01)  # points


def parts(path):
    """Return the text of a picture without its numbers, and these.

    Processors round the last digit in their own ways, and identifiers are hashes of the numbers.
    """
    text = re.sub(r'((?:id="|href="#|url\(#))[^")]*', r"\1", path.read_text())
    number = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
    return re.split(number, text), np.array(re.findall(number, text), dtype=float)


@of("gradient_descent")
def test_gradient_descent_contracts_by_the_formula(figure):
    """Exact up to rounding of positions, which are of order one: their sd is 0.03."""
    for step, path in figure.found.items():
        np.testing.assert_allclose(path[1:], (1 - step / 2) * path[:-1], atol=1e-11)
    assert [abs(path[-1]) < 8 for path in figure.found.values()] == [True, True, False]


@of("robbins_monro")
def test_a_constant_step_keeps_its_noise(figure):
    """Stationary variance; an N/n of one half of what it should be is seen."""
    theta = figure.found["constant"][None, 50:]
    scaled = 0.4 * figure.module.gradient_noise(10) / 1000.04 / 4
    check_mean(theta**2, scaled / (1 - 0.4 / 4))
    with pytest.raises(AssertionError):
        check_mean(theta**2, 0.5**2 * scaled / (1 - 0.4 / 4))


@of("robbins_monro")
def test_a_decreasing_step_loses_its_noise(figure):
    """The noise of each gradient, from the path: it is that of the batch, and nothing is injected.

    A factor N/n that is 20 % too large is seen.
    """
    module, path = figure.module, figure.found["decreasing"]
    step_sizes = module.SCHEDULES["decreasing"](np.arange(1, len(path)))
    left = 1 - step_sizes * module.PRECISION / 2
    noise = (path[1:] - left * path[:-1]) * module.SD / (step_sizes / 2)
    check_independent(noise, 0)
    check_independent(noise**2, module.gradient_noise(10))
    with pytest.raises(AssertionError):
        check_independent((1.2 * noise) ** 2, module.gradient_noise(10))
    mean, sd = module.theory(module.SCHEDULES["decreasing"])
    assert (abs(path - mean) < STANDARD_ERRORS * sd).all()
    assert sd[-1] < 0.3


@of("metropolis")
def test_metropolis_accepts_as_often_as_theory_says(figure):
    """Proposals that are 50 % too wide are seen."""
    for scale, (_, accepted) in figure.found.items():
        check_mean(accepted[None], figure.module.expected_acceptance(scale))
    with pytest.raises(AssertionError):
        check_mean(figure.found[2.4][1][None], figure.module.expected_acceptance(1.5 * 2.4))


@of("metropolis")
def test_metropolis_samples_the_posterior(figure):
    """A variance of twice that size is seen."""
    chain = figure.found[2.4][0][None]
    check_mean(chain, 0)
    check_mean(chain**2, 1)
    with pytest.raises(AssertionError):
        check_mean(2 * chain**2, 1)


@of("hamiltonian")
def test_leapfrog_keeps_the_energy_to_second_order(figure):
    """The closed form of the error; with the opposite sign of the force the energy explodes."""
    module, errors = figure.module, figure.found["leapfrog"]
    energy = module.START**2 / 2
    assert (errors <= energy * module.TIME_STEPS**2 / 4 * (1 + 1e-9)).all()
    slope = np.polyfit(np.log(module.TIME_STEPS), np.log(errors), 1)[0]
    assert 1.98 < slope < 2.02

    def wrong(state, gradient, s):
        return module.leapfrog(state, lambda theta: -gradient(theta), s)

    assert module.energy_error(module.trajectory(wrong, module.TIME_STEPS[-1])) > 100 * energy


@of("hamiltonian")
def test_the_leapfrog_of_the_page_is_that_of_pymc_and_can_be_reversed(figure):
    module, s, momentum = figure.module, 0.3, 20.0
    model = module.build()
    gradient = model.compile_dlogp(mode="FAST_COMPILE")
    start = {"theta": np.array(module.MEAN + module.SD)}
    state = (float(start["theta"]), momentum)

    def of_theta(theta):
        return float(gradient({"theta": theta})[0])

    theta, p = module.leapfrog(state, of_theta, s)
    both = model.logp_dlogp_function(ravel_inputs=True, mode="FAST_COMPILE")
    both.set_extra_values({})
    integrator = CpuLeapfrogIntegrator(QuadPotentialDiag(np.array([module.M])), both)
    first = integrator.compute_state(DictToArrayBijection.map(start), np.array([momentum]))
    last = integrator.step(s, first)
    np.testing.assert_allclose([theta, p], [last.q.data[0], last.p[0]], rtol=1e-12)
    back = module.leapfrog((theta, -p), of_theta, s)
    np.testing.assert_allclose(back, [state[0], -momentum], rtol=1e-12)


@of("hamiltonian")
def test_the_position_of_one_leapfrog_step_is_a_langevin_update(figure):
    module, s, momentum = figure.module, 0.3, 20.0

    def gradient(theta):
        return module.PRECISION * (module.MEAN - theta)

    theta, _ = module.leapfrog((0.9, momentum), gradient, s)
    noise = module.M**0.5 * (module.M**0.5 * momentum)  # L z, where z = p in units of its sd

    def target(position):
        return Evaluation(gradient(position), module.M * gradient(position))

    (expected,), _ = EulerMaruyama().update((0.9,), target, (noise,), s**2, 1.0)
    np.testing.assert_allclose(theta, expected, rtol=1e-12)


@of("langevin")
def test_langevin_paths_have_the_law_of_the_equation(figure):
    """Variance, and what is left of a distance after a draw.

    The drift of the other convention, the gradient without one half, is seen; so is a noise of
    twice the variance.
    """
    module = figure.module
    paths = figure.found[:, 100:]
    variance = 1 / (1 - module.STEP / 4)
    check_mean(paths, 0)
    check_mean(paths**2, variance)
    with pytest.raises(AssertionError):
        check_mean(2 * paths**2, variance)
    before, after = paths[:, :-1].ravel(), paths[:, 1:].ravel()
    left = (1 - module.STEP / 2) ** module.STEPS_PER_DRAW
    check_independent((after - left * before) * before, 0)
    with pytest.raises(AssertionError):
        check_independent((after - left**2 * before) * before, 0)


@of("euler_maruyama")
def test_the_variance_of_langevin_draws(figure):
    """Euler–Maruyama inflates the variance by the formula, averaged noise does not.

    The two are told apart at large steps.
    """
    for (integrator, step), draws in figure.found.items():
        inflation = 1 / (1 - step / 4) if integrator == "euler_maruyama" else 1
        check_mean(draws, 0)
        check_mean(draws**2, inflation)
        if inflation > 1.5:
            with pytest.raises(AssertionError):
                check_mean(draws**2, 1)


@of("sgld")
def test_gradient_noise_falls_below_injected_noise_at_the_transition(figure):
    """The closed form, and what the chain reads of itself; a reading 10 % off is seen."""
    module, found = figure.module, figure.found
    alpha = found.step_size * module.gradient_noise(10) / 4
    before = found.updates < module.transition()
    assert (alpha[before] > 1).all()
    assert (alpha[~before] < 1).all()
    late = found.step_size * module.PRECISION < 0.02  # a reading is exact for small steps
    assert late.sum() > 1000
    # two of the differences that a reading averages share a gradient, two readings share none
    ratio = (found.threshold / alpha)[late]
    check_independent(ratio, 1)
    with pytest.raises(AssertionError):
        check_independent(1.1 * ratio, 1)
    assert found.threshold[found.updates < module.transition() / 4].mean() > 1
    assert found.threshold[found.updates > module.transition() * 4].mean() < 1


@of("sgld")
def test_draws_after_the_transition_have_the_variance_of_theory(figure):
    """Averages of stretches of equal time, weighted with the step size; long beside a memory.

    A variance that is 2.5 times too large is seen.
    """
    module, found = figure.module, figure.found
    late = found.updates > module.transition()
    step_size = found.step_size[late]
    _, expected = module.weighted_variance(found)
    time = np.cumsum(step_size) * module.PRECISION * module.STEPS_PER_DRAW
    stretch = np.minimum((time / time[-1] * 25).astype(int), 24)
    assert time[-1] / 25 > 15  # units of 1/A: squares forget by half in 0.7
    local = (1 + step_size * module.gradient_noise(10) / 4) / (1 - step_size * module.PRECISION / 4)
    squares = found.distance[late] ** 2 / local
    means = np.array(
        [np.average(squares[stretch == k], weights=step_size[stretch == k]) for k in range(25)]
    )
    check_independent(means, 1)
    with pytest.raises(AssertionError):
        check_independent(2.5 * means, 1)
    assert 1 < expected < 1.5
