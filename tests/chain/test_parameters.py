"""What a chain and its coupled chain are compared in: parameters, and what follows from them."""

import cloudpickle
import numpy as np
import pymc as pm
import pymc.dims as pmd
import pytensor.tensor as pt
import pytest

from pymc_sgld import SGLD
from pymc_sgld.chain import parameters
from pymc_sgld.chain.coupled import CoupledDifference
from pymc_sgld.chain.judge import Judge
from pymc_sgld.chain.noise_monitor import Reading
from pymc_sgld.chain.parameters import ParameterValues
from pymc_sgld.messages import Reason
from tests.graphs import random_point

ROWS = 30
rng = np.random.default_rng(1)
x, group = rng.normal(size=ROWS), rng.integers(0, 4, size=ROWS)


def values_of(model, vars=None):
    vars = model.value_vars if vars is None else [model.rvs_to_values[v] for v in vars]
    return ParameterValues(model, vars, model.initial_point())


def test_deterministics_follow_the_parameters():
    """Their names, and the numbers that PyMC has for them."""
    with pm.Model() as model:
        scale = pm.HalfNormal("scale")
        z = pm.Normal("z", shape=4)
        effect = pm.Deterministic("effect", scale * z)
        pm.Deterministic("table", pt.exp(effect[:, None]) * np.ones((4, 2)))
        pm.Deterministic("ratio", z[0] / scale)
        pm.Normal("y", effect[group], 1, observed=x)
    values = values_of(model)
    point = random_point(model)
    expected = model.compile_fn(
        model.replace_rvs_by_values(
            [model[name] for name in ("scale", "z", "effect", "table", "ratio")]
        ),
        inputs=model.value_vars, mode="FAST_COMPILE", on_unused_input="ignore",
    )(point)  # fmt: skip
    found = values(point)
    np.testing.assert_allclose(found, np.concatenate([np.ravel(each) for each in expected]))
    assert len(values.names) == len(found)
    assert values.names[:5] == ["scale", *[f"z[{i}]" for i in range(4)]]
    assert values.names[5:9] == [f"effect[{i}]" for i in range(4)]
    assert values.names[9:12] == ["table[0, 0]", "table[0, 1]", "table[1, 0]"]
    assert values.names[-1] == "ratio"


