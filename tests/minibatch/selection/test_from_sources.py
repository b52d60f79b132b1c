"""Models whose rows come from sources: the same posterior, from a few rows in the model."""

import _thread
import gc
import os
import pickle
import threading
import warnings

import cloudpickle
import numpy as np
import pandas as pd
import pymc as pm
import pymc.dims as pmd
import pytensor.tensor as pt
import pytest

from pymc_sgld import (
    SGLD,
    DataError,
    MinibatchError,
    SettingError,
    SGLDWarning,
    diagnose,
    minibatch,
)
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.sources import reader
from pymc_sgld.sources.background import THREAD
from pymc_sgld.sources.bind import bind
from tests.graphs import QUICK, mean_gradient, updates_of, updates_with

N, GROUPS, TEMPLATE = 3000, 5, 40
RNG = np.random.default_rng(11)
X = RNG.normal(size=(N, 3)).astype("float32")
GROUP = RNG.integers(GROUPS, size=N)
Y = (RNG.random(N) < 1 / (1 + np.exp(-X @ [1.0, -0.5, 0.2] - 0.3 * GROUP))).astype("int8")
ROWS = {"X": X, "group": GROUP, "y": Y}
RUN = {"draws": 4, "tune": 0, "chains": 2, "cores": 1, "random_seed": 5, "progressbar": False}
RUN |= {"quiet": True, "compute_convergence_checks": False}


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    """Make blocks and windows small, so that a few rows have many of them."""
    monkeypatch.setattr(reader, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(reader, "WINDOW_BYTES", 16_000)


def logistic(X, group, y):
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 2, shape=3)
        effect = pm.Normal("effect", 0, 1, shape=GROUPS)
        eta = pm.Data("X", X) @ beta + effect[pm.Data("group", group)]
        pm.Bernoulli("y", logit_p=eta, observed=y)
    return model


def template(rows=TEMPLATE):
    return logistic(X[:rows], GROUP[:rows], Y[:rows])


POINT = {"beta": np.array([0.5, -0.2, 0.1]), "effect": np.linspace(-1, 1, GROUPS)}
POSITION = np.concatenate([POINT["beta"], POINT["effect"]])


@pytest.mark.parametrize("rows", [TEMPLATE, 11])
def test_an_epoch_of_gradients_is_the_full_gradient(rows):
    """The prior once, the likelihood N/n times: the rows of the template count nowhere."""
    full = logistic(**ROWS).compile_dlogp(mode="FAST_COMPILE")(POINT)
    updates = updates_of(template(rows), 11, ROWS)
    [order] = updates.orders
    assert (order.batch_size, order.total_size) == (11, N) and order.windows > 3
    # as many epochs as rows in a batch: no ragged end
    np.testing.assert_allclose(mean_gradient(updates, POSITION, N), full, rtol=1e-6)
    # it would fail with the scale of the template
    assert np.abs(full * rows / N - full).max() > 0.1 * np.abs(full).max()


@pytest.mark.parametrize("audit", [True, False])
def test_a_source_of_one_batch_is_read_in_full(audit):
    """As a table in memory would be: all rows at every update."""
    full = logistic(**ROWS).compile_dlogp(mode="FAST_COMPILE")(POINT)
    updates = updates_of(template(), N, ROWS, audit)
    assert updates.orders == []
    np.testing.assert_allclose(mean_gradient(updates, POSITION, 1), full, rtol=1e-6)
    step = SGLD(model=template(), data=ROWS, batch_size=N, step_size=1e-9, audit=audit, **QUICK)
    assert (step.batch_size, step.total_size) == (N, N)
    for settings in ({"gradient": "taylor"}, {"gradient": "control_variate"}):
        kwargs = {"center": POINT, "compile_kwargs": {"mode": "FAST_COMPILE"}} | settings
        assert SGLD(model=template(), data=ROWS, batch_size=N, **kwargs).batch_size == N


