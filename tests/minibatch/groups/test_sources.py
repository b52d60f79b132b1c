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
from tests.graphs import by_group, mean_gradient, plain, position_of, random_point, updates_with

pytestmark = pytest.mark.usefixtures("few_rows_make_classes")

TEMPLATE, GROUPS = 7, 12
SIZES = {
    "even": np.full(GROUPS, 6),
    "two classes": np.array([0, 1, 1, 2, 2, 0, 15, 16, 14, 1, 2, 1]),
}


@pytest.fixture(autouse=True, scope="module")
def small_parts():
    """Make few rows a block, a part of a sorted file and a window, so that there are many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouped, "BLOCK_BYTES", 100)
        patch.setattr(grouped, "PART_BYTES", 200)
        patch.setattr(reader, "BLOCK_BYTES", 1)
        patch.setattr(reader, "WINDOW_BYTES", 1)
        yield


def rows_of(sizes="two classes", is_sorted=False, seed=3):
    """Return data: the group of each row, a covariate, and an outcome."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(GROUPS), SIZES[sizes])
    group = group if is_sorted else rng.permutation(group)
    x = rng.normal(size=len(group)).astype("float32")
    return {"group": group, "x": x, "y": rng.poisson(np.exp(0.3 * x + 0.1 * group)).astype("int16")}


def intercepts(group, x, y):
    effect = pm.Normal("effect", pm.Normal("mean", 0, 2), pm.HalfNormal("spread"), shape=GROUPS)
    eta = effect[pm.Data("group", group)] + pm.Normal("slope") * pm.Data("x", x)
    pm.Poisson("y", pm.math.exp(eta), observed=y)


def normal(group, x, y):
    effect = pm.Normal("effect", pm.Normal("mean"), 1, shape=GROUPS)
    eta = effect[pm.Data("group", group)] + pm.Normal("slope") * pm.Data("x", x)
    pm.Normal("y", eta, 1, observed=y)


def slopes(group, x, y):
    """Not centered, with a covariate of groups in memory, and a constant of all rows."""
    weight, z = np.linspace(-1, 1, GROUPS), pm.Normal("z", shape=(GROUPS, 2))
    effects = z @ pm.math.stack([[1.0, 0.5], [0.0, pm.HalfNormal("spread")]])
    group = pm.Data("group", group)
    level = (effects[:, 0] + pm.Normal("b") * weight)[group] + np.full(len(x), 0.3)
    pm.Poisson("y", pm.math.exp(level + effects[group, 1] * pm.Data("x", x)), observed=y)


def spreads(group, x, y):
    """Effects that must be positive: their support is looked at in each row."""
    spread = pm.Normal("effect", pm.Normal("mean", 3), 1, shape=GROUPS)
    pm.Normal("y", pm.Normal("level"), spread[pm.Data("group", group)], observed=y)


def two_outcomes(group, x, y):
    """Of other lengths, and one beside them."""
    intercepts(group, x, y)
    other = rows_of("even", seed=8)
    if len(group) == TEMPLATE:
        other = {name: array[:TEMPLATE] for name, array in other.items()}
    picked = pm.modelcontext(None)["effect"][pm.Data("group_of_z", other["group"])]
    pm.Normal("z", picked, 1, observed=other["x"])
    pm.Normal("u", pm.Normal("v"), 1, observed=x)


def template(build, data, rows=TEMPLATE):
    """Return a model of a few rows, and the sources of what it reads."""
    with pm.Model() as model:
        build(**{name: array[:rows] for name, array in data.items()})
    other = rows_of("even", seed=8)
    known = data | {"u": data["x"], "z": other["x"], "group_of_z": other["group"]}
    read = {v.name for v in [*model.data_vars, *model.observed_RVs]}
    return model, {name: array for name, array in known.items() if name in read}


def whole(build, data):
    with pm.Model() as model:
        build(**data)
    return model


def streamed(build, data, marginalize=None, **settings):
    model, sources = template(build, data)
    point, sources = random_point(model), bind(sources)
    return Minibatcher(
        model, model.value_vars, point, sources=sources, marginalize=marginalize, **settings
    )


