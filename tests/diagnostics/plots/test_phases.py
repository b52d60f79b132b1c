"""`plot_phases`: the two variances, the transition, and what it says where there is none."""

import sys

import arviz as az
import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLD, SettingError, plot_phases, schedules

pytestmark = pytest.mark.usefixtures("figures_without_a_screen")

NOISE = 4000.0  # alpha = NOISE * step size
UPDATES = np.arange(10, 4001, 10)  # of the draws
POLYNOMIAL = schedules.polynomial(a=0.01, b=20, gamma=0.6)


def run(schedule, noise=NOISE, chains=2, **stats):
    """Return a run whose readings have no noise; ``stats`` replace what it stored."""
    step_size = np.tile(schedule(UPDATES - 1), (chains, 1))
    stored = {
        "step_size": step_size,
        "sampling_threshold": noise * step_size,
        "updates": np.tile(UPDATES, (chains, 1)),
        "rows_seen": np.tile(UPDATES, (chains, 1)),
    } | stats
    return az.from_dict({"posterior": {"mu": 0 * step_size}, "sample_stats": stored})


def lines(collection, noise=slice(None)):
    """Return the lines of one kind of noise, a chain each; an empty list if none was drawn."""
    drawn = collection.viz["variance/variance"].isel(noise=noise).to_numpy().ravel()
    return [line for line in drawn if line is not None]


def title(collection):
    return collection.get_viz("figure_title").get_text()


def dotted(collection):
    """Return where the dotted lines stand."""
    axes = collection.get_viz("plot")
    return [line.get_xdata()[0] for line in axes.get_lines() if line.get_linestyle() == ":"]


def legend(collection):
    (found,) = collection.get_viz("figure").legends
    return [text.get_text() for text in found.get_texts()]


def test_both_variances_and_the_transition_of_a_decreasing_schedule():
    """Exact up to rounding; the transition is the first draw with ``epsilon < 1 / NOISE``."""
    collection = plot_phases(run(POLYNOMIAL))
    for kind, variance in ((0, lambda e: e), (1, lambda e: NOISE * e**2)):
        assert len(lines(collection, kind)) == 2
        for line in lines(collection, kind):
            x, y = line.get_data()
            assert x[0] == 10 and x[-1] == 4000 and len(x) > 100
            np.testing.assert_allclose(y, variance(POLYNOMIAL(x - 1)), rtol=1e-9)
    first = UPDATES[NOISE * POLYNOMIAL(UPDATES - 1) < 1][0]
    assert dotted(collection) == [first]
    assert title(collection) == f"Injected noise takes over (α = 1) at update {first:,}"
    axes = collection.get_viz("plot")
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_xlabel() == "update"
    assert axes.get_ylabel() == "variance in an update (M = 1)"
    assert legend(collection) == ["injected, ε", "of the gradient, εα"]
    looks = [
        {(line.get_color(), line.get_linestyle()) for line in lines(collection, k)} for k in (0, 1)
    ]
    assert [len(look) for look in looks] == [1, 1]
    assert all(
        one != other for one, other in zip(*map(lambda look: look.pop(), looks), strict=True)
    )


@pytest.mark.parametrize(
    ("schedule", "noise", "says"),
    [
        (schedules.constant(1e-3), 4000, "as the step size is constant: gradient noise is 4 times"),
        (schedules.constant(1e-3), 50, "the step size is constant: gradient noise is 0.05 times"),
        (schedules.constant(1e-3), 0, "Every update reads all rows: there is no gradient noise"),
        (POLYNOMIAL, 1.0, "No transition: gradient noise is"),
        (POLYNOMIAL, 1e6, "No transition: gradient noise is"),
    ],
    ids=["too noisy", "constant", "all rows", "always below", "always above"],
)
def test_nothing_is_marked_where_there_is_no_transition(schedule, noise, says):
    collection = plot_phases(run(schedule, noise))
    assert dotted(collection) == []
    assert says in title(collection)
    assert len(lines(collection, 0)) == 2
    assert len(lines(collection, 1)) == (2 if noise else 0)


def test_constant_steps_have_no_transition_whatever_the_readings():
    """Readings around 1; the same ones with steps that decrease a little do have one."""
    readings = np.tile(np.where(UPDATES < 1000, 1.1, 0.9), (2, 1))
    idata = run(schedules.constant(1e-3), sampling_threshold=readings)
    assert dotted(plot_phases(idata)) == []
    steps = np.tile(np.linspace(1.001e-3, 1e-3, UPDATES.size), (2, 1))
    idata = run(schedules.constant(1e-3), sampling_threshold=readings, step_size=steps)
    (found,) = dotted(plot_phases(idata))
    assert 1000 / 1.25 < found < 1000 * 1.25