def test_the_values_of_the_template_count_nowhere():
    other = logistic(X[-TEMPLATE:] * 7, 0 * GROUP[:TEMPLATE], 1 - Y[-TEMPLATE:])
    settings = {"data": ROWS, "batch_size": 16, "step_size": 1e-3, "rng": 3} | QUICK
    steps = [SGLD(model=model, **settings) for model in (template(), other)]
    one, other = (step.step(POINT)[0] for step in steps)
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.long
def test_choices_are_those_of_the_rows_in_memory():
    """Those of the same rows; the noise is that of other batches."""
    models = [(template(), ROWS), (logistic(**ROWS), None)]
    one, other = (
        Minibatcher(model, model.value_vars, POINT, sources=bind(data)) for model, data in models
    )
    of_streamed, of_memory = (
        FullData(each.blocks(512)).hessians(POSITION, []) for each in (one, other)
    )
    np.testing.assert_allclose(of_streamed, of_memory, rtol=1e-4, atol=1e-8)
    kwargs = {"compile_kwargs": {"mode": "FAST_COMPILE"}, "batch_size": 128, "center": POINT}
    streamed = SGLD(model=template(), data=ROWS, **kwargs)
    memory = SGLD(model=logistic(**ROWS), **kwargs)
    assert abs(np.log(streamed.schedule.step_size / memory.schedule.step_size)) < 0.3


def test_the_sample_of_a_source_is_kept_for_the_choices_only():
    model = template()
    rows = Minibatcher(model, model.value_vars, model.initial_point(), sources=bind(ROWS))
    rows.check_sources()
    density = rows.density(16)
    [table] = density.tables
    assert all(len(source.sample) == N for source in table.sources)
    updates_with(density)
    assert all(source.sample is None for source in table.sources)


def test_report():
    with template():
        report = minibatch.report(data=ROWS, batch_size=50)
    [line] = report.table.to_dict("records")
    assert (line["rows"], line["batch"], line["treatment"]) == (N, 50, "minibatched")
    assert line["entries"] == 50 * 5 and line["full_entries"] == N * 5


def test_several_tables_and_data_in_memory():
    """Sources of other lengths have batches of their own; a short table is in the model."""
    rng = np.random.default_rng(2)
    long, short, inside = (rng.normal(size=size) for size in (900, 500, 60))

    def build(long, short):
        with pm.Model() as model:
            mean = pm.Normal("mean")
            pm.Normal("long", mean, 1, observed=long)
            pm.Normal("short", mean, 2, observed=short)
            pm.Normal("inside", mean, 3, observed=inside)
        return model

    model, data = build(long[:9], short[:9]), {"long": long, "short": short}
    step = SGLD(model=model, data=data, batch_size=100, step_size=1e-9, **QUICK)
    assert step.total_size == 900 + 500 + 60
    for sizes in ("100 of 900 rows", "100 of 500 rows", "60 of 60 rows"):
        assert sizes in repr(step)
    full = build(long, short).compile_dlogp(mode="FAST_COMPILE")({"mean": np.array(0.7)})
    found = mean_gradient(updates_of(model, 100, data), np.array([0.7]), 900)
    np.testing.assert_allclose(found, full, rtol=1e-10)


def test_named_dimensions():
    def build(x, y):
        with pm.Model(coords={"column": range(3), "row": range(len(y))}) as model:
            beta = pmd.Normal("beta", 0, 2, dims="column")
            rows = pmd.Data("X", x, dims=("row", "column"))
            pmd.Normal("y", (rows * beta).sum("column"), 1, observed=pmd.Data("t", y, dims="row"))
        return model

    t = X.sum(axis=1).astype("float64")
    model = build(X[:9].astype("float64"), t[:9])
    full = build(X.astype("float64"), t).compile_dlogp(mode="FAST_COMPILE")
    found = mean_gradient(updates_of(model, 10, {"X": X, "t": t}), POINT["beta"], N)
    np.testing.assert_allclose(found, full({"beta": POINT["beta"]}), rtol=1e-6)