def joint(rows):
    """Return the log density of each group with its effects, where a minibatcher looks at it."""
    groups, inputs, found = rows.groups, rows.inputs.values, np.zeros(GROUPS)
    effects = groups.of_point(inputs)
    known = {v: value for v, value in inputs.items() if v not in groups.variables}
    for members in groups.classes:
        term = groups.term(members, len(members))
        of_members = rows.inputs.position.type.clone(shape=(len(members), groups.q))()
        graph = term.joint(of_members, 1)[0]
        data = {item.variable: item.whole for item in term.data}
        at = known | data | {of_members: effects[members.members]}
        [found[members.members]] = rows.fixed.evaluate([graph], at)
    return found


def expected_joint(model, effects, index):
    """Return the same of rows in memory, as PyMC computes it."""
    variables = [model[name] for name in [*effects, *index]]
    terms = [plain(term) for term in model.logp(vars=variables, sum=False)]
    evaluate = model.compile_fn(
        terms,
        inputs=model.value_vars,
        mode="FAST_COMPILE",
        point_fn=True,
        on_unused_input="ignore",
    )
    values = evaluate(random_point(model))
    found = sum(value.reshape((GROUPS, -1)).sum(axis=1) for value in values[: len(effects)])
    for of_rows, value in zip(index.values(), values[len(effects) :]):
        found = found + np.bincount(of_rows, value, GROUPS)
    return found


@pytest.mark.parametrize(
    ("build", "sizes", "is_sorted"),
    [
        (intercepts, "even", True),
        (intercepts, "two classes", True),
        (slopes, "two classes", False),
        (spreads, "two classes", False),
        (two_outcomes, "even", False),
    ],
)
def test_groups_have_their_rows(build, sizes, is_sorted):
    """All groups, of sorted and of unsorted rows: the rows of the template count nowhere."""
    data = rows_of(sizes, is_sorted)
    rows, model = streamed(build, data, read=False), whole(build, data)
    index = {"y": data["group"]}
    if build is two_outcomes:
        index["z"] = rows_of("even", seed=8)["group"]
    assert {term.name for term in rows.groups.outcomes} == index.keys()
    assert len(rows.groups.classes) == 1 + (sizes != "even")
    effects = [effect.name for effect in rows.groups.effects]
    np.testing.assert_allclose(joint(rows), expected_joint(model, effects, index), rtol=1e-6)
    sources = [item.array for each in rows.groups._terms.values() for item in each.data]
    assert any(source.is_shuffled for source in sources) != (sizes == "even" and is_sorted)


@pytest.fixture(scope="module")
def both():
    """Return a model with sources and one of all rows, and a point."""
    data = rows_of()
    model = whole(intercepts, data)
    memory = Minibatcher(model, model.value_vars, random_point(model), marginalize=None)
    found = streamed(intercepts, data), memory
    for rows in found:
        rows.groups.use_nodes(3, newton=2)
    return *found, random_point(model, seed=9)


def test_same_integral(both):
    """Of every group, and the gradient of all of them, in blocks the last two of which overlap."""
    *models, point = both
    values, gradients = [], []
    for rows in models:
        values.append(by_group(rows, point))
        data = FullData(rows.blocks(32))
        gradients.append(data.gradients(position_of(data.density, point), []))
    for one, other in zip([*values[0], *gradients[0]], [*values[1], *gradients[1]]):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-8)


def test_an_epoch_of_gradients_is_that_of_all_groups(both):
    """Groups of both classes come equally often, whatever their size."""
    rows, _, point = both
    density, data = rows.density(12), FullData(rows.blocks(32))
    updates = updates_with(density)
    position = position_of(data.density, point)
    sizes = [(order.total_size, order.batch_size) for order in updates.orders]
    assert sizes == [(9, 2), (3, 1)]
    full = data.gradients(position, [])[1].sum(axis=0)
    np.testing.assert_allclose(mean_gradient(updates, position, 9), full, rtol=1e-6)
    # it would fail if groups counted as rows do
    assert np.abs(full).min() > 0.1


def test_modes_that_are_settled_are_those_that_tables_read(both):
    """In samples, too, which are picked before the center is known."""
    rows, *_ = both
    rows.check_sources()
    tables = rows.blocks(32).tables
    assert all(source.sample is not None for table in tables for source in table.sources)
    start = next(d.array for d in tables[1].data if d.variable.name == "start")
    before, members = start.sample.copy(), rows.groups.classes[1]
    rows.effects.settle(np.array([1.5, 0.3, -0.4]), [])
    np.testing.assert_array_equal(start[:], members.start)
    assert not np.isclose(start.sample, before).any()
    assert np.isin(start.sample, members.start).all()


