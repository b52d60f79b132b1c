"""Effects of groups whose rows come from sources: what is integrated is that of rows in memory."""

import cloudpickle
import numpy as np
import pymc as pm
import pytest

from pymc_sgld import SGLD, DataError, MinibatchError, SettingError, group_effects, minibatch
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.groups import find
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.sources import grouped, reader
from pymc_sgld.sources.bind import bind
from pymc_sgld.sources.source import Source
from tests.graphs import by_group, mean_gradient, position_of, random_point, updates_with

RNG = np.random.default_rng(5)
TEMPLATE = 7
SIZES = {
    "even": np.full(12, 6),
    "three classes": np.array([0, 1, 1, 2, 2, 0, 30, 31, 29, 9, 8, 9]),
}
GROUPS = 12
QUICK = {"compile_kwargs": {"mode": "FAST_COMPILE"}, "progressbar": False}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Make few rows a block, a part of a sorted file and a window, so that there are many."""
    monkeypatch.setattr(grouped, "BLOCK_BYTES", 100)
    monkeypatch.setattr(grouped, "PART_BYTES", 200)
    monkeypatch.setattr(reader, "BLOCK_BYTES", 1)
    monkeypatch.setattr(reader, "WINDOW_BYTES", 1)


def rows_of(sizes="three classes", is_sorted=False, seed=3):
    """Return data: the group of each row, a covariate, and outcomes."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(GROUPS), SIZES[sizes])
    group = group if is_sorted else rng.permutation(group)
    x = rng.normal(size=len(group)).astype("float32")
    count = rng.poisson(np.exp(0.3 * x + 0.1 * group)).astype("int16")
    return {"group": group, "x": x, "y": count}


def intercepts(group, x, y):
    mean, spread = pm.Normal("mean", 0, 2), pm.HalfNormal("spread")
    effect = pm.Normal("effect", mean, spread, shape=GROUPS)
    eta = effect[pm.Data("group", group)] + pm.Normal("slope") * pm.Data("x", x)
    pm.Poisson("y", pm.math.exp(eta), observed=y)


def not_centered(group, x, y):
    weight = np.linspace(-1, 1, GROUPS)  # of each group, in memory
    effect = pm.Normal("z", shape=GROUPS) * pm.HalfNormal("spread") + pm.Normal("b") * weight
    pm.Normal("y", effect[pm.Data("group", group)] + 2.0, pm.HalfNormal("noise"), observed=y)


def slopes(group, x, y):
    z = pm.Normal("z", shape=(GROUPS, 2))
    effects = z @ pm.math.stack([[1.0, 0.5], [0.0, pm.HalfNormal("spread")]])
    group = pm.Data("group", group)
    eta = effects[group, 0] + effects[group, 1] * pm.Data("x", x)
    pm.Poisson("y", pm.math.exp(eta), observed=y)


def spreads(group, x, y):
    """Effects that must be positive: their support is looked at in each row."""
    spread = pm.Normal("effect", pm.Normal("mean", 3), 1, shape=GROUPS)
    pm.Normal("y", pm.Normal("level"), spread[pm.Data("group", group)], observed=y)


def template(build, data, rows=TEMPLATE):
    """Return a model of a few rows, and the sources that it reads."""
    with pm.Model() as model:
        build(**{name: array[:rows] for name, array in data.items()})
    read = {v.name for v in [*model.data_vars, *model.observed_RVs]}
    return model, {name: array for name, array in data.items() if name in read}


def minibatchers(build, data, marginalize=None, of_sources=template):
    """Return a model of a few rows with sources, and one of all rows."""
    small, sources = of_sources(build, data)
    with pm.Model() as whole:
        build(**data)
    settings = {"marginalize": marginalize}
    return [
        Minibatcher(
            small, small.value_vars, random_point(small), sources=bind(sources), **settings
        ),
        Minibatcher(whole, whole.value_vars, random_point(whole), **settings),
    ], random_point(whole, seed=9)


def check_same(streamed, memory, point):
    """Every group has the same log-likelihood, and all of them the same gradient."""
    for one, other in zip(by_group(streamed, point), by_group(memory, point)):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-8)
    found = []
    for each in (streamed, memory):
        data = FullData(each.blocks(8))
        others = [point[name] for name in data.density.others]
        found.append(data.gradients(position_of(data.density, point), others))
    for one, other in zip(*found):
        np.testing.assert_allclose(one.sum(axis=0), other.sum(axis=0), rtol=1e-6)


CASES = [
    (intercepts, "even", True),
    (intercepts, "even", False),
    (intercepts, "three classes", True),
    (not_centered, "three classes", False),
    (slopes, "three classes", False),
    (spreads, "three classes", False),
]