def test_potentials_by_rows():
    def build(x):
        with pm.Model() as model:
            mean = pm.Normal("mean")
            pm.Potential("term", -((pm.Data("x", x) - mean) ** 2))
        return model

    x = X[:, 0].astype("float64")
    updates = updates_of(build(x[:9]), 10, {"x": x}, potentials={"term": "rows"})
    full = build(x).compile_dlogp(mode="FAST_COMPILE")({"mean": np.array(0.7)})
    np.testing.assert_allclose(mean_gradient(updates, np.array([0.7]), N), full, rtol=1e-10)
    with pytest.raises(MinibatchError, match=r'"term": it reads "x" from data='):
        updates_of(build(x[:9]), 10, {"x": x}, potentials={"term": "prior"})


def test_diagnose_reads_the_sources():
    """Gradients of the template are not those of the data: an error without them, and the same."""
    rng = np.random.default_rng(9)
    x = rng.normal(size=2000)

    def build(x):
        with pm.Model() as model:
            mean = pm.Normal("mean", 0, 10)
            pm.Normal("x", mean, 1, observed=x)
        return model

    whole = build(x)
    with build(x[:20]) as small:
        step = SGLD(data={"x": x}, batch_size=50, step_size=1e-6, steps_per_draw=1, **QUICK)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SGLDWarning)
            idata = pm.sample(step=step, **RUN | {"draws": 60})
            with pytest.raises(
                SettingError, match=r"the model has 20 rows, and the run read 2000.*data="
            ):
                diagnose(idata, small, gradients=40)
            streamed = diagnose(idata, small, gradients=40, data={"x": x})
            memory = diagnose(idata, whole, gradients=40)
    pd.testing.assert_frame_equal(streamed.coordinates, memory.coordinates, rtol=1e-6)


@pytest.mark.parametrize("audit", [True, False])
def test_sources_may_be_narrower_than_the_template(audit):
    """What is compared with PyMC's density is the template as the source has it."""
    X, y = RNG.normal(1e3, 1e3, size=(N, 2)), RNG.normal(1e3, 1e3, N)
    with pm.Model():
        mean = pm.Data("X", X[:40]) @ pm.Normal("b", shape=2)
        pm.Normal("y", mean, 1, observed=y[:40])
        data = {"X": X.astype("float32"), "y": y.astype("float32")}
        assert SGLD(data=data, audit=audit, step_size=1e-12, batch_size=16, **QUICK)


# what is refused


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        (
            {"Z": X},
            {},
            r"the pm.Data of the model are \['X', 'group'\], .* \['y'\]: name one of these",
        ),
        (ROWS | {"X": X[:, :2]}, {}, r'data\["X"\] has the shape \(3000, 2\), and the model has'),
        (ROWS | {"X": X[:500]}, {}, r'500 rows of data\["X"\] and 3000 of data\["group"\]'),
        (ROWS | {"group": X[:, 0]}, {}, r'data\["group"\] is float32, which does not fit into'),
        (
            ROWS | {"X": X.round().astype(int)},
            {},
            r'has other numbers than int64 in its place of "X"',
        ),
        (ROWS | {"group": GROUP > 9}, {}, r'has other numbers than bool in its place of "group"'),
        (ROWS, {"batching": "with_replacement"}, r'use batching="reshuffle"'),
        (ROWS, {"full": "y"}, r'full has "y", which reads .*"X" .* from data='),
    ],
)
def test_arguments_that_do_not_fit(data, settings, message):
    with pytest.raises(SettingError, match=message):
        SGLD(model=template(), data=data, **{"step_size": 1e-3} | QUICK | settings)