def test_another_meaning_of_a_group_is_told():
    """Before a run, groups of the rows of the template are compared with what PyMC computes."""
    rows = streamed(normal, rows_of("even"))
    rows.density(12)
    [outcome] = rows.groups.outcomes
    outcome.value = outcome.value + 0.1
    with pytest.raises(MinibatchError, match=r'log density of group .* of "effect"'):
        rows.density(12)


@pytest.fixture(scope="module")
def steps():
    """Return steps of sources and of memory."""
    data = rows_of("even")
    model, sources = template(normal, data)
    settings = {"batch_size": 24, "compile_kwargs": {"mode": "FAST_COMPILE"}}
    one = SGLD(model=model, data=sources, **settings)
    return one, SGLD(model=whole(normal, data), **settings), model, sources


@pytest.mark.long
def test_same_choices(steps):
    """The center is the same, and so is the step up to the noise of other batches."""
    one, other, *_ = steps
    assert one.tables == other.tables == {("12 groups of 6 rows",): (4, 12)}
    assert repr(one).splitlines()[-1] == repr(other).splitlines()[-1]
    assert "12 groups of 6 rows, integrated out with 1 node (exact)" in repr(one)
    assert abs(np.log(one.schedule.step_size / other.schedule.step_size)) < 0.5


@pytest.mark.long
def test_steps_go_on_where_they_are_unpickled(steps):
    """The rows are in a temporary file, which a process finds again."""
    step, _, model, _ = steps
    other, point = cloudpickle.loads(cloudpickle.dumps(step)), model.initial_point()
    for _ in range(3):
        (one, _), (two, _) = step.step(point), other.step(point)
        assert all(np.array_equal(one[name], two[name]) for name in point)
        point = one
    assert np.abs(point["effect"]).min() > 0


def test_effects_of_a_run_without_them(steps):
    """They are drawn from all rows: the same as those of rows in memory, for the same seed."""
    *_, model, sources = steps
    run = {"draws": 100, "tune": 0, "chains": 1, "progressbar": False, "quiet": True}
    step = steps[0]
    with model:
        idata = pm.sample(step=step, var_names=["mean", "slope"], random_seed=2, **run)
    settings = {"draws": 100, "return_draws": True, "random_seed": 1, "progressbar": False}
    found = group_effects(idata, model, data=sources, **settings)["effect"]
    data = rows_of("even")
    group, x, y = data["group"], data["x"], data["y"]
    left = y - idata.posterior["slope"].to_numpy()[..., None] * x
    sums = [np.bincount(group, of_draw, GROUPS) for of_draw in left[0]]
    expected = (np.array(sums) + idata.posterior["mean"].to_numpy()[0][:, None]) / 7
    z = (found.to_numpy()[0] - expected) * np.sqrt(7)
    assert abs(z.mean()) < 5 / np.sqrt(z.size) and abs(z.std() - 1) < 5 / np.sqrt(2 * z.size)


class Read(Source):
    """Notes which rows are read."""

    def __init__(self, rows):
        super().__init__(rows.shape, rows.dtype)
        self.rows, self.reads = rows, []

    def read(self, start, stop):
        self.reads.append((start, stop))
        return self.rows[start:stop]


def test_a_report_reads_the_index_once_and_nothing_else():
    model, sources = template(intercepts, rows_of())
    sources = {name: Read(array) for name, array in sources.items()}
    report = minibatch.report(model, batch_size=12, data=sources)
    rows = len(sources["group"].rows)
    starts, stops = zip(*sources["group"].reads)
    assert (starts[0], stops[-1]) == (0, rows) and starts[1:] == stops[:-1]
    assert not sources["x"].reads and not sources["y"].reads
    table = report.table.set_index("variable")
    assert list(table.treatment) == ["integrated out", "by groups"]
    assert (table.rows["effect"], table.rows["y"], table.data["y"]) == (12, rows, "x, y")
    assert report.notes == ["effect: 12 groups of 0 to 16 rows, integrated out by quadrature."]


def without_a_source(data, sources):
    del sources["group"]


def one_too_many(data, sources):
    sources["group"] = np.append(sources["group"][:-1], GROUPS)


def far_below(data, sources):
    sources["group"] = np.append(sources["group"][:-1], -1 - GROUPS)