def test_deterministics_that_are_left_out():
    with pm.Model() as model:
        effect = pm.Normal("effect", shape=4)
        count = pm.Poisson("count", 2)
        other = pm.Normal("other")
        mean = pm.Deterministic("row", effect[group] + other)  # one entry a row
        pm.Deterministic("rows", pm.Data("x", x)[:, None] * effect)
        pm.Deterministic("best", pt.argmax(effect))
        pm.Deterministic("positive", effect > 0)
        pm.Deterministic("noise", effect + pm.Normal.dist(size=4))  # another one at each call
        pm.Deterministic("large", effect[0] * np.ones(parameters.MOST_DATA + 1))
        pm.Deterministic("grid", pt.outer(effect, pt.ones(parameters.MOST_ENTRIES // 4 + 1)))
        pm.Deterministic("of_other", 2 * other)
        pm.Deterministic("of_both", effect.sum() + other + count)
        pm.Normal("y", mean, 1, observed=x)
    own = [f"effect[{i}]" for i in range(4)]
    assert values_of(model, [effect]).names == [*own, "of_both"]
    assert values_of(model, [other]).names == ["other", "of_other", "of_both"]


def test_as_many_parameters_as_rows_are_no_rows():
    """The effects of eight schools have as many entries as there are observations."""
    with pm.Model() as model:
        z = pm.Normal("z", shape=ROWS)
        theta = pm.Deterministic("theta", 2 * z)
        pm.Normal("y", theta, 1, observed=x)
    assert len(values_of(model).names) == 2 * ROWS


def test_no_more_entries_than_may_be(monkeypatch):
    """One that does not fit leaves room for those after it."""
    monkeypatch.setattr(parameters, "MOST_ENTRIES", 5)
    with pm.Model() as model:
        b = pm.Normal("b", shape=4)
        pm.Deterministic("four", 2 * b)
        pm.Deterministic("two", b[:2] + 1)
        pm.Deterministic("one", b.sum())
    assert values_of(model).names[4:] == [*[f"four[{i}]" for i in range(4)], "one"]


def test_named_dimensions():
    with pm.Model(coords={"group": range(4), "row": range(ROWS)}) as model:
        effect = pmd.Normal("effect", dims="group")
        pmd.Deterministic("odds", pmd.math.exp(effect))
        mean = pmd.Deterministic("mean", effect.isel(group=pmd.Data("index", group, dims="row")))
        pmd.Normal("y", mean, 1, observed=pmd.Data("x", x, dims="row"))
    values = values_of(model)
    assert values.names[4:] == [f"odds[{i}]" for i in range(4)]
    point = random_point(model)
    np.testing.assert_allclose(values(point)[4:], np.exp(point["effect"]))


def test_what_fails_at_a_point_ends_nothing():
    """An operation that raises, data of another shape, numbers that overflow: NaN, or infinite."""
    with pm.Model() as model:
        b = pm.Normal("b")
        new = pm.Data("new", np.ones(3))
        pm.Deterministic("checked", pt.specify_shape(new, (3,)).sum() * b)
        pm.Deterministic("predicted", new * pt.exp(b))
        pm.Normal("y", b, 1, observed=x)
    values = values_of(model)
    assert values.names == ["b", "checked", *[f"predicted[{i}]" for i in range(3)]]
    assert values({"b": np.array(1000.0)})[2] == np.inf
    with model:
        pm.set_data({"new": np.ones(4)})
    found = values({"b": np.array(2.0)})
    assert found[0] == 2 and len(found) == 5 and np.isnan(found[1:]).all()


def test_entries_that_are_not_finite_hide_no_others():
    rng = np.random.default_rng(3)
    coupled = CoupledDifference(4, 105, 1)
    for _ in range(105):
        draw, off = rng.normal(size=2)
        large = rng.choice([1.0, 1e200, np.inf])
        coupled.compare(
            np.array([large, np.nan, 1.0, draw + 0.5 + 0.1 * off]), np.array([1, np.nan, 1, draw])
        )
    names = ["large", "none", "constant", "shifted"]
    judge = Judge(names, names, 0.05, None, True)
    [message] = judge.messages(Reading.none(4), coupled.bias(), 0.1)
    assert "the mean of shifted is about +" in message.text


EFFECTS, STEP_SIZE = 150, 0.4


def wide(integrator):
    """Return a step whose steps widen effects by 5 %, after a chain of it, and the last stats."""
    with pm.Model() as model:
        effect = pm.Normal("effect", shape=EFFECTS)
        pm.Deterministic("total", pt.exp(effect).sum())
        pm.Normal("y", effect.sum(), 1000, observed=x)
        step = SGLD(
            batch_size=ROWS,
            step_size=STEP_SIZE,
            integrator=integrator,
            steps_per_draw=10,
            bias_target=0.2,
            compile_kwargs={"mode": "FAST_COMPILE"},
        )
    step.setup_chain(np.random.default_rng(2), 0, 500)
    point = model.initial_point()
    for _ in range(500):
        point, [stats] = step.step(point)
    return step, stats


def test_a_deterministic_that_is_biased_is_named():
    """What the parameters themselves do not show: none of them is off by more than 5 %.

    Euler–Maruyama steps on a Gaussian of variance 1 give the variance v = 1 / (1 - ε / 4), and its
    exponential has the mean exp(v / 2). What half the step changes, times 2, is the bias.
    """
    step, stats = wide("euler_maruyama")
    assert stats["reasons"] == Reason.MEAN
    assert "the mean of total is about +0." in stats["warning"].message
    bias = step.chain.coupled.bias()
    full, half = 1 / (1 - STEP_SIZE / 4), 1 / (1 - STEP_SIZE / 8)
    change = np.exp(full / 2) - np.exp(half / 2)
    expected = 2 * np.sqrt(EFFECTS) * change / np.sqrt((np.exp(full) - 1) * np.exp(full))
    error = np.hypot(bias.shift_error[-1], 0.08 * expected)  # and of the sd of 100 draws
    assert abs(bias.shift[-1] - expected) < 5 * error
    without = [each[:-1] for each in bias]
    assert not step._transition.verdict.judge.excess(type(bias)(*without))[0]


def test_a_deterministic_that_is_right_is_not_named():
    """Averaged noise gives a Gaussian its variance, with steps of the same size."""
    assert wide("leimkuhler_matthews")[1]["warning"] is None


@pytest.mark.parametrize("count", [1, 4])
def test_a_step_that_compares_deterministics_is_pickled(count):
    with pm.Model() as model:
        b = pm.Normal("b", shape=count)
        pm.Deterministic("twice", 2 * b)
    values = values_of(model)
    again = cloudpickle.loads(cloudpickle.dumps(values))
    point = {"b": np.arange(1.0, count + 1)}
    assert np.array_equal(again(point), values(point)) and again.names == values.names