@pytest.mark.parametrize(("build", "sizes", "is_sorted"), CASES)
def test_same_density(build, sizes, is_sorted):
    """It is found as in memory, and compared with PyMC's in the rows of the template."""
    data = rows_of(sizes, is_sorted)
    (streamed, memory), point = minibatchers(build, data)
    assert streamed.groups.nodes_each == memory.groups.nodes_each
    assert len(streamed.groups.classes) == len(memory.groups.classes) == 1 + 2 * (sizes != "even")
    sources = [source for table in streamed.blocks(8).tables for source in table.sources]
    in_place = sizes == "even" and is_sorted
    assert any(source.is_shuffled for source in sources) != in_place
    check_same(streamed, memory, point)
    density = streamed.density(10)
    streamed.check_sources()
    assert all(source.sample is not None for table in density.tables for source in table.sources)


def two_outcomes(group, x, y, group_of_z, z):
    effect = pm.Normal("effect", pm.Normal("mean"), pm.HalfNormal("spread"), shape=GROUPS)
    pm.Poisson("y", pm.math.exp(effect[pm.Data("group", group)]), observed=y)
    pm.Normal("z", effect[pm.Data("group_of_z", group_of_z)], 1, observed=z)


def test_two_outcomes_of_other_lengths():
    data = rows_of("even")
    other = rows_of("three classes", seed=8)
    data |= {"group_of_z": other["group"], "z": other["x"]}
    (streamed, memory), point = minibatchers(two_outcomes, data)
    assert {term.name for term in streamed.groups.outcomes} == {"y", "z"}
    check_same(streamed, memory, point)
    streamed.density(10)


def test_an_outcome_beside_them():
    """It has batches of rows of its own."""

    def build(group, x, y):
        intercepts(group, x, y)
        pm.Normal("u", pm.Normal("v"), 1, observed=x)

    def of_sources(build, data):
        model, sources = template(build, data)
        return model, sources | {"u": data["x"]}

    (streamed, memory), point = minibatchers(build, rows_of(), of_sources=of_sources)
    assert [table.groups for table in streamed.density(10).tables] == [False, True, True, True]
    check_same(streamed, memory, point)


def test_an_epoch_of_gradients_is_that_of_all_groups():
    """Groups of all classes come equally often, whatever their size."""
    (streamed, memory), point = minibatchers(intercepts, rows_of())
    for rows in (streamed, memory):
        rows.groups.use_nodes(5, newton=2)
        rows.groups.start_from(point_of(rows, point))
    updates = updates_with(streamed.density(16))
    data = FullData(memory.blocks(8))
    position = position_of(data.density, point)
    sizes = [(order.total_size, order.batch_size) for order in updates.orders]
    assert all(total > batch for total, batch in sizes) and len(sizes) == 3
    epochs = int(np.lcm.reduce([total for total, _ in sizes]))
    found = mean_gradient(updates, position, epochs)
    full = data.gradients(position, [])[1].sum(axis=0)
    np.testing.assert_allclose(found, full, rtol=1e-5)
    # it would fail if groups counted as rows do
    assert np.abs(full).min() > 0.1


def point_of(rows, point):
    """Return effects by their variable."""
    return {effect.variable: point[effect.name] for effect in rows.groups.effects}


def test_modes_that_are_settled_are_those_that_tables_read():
    """In samples, too, which are picked before the center is known."""
    (streamed, _), point = minibatchers(intercepts, rows_of())
    streamed.check_sources()
    table, members = streamed.blocks(8).tables[1], streamed.groups.classes[1]
    start = next(item.array for item in table.data if item.variable.name == "start")
    before = start.sample.copy()
    streamed.effects.settle(np.array([1.5, 0.3, -0.4]), [])
    np.testing.assert_array_equal(start[:], members.start)
    assert not np.allclose(start.sample, before)
    assert np.isin(start.sample, members.start).all()


@pytest.fixture(scope="module")
def steps():
    """Return steps of sources and of memory, with a model of either."""
    data = rows_of("even")
    model, sources = template(intercepts, data)
    with pm.Model() as memory:
        intercepts(**data)
    settings = {"batch_size": 24, "rng": 4} | QUICK
    return (SGLD(model=model, data=sources, **settings), model, sources), (
        SGLD(model=memory, **settings),
        memory,
        None,
    )


def test_same_choices(steps):
    """The center is the same, and so is the step up to the noise of other batches."""
    (streamed, *_), (memory, *_) = steps
    assert streamed.tables == memory.tables == {("12 groups of 6 rows",): (4, 12)}
    assert repr(streamed).splitlines()[-1] == repr(memory).splitlines()[-1]
    assert "integrated out with" in repr(streamed)
    np.testing.assert_allclose(streamed.origin, memory.origin) if hasattr(
        memory, "origin"
    ) else None
    assert abs(np.log(streamed.schedule.step_size / memory.schedule.step_size)) < 0.5


def test_steps_go_on_where_they_are_unpickled(steps):
    """The rows are in a temporary file, which a process finds again."""
    (step, model, _), _ = steps
    other = cloudpickle.loads(cloudpickle.dumps(step))
    point = model.initial_point()
    for _ in range(5):
        (one, _), (two, _) = step.step(point), other.step(point)
        assert all(np.array_equal(one[name], two[name]) for name in point)
        point = one
    assert not np.array_equal(point["effect"], model.initial_point()["effect"])