def test_a_template_of_one_row():
    with pytest.raises(SettingError, match=r'one row of "X".* build it with a few rows'):
        SGLD(model=template(1), data=ROWS, step_size=1e-3, **QUICK)


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ("X", r'"X" has one entry for each row that the model was built with, .* add it, data='),
        ("y", r'"y" has one entry for each row .* add it, data=\{\.\.\., "y": source\}'),
        ("group", r'"group" has one entry for each row that the model'),
    ],
)
def test_all_data_of_a_table_are_sources(left_out, message):
    data = {name: rows for name, rows in ROWS.items() if name != left_out}
    with pytest.raises(MinibatchError, match=message):
        SGLD(model=template(), data=data, step_size=1e-3, **QUICK)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda x, b: (x - x.mean()) * b, "every row depends on all rows of a source"),
        (lambda x, b: pt.cumsum(x) * b, "the rows are mixed by Cum"),
        (lambda x, b: x[::-1] * b, "the model picks some of the rows that it was built"),
        (lambda x, b: x * b + np.arange(TEMPLATE), "a constant of the model has one entry for"),
    ],
)
def test_what_is_not_computed_row_by_row(build, message):
    """A mean of the template is not that of the rows: what mixes rows is refused."""
    with pm.Model() as model:
        b = pm.Normal("b")
        x = pm.Data("x", X[:TEMPLATE, 0])
        pm.Normal("y", build(x, b), 1, observed=X[:TEMPLATE, 1])
        data = {"x": X[:, 0], "y": X[:, 1]}
        with pytest.raises(MinibatchError, match=message):
            SGLD(data=data, step_size=1e-3, **QUICK)
    assert model.free_RVs == [b]


SORTED = np.sort(GROUP)
NONE_YET = np.zeros(TEMPLATE, dtype=int)


@pytest.mark.parametrize(
    ("group", "y", "given", "message"),
    [
        (pm.Data, NONE_YET, "y", '"group" has one entry for each row that the model'),
        (pt.as_tensor, NONE_YET + (X[:TEMPLATE, 1] > 0), "y", "a constant of the model has one"),
        (pm.Data, NONE_YET, "group", '"y" has one entry for each row that the model'),
    ],
    ids=["an index", "an index that has no name", "an outcome"],
)
def test_data_that_are_the_same_in_the_first_rows(group, y, given, message):
    """A template of sorted rows has one group, and one of rare events has none: no constants."""
    first = SORTED[:TEMPLATE]
    assert not first.any()
    with pm.Model():
        effect = pm.Normal("effect", shape=int(SORTED.max()) + 1)
        index = group("group", first) if group is pm.Data else group(first)
        x = pm.Data("x", X[:TEMPLATE, 0])
        pm.Bernoulli("y", logit_p=effect[index] * x, observed=y)
        rows = {"x": X[:, 0], "y": SORTED > 3, "group": SORTED}
        with pytest.raises(MinibatchError, match=message):
            SGLD(data={name: rows[name] for name in ("x", given)}, step_size=1e-3, **QUICK)


def with_lengths(build):
    """Return a model that uses lengths of its data: ``build`` gives the mean and the sd of rows."""
    with pm.Model() as model:
        x = pm.Data("x", X[:TEMPLATE, :2], dims=("row", None))
        b = pm.Normal("b", shape=2)
        mean, sd = build(model, x, x @ b)
        pm.Normal("y", mean, sd, observed=X[:TEMPLATE, 2], dims="row")
    return model


LENGTHS = {"data": {"x": X[:, :2], "y": X[:, 2]}, "step_size": 1e-3, **QUICK}


@pytest.mark.parametrize(
    "build",
    [
        lambda model, x, mean: (mean, pt.sqrt(x.shape[0])),
        lambda model, x, mean: (mean / model.dim_lengths["row"], 1),
        lambda model, x, mean: (mean / (2 * mean).shape[0], 1),
        lambda model, x, mean: (mean / x.T.shape[1], 1),
        lambda model, x, mean: (mean * pm.Normal("c", 0, x.shape[0] / 100), 1),
    ],
    ids=["scale", "dimension", "of a result", "transposed", "prior"],
)
def test_the_number_of_rows_of_the_template(build):
    """It is not that of the rows that come later."""
    model = with_lengths(build)
    with pytest.raises(SettingError, match='computes with the number of rows of "x"'):
        SGLD(model=model, **LENGTHS)