def test_every_cycle_has_its_transition():
    schedule = schedules.cyclical(1e-3, 1000)
    cycle, position = schedule.cycle(UPDATES - 1)
    stats = {"cycle": np.tile(cycle, (2, 1)), "cycle_position": np.tile(position, (2, 1))}
    collection = plot_phases(run(schedule, **stats))
    below = NOISE * schedule(UPDATES - 1) < 1
    first = [UPDATES[below & (cycle == k)][0] for k in range(4)]
    assert dotted(collection) == first
    assert title(collection) == "Injected noise takes over (α = 1) in 4 of 4 cycles"
    axes = collection.get_viz("plot")
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")
    low, high = axes.get_ylim()  # the crossings are inside, and the vanishing steps outside
    assert schedule(UPDATES - 1).min() < low < 1 / NOISE < high


def test_the_temperature_scales_the_injected_noise():
    """At T = 2 the two are equal where alpha is 2."""
    collection = plot_phases(run(POLYNOMIAL, temperature=np.full((2, UPDATES.size), 2.0)))
    (x, y) = lines(collection, 0)[0].get_data()
    np.testing.assert_allclose(y, 2 * POLYNOMIAL(x - 1), rtol=1e-12)
    (x, y) = lines(collection, 1)[0].get_data()
    np.testing.assert_allclose(y, NOISE * POLYNOMIAL(x - 1) ** 2, rtol=1e-9)
    assert dotted(collection) == [UPDATES[NOISE * POLYNOMIAL(UPDATES - 1) < 2][0]]
    assert "(α/T = 1)" in title(collection) and legend(collection)[0] == "injected, Tε"


def test_chains_are_told_apart_and_the_transition_is_that_of_their_mean():
    step_size = np.tile(POLYNOMIAL(UPDATES - 1), (2, 1))
    noise = np.array([[0.5 * NOISE], [1.5 * NOISE]])
    collection = plot_phases(run(POLYNOMIAL, sampling_threshold=noise * step_size))
    for line, factor in zip(lines(collection, 1), (0.5, 1.5), strict=True):
        x, y = line.get_data()
        np.testing.assert_allclose(y, factor * NOISE * POLYNOMIAL(x - 1) ** 2, rtol=1e-9)
    assert dotted(collection) == dotted(plot_phases(run(POLYNOMIAL)))


def test_readings_that_are_not_finite_are_left_out():
    readings = NOISE * np.tile(POLYNOMIAL(UPDATES - 1), (2, 1))
    readings[0, 100:103] = np.inf, np.nan, np.inf
    collection = plot_phases(run(POLYNOMIAL, sampling_threshold=readings))
    x, y = lines(collection, 1)[0].get_data()
    np.testing.assert_allclose(y, NOISE * POLYNOMIAL(x - 1) ** 2, rtol=1e-9)


def test_beside_nuts_variances_are_relative():
    """The step size of NUTS comes first, and is not that of SGLD."""
    own = np.tile(POLYNOMIAL(UPDATES - 1), (2, 1))
    idata = run(POLYNOMIAL, step_size=np.stack([np.full(own.shape, 0.9), own], axis=-1))
    collection = plot_phases(idata)
    assert dotted(collection) == dotted(plot_phases(run(POLYNOMIAL)))
    x, y = lines(collection, 0)[0].get_data()
    np.testing.assert_allclose(y, POLYNOMIAL(x - 1) / own[0].mean(), rtol=1e-9)
    assert "mean injected = 1" in collection.get_viz("plot").get_ylabel()


def test_of_several_steps_the_one_with_most_gradient_noise_is_shown():
    own = np.tile(POLYNOMIAL(UPDATES - 1), (2, 1))
    stats = {
        "step_size": np.stack([own, own, own], axis=-1),
        "sampling_threshold": np.stack([own, NOISE * own, 2 * own], axis=-1),
        "updates": np.tile(UPDATES[:, None], (2, 1, 3)),
        "temperature": np.ones((2, UPDATES.size, 3)),
    }
    assert dotted(plot_phases(run(POLYNOMIAL, **stats))) == dotted(plot_phases(run(POLYNOMIAL)))


ROWS, BATCH, DRAWS, CHAINS, UPDATES_OF_DRAW = 1000, 10, 400, 2, 10