def a_missing_category(data, sources):
    sources["group"] = np.append(sources["group"][:-1], -1)


def named(build=intercepts, change=lambda data, sources: None):
    data = rows_of()
    model, sources = template(build, data)
    change(data, sources)
    point = model.initial_point()
    return lambda marginalize: Minibatcher(
        model, model.value_vars, point, sources=bind(sources), marginalize=marginalize
    )


def test_an_index_without_a_source():
    make = named(change=without_a_source)
    message = r'"group" has one entry for each row that the model was built with'
    with pytest.raises(SettingError, match=f'"effect" cannot be integrated out: {message}'):
        make(["effect"])
    with pytest.raises(MinibatchError, match=f'cannot minibatch "y" .*{message}'):
        make(None).density(12)


@pytest.mark.parametrize("change", [one_too_many, far_below])
def test_an_index_out_of_range(change):
    value = GROUPS if change is one_too_many else -1 - GROUPS
    message = f'"group" is {value} in row 54 of data=, and there are 12 groups, 0 to 11'
    for marginalize in (None, ["effect"]):
        with pytest.raises(DataError, match=message):
            named(change=change)(marginalize)


def test_a_missing_category():
    """Elsewhere it is a warning: so it is sampled, if nobody asked for anything else."""
    make = named(change=a_missing_category)
    message = '"group" is -1 in row 54 of data=: negative numbers count from the end'
    with pytest.raises(SettingError, match=f'"effect" cannot be integrated out: {message}'):
        make(["effect"])
    rows = make(None)
    assert rows.groups is None and rows.kept['"effect"'].startswith(message)


def counted_from_one(group, x, y):
    effect = pm.Normal("effect", pm.Normal("mean"), 1, shape=GROUPS)
    pm.Poisson("y", pm.math.exp(effect[pm.Data("group", group) - 1]), observed=y)


def in_memory_as_well(group, x, y):
    intercepts(group, x, y)
    effect = pm.modelcontext(None)["effect"]
    pm.Normal("w", effect[[0, 1, 2, 2]], 1, observed=np.ones(4))


def of_the_whole_template(group, x, y):
    effect = pm.Normal("effect", pm.Normal("mean"), 1, shape=GROUPS)
    eta = effect[pm.Data("group", group)]
    pm.Poisson("y", pm.math.exp(eta - eta.mean()), observed=y)


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (counted_from_one, 'the index of the groups is computed from "group": store the result'),
        (in_memory_as_well, 'the rows of "y" come from data=, and those of "w" do not'),
        (of_the_whole_template, "uses all rows at once"),
    ],
)
def test_refused(build, reason):
    make = named(build)
    with pytest.raises(SettingError, match=f'"effect" cannot be integrated out: .*{reason}'):
        make(["effect"])
    assert make(None).groups is None


@pytest.mark.parametrize("left", ["effect", "slope"])
def test_other_steps_see_the_template_only(left):
    """Whether effects are integrated out, or another step is to sample them."""
    model, data = template(intercepts, rows_of())
    moved = [model[name] for name in ("effect", "mean", "slope") if name != left]
    message = f'^"{left}" would be sampled by another step, .* 7 rows of "y"'  # and not "spread"
    with pytest.raises(SettingError, match=message):
        SGLD(moved, model=model, data=data)


def test_groups_that_are_too_large(monkeypatch):
    """Sixteen of them must be in memory together: 10 bytes a row, with the index."""
    monkeypatch.setattr(find, "MOST_BYTES", 16 * 16 * 14 - 1)
    make = named()
    message = "a group has up to 16 rows, 224 bytes, and 16 of them .*: pass marginalize=False"
    with pytest.raises(SettingError, match=message):
        make(["effect"])
    assert make(None).groups is None
    monkeypatch.setattr(find, "MOST_BYTES", 16 * 16 * 14)
    assert named()(None).groups is not None


@pytest.mark.parametrize("name", ["x", "y"])
def test_data_that_no_group_can_have(name):
    def change(data, sources):
        sources[name] = sources[name].copy()
        sources[name][20] = np.nan if name == "x" else -1

    rows, group = named(change=change)(["effect"]), rows_of()["group"][20]
    why = 'NaN in "x"' if name == "x" else "zero or not a number"
    message = rf"the density of group {group} of the effects .* is not finite .* \({why}; 1 such"
    with pytest.raises(DataError, match=message):
        rows.check_sources()