@pytest.mark.parametrize(
    "build",
    [
        lambda model, x, mean: (mean, pt.sqrt(x.shape[1])),
        lambda model, x, mean: (mean, pt.sqrt(x.shape[-1])),
        lambda model, x, mean: (mean + pt.ones(x.shape[0]), 1),
        lambda model, x, mean: (mean + pt.zeros(x.shape[1:]).sum(), 1),
        lambda model, x, mean: (mean.reshape((x.shape[0],)), 1),
    ],
    ids=["columns", "last", "as many ones", "all but the first", "shape"],
)
def test_other_lengths(build):
    SGLD(model=with_lengths(build), **LENGTHS)


def test_one_number_for_all_rows():
    """As many numbers as the template has rows are refused: those of other rows may differ."""
    y = X[:TEMPLATE, 0]
    with pm.Model() as model:
        mean = pm.Normal("mean")
        pm.Normal("y", mean, pt.full_like(mean, 2.0), observed=y)
    expected = (X[:, 0].astype("float64") - 0.7).sum() / 4 - 0.7
    found = mean_gradient(updates_of(model, 10, {"y": X[:, 0]}), np.array([0.7]), N)
    np.testing.assert_allclose(found, [expected], rtol=1e-6)
    with pm.Model():
        pm.Normal("y", pm.Normal("mean"), np.full(TEMPLATE, 2.0), observed=y)
        with pytest.raises(MinibatchError, match="or make it one number for all rows"):
            SGLD(data={"y": X[:, 0]}, step_size=1e-3, **QUICK)


def test_a_source_that_the_density_does_not_read():
    with pm.Model():
        mean = pm.Normal("mean")
        pm.Deterministic("z", pm.Data("x", X[:9, 0]) * mean)
        pm.Normal("y", mean, 1, observed=X[:9, 0])
        with pytest.raises(SettingError, match=r'has "x", which the log density .* leave it out'):
            SGLD(data={"y": X[:, 0], "x": X[:, 0]}, step_size=1e-3, **QUICK)


DATA = {"x": X[:, 0], "y": X[:, 1]}
SEEN = "would be sampled by another step, which sees only the 9 rows of"


def two_tables(left, total_size=None):
    """Rows of sources that depend on ``left``, and rows in memory."""
    mean = pm.Data("x", X[:9, 0]) * pm.Normal("b") + left()
    pm.Normal("y", mean, 1, observed=X[:9, 1], total_size=total_size)
    pm.Normal("inside", pm.Normal("other"), 1, observed=X[:30, 2])


def discrete():
    return pm.Bernoulli("k", 0.5)


def continuous():
    return pm.Deterministic("shift", 2 * pm.Normal("k"))


@pytest.mark.parametrize("left", [discrete, continuous])
@pytest.mark.parametrize("blocked", [True, False])
def test_other_steps_see_the_template_only(left, blocked):
    """Their density is PyMC's, of nine rows: a posterior far too wide, and no sign of it."""
    with pm.Model() as model:
        two_tables(left)
        moved = [model["b"], model["other"]]
        with pytest.raises(SettingError, match=f'^"k" {SEEN} "y" .* without data=') as caught:
            SGLD(moved, data=DATA, step_size=1e-3, blocked=blocked, **QUICK)
        with pytest.raises(SettingError) as reported:
            minibatch.report(vars=moved, data=DATA)
    assert str(reported.value) == str(caught.value)