@pytest.fixture(scope="module")
def gaussian_mean():
    """A run on the mean of a Gaussian, where everything is known, with the noise ``V``."""
    x = np.random.default_rng(1).normal(size=ROWS)
    with pm.Model():
        mean = pm.Normal("mean", 0, 5)
        pm.Normal("x", mean, 1, observed=x)
        step = SGLD(
            batch_size=BATCH, step_size=schedules.polynomial(a=2e-4 * 100**0.8, b=100, gamma=0.8),
            steps_per_draw=UPDATES_OF_DRAW, gradient="minibatch", preconditioner="identity",
            batching="with_replacement", compile_kwargs={"mode": "FAST_COMPILE"},
        )  # fmt: skip
        idata = pm.sample(
            DRAWS, tune=0, chains=CHAINS, cores=1, step=step, random_seed=2, quiet=True,
            compute_convergence_checks=False,
        )  # fmt: skip
    return idata, ROWS**2 / BATCH * x.var()


def test_a_run_reads_the_noise_of_its_gradients(gaussian_mean):
    r"""At the end of a run, the line is :math:`\epsilon^2 V / 4`; one of half of it is seen.

    It averages a fifth of the draws: 9 differences each of consecutive gradients, whose squares
    have a relative variance of 2 and, as neighbours share a gradient, a correlation of 1/4. A
    reading of a moving chain is too great by at most epsilon times the precision, 1 %.
    """
    idata, noise = gaussian_mean
    before = idata.copy(deep=True)
    collection = plot_phases(idata)
    assert before.identical(idata)
    step_size = idata.sample_stats["step_size"].values[0, -1]
    drawn = np.array([line.get_ydata()[-1] for line in lines(collection, 1)])
    ratio = drawn.mean() / (step_size**2 * noise / 4)
    error = np.sqrt(2 * 1.5 / (DRAWS / 5 * (UPDATES_OF_DRAW - 1) * CHAINS))
    assert error < 0.06
    assert abs(ratio - 1) < 5 * error + 0.01
    assert abs(ratio / 2 - 1) > 5 * error + 0.01
    # and where it crosses: the error of alpha there, over the slope of the schedule
    expected = 100 * (2e-4 * noise / 4) ** (1 / 0.8) - 100
    draws = expected * (1.25 - 1 / 1.25) / UPDATES_OF_DRAW
    error = np.sqrt(2 * 1.5 / (draws * (UPDATES_OF_DRAW - 1) * CHAINS))
    slope = 0.8 * expected / (100 + expected)
    (found,) = dotted(collection)
    assert abs(np.log(found / expected)) < 5 * error / slope


def test_nothing_is_bound_to_matplotlib(gaussian_mean, monkeypatch):
    """With ArviZ's backend that only records, the same is drawn, by its neutral functions."""
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    collection = plot_phases(gaussian_mean[0], backend="none")
    drawn = collection.viz["plot"].item()
    kinds = [each["function"] for each in drawn]
    assert kinds.count("line") == 4 and kinds.count("vline") == 1
    assert {"xscale", "yscale", "xlabel", "ylabel"} <= set(kinds)
    assert all(each.get("scale", "log") == "log" for each in drawn)


def test_no_text_is_cut_off():
    for schedule in (POLYNOMIAL, schedules.constant(1e-3)):
        figure = plot_phases(run(schedule)).get_viz("figure")
        figure.canvas.draw()
        drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert min(drawn.x0, drawn.y0, width - drawn.x1, height - drawn.y1) >= 0


def test_the_figure_takes_arguments_of_matplotlib():
    figure = plot_phases(run(POLYNOMIAL), figure_kwargs={"figsize": (5, 3)}).get_viz("figure")
    np.testing.assert_allclose(figure.get_size_inches(), (5, 3))


def test_what_cannot_be_plotted_is_refused():
    idata = run(POLYNOMIAL)
    with pytest.raises(SettingError, match=r"backend='bokeh' must be one of 'matplotlib', 'none'"):
        plot_phases(idata, backend="bokeh")
    nuts = az.from_dict({"posterior": {"mu": np.zeros((2, 9))}})
    with pytest.raises(SettingError, match=r"it must be the DataTree that pm\.sample returns"):
        plot_phases(nuts)
    with pytest.raises(SettingError, match=r"it has 1 draws"):
        plot_phases(idata.isel(draw=slice(1)))
    stats = idata.sample_stats.to_dataset().drop_vars("updates")
    bare = az.from_dict({"posterior": {"mu": np.zeros((2, UPDATES.size))}, "sample_stats": stats})
    with pytest.raises(SettingError, match=r"and the stats \['rows_seen', 'sampling_threshold'"):
        plot_phases(bare)
    cold = {"temperature": np.zeros((2, UPDATES.size))}
    with pytest.raises(SettingError, match=r"at temperature 0 no noise is injected"):
        plot_phases(run(POLYNOMIAL, **cold))


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    idata = run(POLYNOMIAL)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"plot_phases .*`pip install 'pymc_sgld\[plots\]'`"):
        plot_phases(idata, backend="matplotlib")