def test_other_steps_see_the_template_of_a_potential_only():
    with pm.Model() as model:
        mean = pm.Normal("mean", pm.Normal("k"))
        pm.Potential("term", -((pm.Data("x", X[:9, 0]) - mean) ** 2) * pm.Beta("share", 1, 1))
        settings = {"data": {"x": X[:, 0]}, "potentials": {"term": "rows"}}
        with pytest.raises(SettingError, match=f'^"mean" and "share" {SEEN} "term"'):
            SGLD([model["k"]], step_size=1e-3, **settings, **QUICK)


def test_other_steps_see_the_template_where_it_tells_the_support_only():
    """The density of a uniform is the same in every row, and zero beyond its end."""
    with pm.Model() as model:
        pm.Normal("b")
        pm.Uniform("y", 0, 9 + pm.HalfNormal("k"), observed=X[:9, 1] ** 2)
        with pytest.raises(SettingError, match=f'^"k" {SEEN} "y"'):
            SGLD([model["b"]], data={"y": X[:, 1] ** 2}, step_size=1e-3, **QUICK)


def test_other_steps_may_sample_what_is_independent_of_the_rows():
    """A hyperparameter depends on what it is the prior of, and ``other`` on rows in memory."""
    with pm.Model() as model:
        two_tables(lambda: pm.Normal("mean", 0, pm.HalfNormal("spread"), shape=9)[0])
        moved = [model["b"], model["mean"]]
        assert len(minibatch.report(vars=moved, data=DATA).table) == 2
        steps = SGLD(moved, data=DATA, step_size=1e-4, blocked=False, **QUICK)
    assert [step.coordinate_names[0] for step in steps.methods] == ["b", "mean[0]"]


@pytest.mark.parametrize("size", [N, [N], 9])
def test_sources_say_how_many_rows_there_are(size):
    """``total_size`` would count each row N / 9 times."""
    with pm.Model():
        two_tables(lambda: 0.0, total_size=size)
        message = r'^"y" has a total_size, .*leave total_size out, data= says .* \(3000\)'
        with pytest.raises(SettingError, match=message):
            SGLD(data=DATA, step_size=1e-3, **QUICK)
        with pytest.raises(SettingError, match=message):
            minibatch.report(data=DATA)


@pytest.mark.parametrize("size", [None, 99])
def test_sources_beside_rows_that_the_model_declares(size):
    with pm.Model(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of PyMC, without total_size
        rows = pm.Minibatch(np.arange(99.0), batch_size=9)
        pm.Normal("y", pm.Normal("b") * rows, 1, observed=X[:9, 1], total_size=size)
        with pytest.raises(SettingError, match=r'^"y" reads rows of pm\.Minibatch, and rows of'):
            SGLD(data={"y": X[:, 1]}, step_size=1e-3, **QUICK)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("X", np.nan, r'density of "y" is not finite .* in row 2345 of data= \(NaN in "X"'),
        ("y", 7, r'density of "y" is not finite .* in row 2345 of data= \(zero or not a number'),
        ("group", GROUPS, r"an index in the model is out of range, in rows 0 to 3000 of data="),
    ],
)
def test_every_row_is_checked(name, value, message):
    wrong = ROWS[name].copy()
    wrong[2345] = value
    with pytest.raises(DataError, match=message):
        SGLD(model=template(), data=ROWS | {name: wrong}, step_size=1e-3, **QUICK)


# sampling


@pytest.fixture
def files(tmp_path):
    """Return sources in files: two memory maps and an HDF5 dataset."""
    h5py = pytest.importorskip("h5py", reason="reads HDF5")
    for name, rows in ROWS.items():
        np.save(tmp_path / f"{name}.npy", rows)
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file["y"] = Y
    found = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("X", "group")}
    return found | {"y": h5py.File(tmp_path / "y.h5", "r")["y"]}


def make(data, **settings):
    return SGLD(data=data, batch_size=16, step_size=1e-3, steps_per_draw=9, **settings | QUICK)


def reading():
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


def test_workers_open_the_files(files):
    """Two processes draw what one does, and no row travels to them."""
    with template():
        step = make(files)
        here = pm.sample(step=step, **RUN)
        assert len(cloudpickle.dumps(step)) < 1_000_000
        there = pm.sample(step=step, **RUN | {"cores": 2, "mp_ctx": "forkserver"})
    assert np.array_equal(here.posterior["beta"], there.posterior["beta"])
    assert len(np.unique(here.posterior["beta"])) == 2 * 4 * 3


def test_a_restored_chain_reads_its_rows_again(files):
    step, other = (make(files, model=template()) for _ in range(2))
    step.setup_chain(np.random.default_rng(3), 0, 50)
    point = POINT
    for _ in range(30):  # 270 updates: into the second epoch
        point = step.step(point)[0]
    state = pickle.loads(pickle.dumps(step.sampling_state))
    expected = [step.step(point)[0] for _ in range(2)]
    other.setup_chain(np.random.default_rng(4), 0, 50)
    other.sampling_state = state
    found = [other.step(point)[0] for _ in range(2)]
    for a, b in zip(expected, found, strict=True):
        assert all(np.array_equal(a[name], b[name]) for name in a)


def test_a_file_that_is_cut_while_sampling(files, tmp_path):
    with template():
        step = make(files)
        os.truncate(tmp_path / "X.npy", 10_000)
        with pytest.raises(DataError, match=r'rows \d+ to \d+ of the source of "X".*EOFError'):
            pm.sample(step=step, **RUN | {"draws": 100})
    del step
    gc.collect()


class Faulty:
    """Rows that do something else after they were read so many times."""

    def __init__(self, rows, then):
        self.rows, self.then, self.left = rows, then, np.inf
        self.shape, self.dtype = rows.shape, rows.dtype

    def __getitem__(self, rows):
        self.left -= 1
        if self.left < 0:
            self.left = np.inf
            self.then()
        return self.rows[rows]


def fail():
    raise OSError("the disk is on fire")


def test_a_reader_that_fails_while_sampling():
    with template():
        faulty = Faulty(X, fail)
        step = make(ROWS | {"X": faulty})
        faulty.left = 100
        with pytest.raises(DataError, match=r'rows \d+ to \d+ of the source of "X".*on fire'):
            pm.sample(step=step, **RUN | {"draws": 1000})
    for thread in reading():
        thread.join(5)
    assert not reading()


def test_an_interrupt_keeps_the_draws():
    with template():
        faulty = Faulty(X, _thread.interrupt_main)
        step = make(ROWS | {"X": faulty})
        faulty.left = 100
        idata = pm.sample(step=step, **RUN | {"draws": 10_000, "chains": 1})
    assert 0 < idata.posterior.sizes["draw"] < 10_000
    for thread in reading():
        thread.join(5)
    assert not reading()


# rows that have an order


def regression(x, y):
    with pm.Model() as model:
        slope = pm.Normal("slope", 0, 10)
        pm.Normal("y", slope * pm.Data("x", x), 1, observed=y)
    return model


def in_order(sort):
    rng = np.random.default_rng(8)
    x = rng.normal(size=20_000)
    x = np.sort(x) if sort else x
    return {"x": x, "y": 0.5 * x + rng.normal(size=len(x))}


@pytest.mark.parametrize("sort", [False, True])
@pytest.mark.parametrize("textbook", [False, True])
def test_sorted_rows_are_noticed(sort, textbook):
    """A slope of x: blocks of large x say far more of it than others. In random order: no word."""
    data = in_order(sort)
    settings = {"data": data, "batch_size": 16, "compile_kwargs": {"mode": "FAST_COMPILE"}}
    settings |= QUICK | {"step_size": 1e-6} if textbook else {}
    model = regression(data["x"][:9], data["y"][:9])
    if not sort:
        SGLD(model=model, **settings)
        return
    message = r"times the variance" if textbook else r"by up to \d+ %"
    with pytest.warns(SGLDWarning, match=rf'rows of .*"x".* have an order.*{message}.*shuffled'):
        SGLD(model=model, **settings)
