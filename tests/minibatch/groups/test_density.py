"""The log density with the effects of groups integrated out.

That of each group is compared with a sum over a grid of what PyMC computes; batches, with all
groups, by enumeration.
"""

from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pymc as pm
import pymc.dims as pmd
import pytensor
import pytensor.tensor as pt
import pytest

from pymc_sgld import SGLD, MinibatchError
from pymc_sgld.backends.numpy_mode import run_by_numpy
from pymc_sgld.gradients import ESTIMATORS
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.tuning.estimators import EstimatorNoise
from tests.graphs import by_group, log_marginal, position_of, random_point
from tests.models import COUNT, COVARIATE, EVEN, LEVELS, PASSED, SCORE, effects_of_groups

pytestmark = pytest.mark.usefixtures("few_rows_make_classes")

ROWS = len(EVEN)
HALF = np.arange(ROWS) % 3
LINE, COARSE = np.arange(-9, 9, 0.1), np.arange(-7, 7, 0.4)
GRID = {1: (15, LINE), 2: (9, COARSE)}


def integrated(model, marginalize=None, nodes=None):
    """Return a minibatcher that integrates effects out."""
    rows = Minibatcher(
        model, model.value_vars, random_point(model, seed=8), marginalize=marginalize
    )
    if nodes is not None:
        rows.groups.use_nodes(nodes)
    return rows


def check_model(model, axes, index, atol=1e-6):
    """Each group's log-likelihood is the integral of what PyMC computes, and so is the rest."""
    rows, point = integrated(model), random_point(model)
    assert {effect.name: effect.axis for effect in rows.groups.effects} == axes
    nodes, line = GRID[rows.groups.q]
    if rows.groups.nodes_each > 1:
        rows.groups.use_nodes(nodes)
    values, rest = by_group(rows, point)
    expected, others = log_marginal(model, axes, index, point, line)
    np.testing.assert_allclose(rest, others, rtol=1e-9)
    np.testing.assert_allclose(values, expected, rtol=0, atol=atol)
    empty = sum(np.bincount(of, minlength=rows.groups.count) for of in index.values()) == 0
    assert np.abs(values[empty]).max(initial=0) < atol  # a prior integrates to one
    return rows


@pytest.mark.parametrize("family", ["bernoulli", "gaussian"])
def test_intercepts(family):
    """Of groups of two classes: a group's value does not depend on what fills it up."""
    sizes, normal = "unequal" if family == "bernoulli" else "even", family == "gaussian"
    model = effects_of_groups(family, sizes=sizes)
    atol = 1e-10 if normal else 1e-6
    rows = check_model(model, {"effect": 0}, {"y": LEVELS[sizes][0]}, atol)
    assert (rows.groups.nodes_each == 1) == normal
    assert len(rows.groups.classes) == (1 if normal else 2)


@pytest.fixture(scope="module")
def counts():
    """Return a model of counts, its effects integrated out with 15 nodes."""
    model = effects_of_groups("poisson")
    return model, integrated(model, ["effect"], nodes=15)


def test_parametrisations_are_alike(counts):
    model, rows = counts
    point = random_point(model)
    centered, rest = by_group(rows, point)
    rows = integrated(effects_of_groups("poisson", centered=False), ["z"], nodes=15)
    other, other_rest = by_group(rows, point | {"z": np.zeros(7)})
    np.testing.assert_allclose(centered, other, atol=1e-6)
    np.testing.assert_allclose(rest, other_rest)
    expected, _ = log_marginal(model, {"effect": 0}, {"y": EVEN}, point, LINE)
    np.testing.assert_allclose(centered, expected, atol=1e-6)


def nested():
    with pm.Model() as model:
        spread = pm.HalfNormal("spread", shape=2)
        outer = pm.Normal("outer", 0, spread[0], shape=3)
        inner = pm.Normal("inner", outer[np.arange(7) % 3], spread[1], shape=7)
        pm.Bernoulli("y", logit_p=inner[EVEN], observed=PASSED)
    return model, {"inner": 0}, {"y": EVEN}


def crossed():
    with pm.Model() as model:
        spread = pm.HalfNormal("spread", shape=2)
        few = pm.Normal("few", 0, spread[0], shape=3)
        many = pm.Normal("many", 0, spread[1], shape=7)
        pm.Bernoulli("y", logit_p=few[HALF] + many[EVEN], observed=PASSED)
    return model, {"many": 0}, {"y": EVEN}


def two_outcomes():
    """Each with its own index, and one group that only one of them has."""
    other = (EVEN[:20] + 3) % 7
    with pm.Model() as model:
        spread, loading = pm.HalfNormal("spread"), pm.Normal("loading")
        effect = pm.Normal("effect", 0, spread, shape=7)
        pm.Bernoulli("y", logit_p=effect[EVEN], observed=PASSED)
        pm.Normal("z", loading * effect[other], 1, observed=SCORE[:20])
        pm.Normal("apart", loading, 1, observed=SCORE[:4])
    return model, {"effect": 0}, {"y": EVEN, "z": other}


def covariates_of_groups():
    """A mean and a spread of each group's own; the index counts from the end."""
    with pm.Model() as model:
        spread = pm.HalfNormal("spread", shape=2)
        mean = pm.Normal("mean") * pm.Data("u", np.linspace(-1, 1, 7))
        effect = pm.Normal("effect", mean, spread[np.arange(7) % 2], shape=7)
        pm.Bernoulli("y", logit_p=pm.Normal("slope") * effect[EVEN - 7], observed=PASSED)
    return model, {"effect": 0}, {"y": EVEN}


def an_effect_of_each_row():
    with pm.Model() as model:
        effect = pm.Normal("effect", pm.Normal("mean"), pm.HalfNormal("spread"), shape=ROWS)
        pm.Poisson("y", pt.exp(effect), observed=COUNT)
    return model, {"effect": 0}, {"y": np.arange(ROWS)}


def effects_below_effects():
    """Two numbers for each group, one the mean of the other."""
    with pm.Model() as model:
        upper = pm.Normal("upper", 0, pm.HalfNormal("spread"), shape=7)
        lower = pm.Normal("lower", upper, 0.5, shape=7)
        pm.Bernoulli("y", logit_p=lower[EVEN] + 0.3 * upper[EVEN], observed=PASSED)
    return model, {"upper": 0, "lower": 0}, {"y": EVEN}


def positive_effects():
    """Of which the unconstrained values are integrated over."""
    with pm.Model() as model:
        rate = pm.Gamma("rate", 3, pm.HalfNormal("scale"), shape=7)
        pm.Poisson("y", rate[EVEN], observed=COUNT)
    return model, {"rate": 0}, {"y": EVEN}


def named_dimensions():
    with pm.Model(coords={"group": list("abcdefg"), "row": np.arange(ROWS)}) as model:
        index = pmd.Data("index", EVEN, dims="row")
        effect = pmd.Normal("effect", pmd.Normal("mean"), pmd.HalfNormal("spread"), dims="group")
        eta = effect.isel(group=index)
        pmd.Bernoulli("y", logit_p=eta, observed=pmd.Data("passed", PASSED, dims="row"))
    return model, {"effect": 0}, {"y": EVEN}


ONE_EFFECT = [
    nested,
    crossed,
    two_outcomes,
    covariates_of_groups,
    an_effect_of_each_row,
    named_dimensions,
]


@pytest.mark.parametrize("build", ONE_EFFECT, ids=lambda build: build.__name__)
def test_one_effect(build):
    check_model(*build())


def test_skewed_effects():
    """Their tails ask for more nodes."""
    check_model(*positive_effects(), atol=2e-3)


def cholesky():
    """Return a factor of a covariance, of numbers that are the same in several models."""
    root = pm.Normal("root", shape=3)
    return pt.stack([pt.stack([pt.exp(root[0]), 0.0]), pt.stack([root[1], pt.exp(root[2])])])


def slopes():
    """Intercepts and slopes, correlated, by independent numbers."""
    with pm.Model() as model:
        effects = pt.dot(cholesky(), pm.Normal("effects", shape=(2, 7)))
        eta = effects[0, EVEN] + effects[1, EVEN] * COVARIATE
        pm.Bernoulli("y", logit_p=eta, observed=PASSED)
    return model


def centered_slopes():
    with pm.Model() as model:
        effects = pm.MvNormal("effects", np.zeros(2), chol=cholesky(), shape=(7, 2))
        eta = effects[EVEN, 0] + effects[EVEN, 1] * COVARIATE
        pm.Bernoulli("y", logit_p=eta, observed=PASSED)
    return model


@pytest.mark.long
def test_correlated_slopes():
    """Centered and not, the groups on the first axis or the second: one marginal density."""
    root = {"root": np.array([0.1, 0.4, -0.2])}
    at = slopes().initial_point() | root
    expected, _ = log_marginal(slopes(), {"effects": 1}, {"y": EVEN}, at, COARSE)
    for model, axis in ((slopes(), 1), (centered_slopes(), 0)):
        rows = integrated(model, nodes=9)
        assert rows.groups.q == 2 and rows.groups.effects[0].axis == axis
        values, _ = by_group(rows, model.initial_point() | root)
        np.testing.assert_allclose(values, expected, atol=1e-4)


def test_intercepts_and_slopes_of_their_own():
    """One index picks both: they are integrated out together."""
    with pm.Model() as model:
        spread = pm.HalfNormal("spread", shape=2)
        intercept = pm.Normal("intercept", 0, spread[0], shape=7)
        slope = pm.Normal("slope", 0, spread[1], shape=7)
        eta = intercept[EVEN] + slope[EVEN] * COVARIATE
        pm.Normal("y", eta, pm.HalfNormal("noise"), observed=SCORE)
    rows = check_model(model, {"intercept": 0, "slope": 0}, {"y": EVEN})
    assert rows.groups.nodes_each == 1


def test_slopes_of_the_density(counts):
    """By the position, beside differences of the sums over a grid."""
    model, rows = counts
    point = random_point(model)
    density = rows.blocks(4096)
    position = position_of(density, point)
    _, gradients = FullData(density).gradients(position, [])
    step, expected = 1e-4, []
    for c in density.coordinates:
        sides = [point | {c.value_name: point[c.value_name] + s * step} for s in (1, -1)]
        sums = [log_marginal(model, {"effect": 0}, {"y": EVEN}, at, LINE) for at in sides]
        expected.append(
            sum(np.sum(above) - np.sum(below) for above, below in zip(*sums)) / 2 / step
        )
    np.testing.assert_allclose(gradients.sum(axis=0), expected, atol=1e-5)


def test_derivatives_where_effects_are_normal():
    """One node is exact, and so are slopes and curvatures: the mode moves with the position."""
    model = effects_of_groups("gaussian", centered=False)
    density = integrated(model).blocks(4096)
    data, position = FullData(density), position_of(density, random_point(model))
    _, gradients = data.gradients(position, [])
    hessians = data.hessians(position, [])
    step = 1e-5 * np.eye(len(position))
    sides = [(data.gradients(position + s, []), data.gradients(position - s, [])) for s in step]
    slopes = np.stack([(a[0] - b[0]) / 2e-5 for a, b in sides], axis=-1)
    bends = np.stack([(a[1] - b[1]) / 2e-5 for a, b in sides], axis=-1)
    np.testing.assert_allclose(gradients, slopes, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(hessians, bends, rtol=1e-6, atol=1e-6)
    assert np.abs(hessians[1]).max() > 1


@pytest.fixture(scope="module")
def batches():
    """Return a density for batches of groups of two classes, and all of them at a position."""
    model = effects_of_groups(sizes="unequal")
    rows, point = integrated(model), random_point(model)
    rows.groups.use_nodes(5, newton=2)
    density = rows.density(12)
    assert not density.whole
    assert [(t.total_size, t.batch_size) for t in density.tables] == [(6, 2), (2, 1)]
    assert sum(t.total_size * t.rows_each for t in density.tables) == ROWS == density.rows
    data, position = FullData(rows.blocks(4096)), position_of(density, point)
    center = data.center(position + 0.3, [], second_order=False)
    return density, data, center, position


def enumerated(density, estimate, position):
    """Return the gradients of all batches of an epoch of each table, (batches, d)."""
    inputs = [density.position, *[d.variable for d in density.data], *estimate.arrays]
    evaluate = run_by_numpy(inputs, [estimate.gradient])
    epochs = [
        np.random.default_rng(3).permutation(t.total_size).reshape(-1, t.batch_size)
        for t in density.tables
    ]
    return np.array(
        [
            evaluate(
                position,
                *[d.array[rows] for t, rows in zip(density.tables, of_each) for d in t.data],
                *estimate.arrays.values(),
            )[0]
            for of_each in product(*epochs)
        ]
    )


@pytest.mark.parametrize("name", ["minibatch", "control_variate"])
def test_unbiased(batches, name):
    """The mean over all batches is the gradient of all groups."""
    density, data, center, position = batches
    found = enumerated(density, ESTIMATORS[name](density, center), position)
    full = data.gradients(position, [])[1].sum(axis=0)
    np.testing.assert_allclose(found.mean(axis=0), full, rtol=1e-8)
    assert found.std(axis=0).max() > 1e-4


def test_unbiased_with_stored_gradients(batches):
    """What is stored is off by an error of the size of the quadrature's, the mean is not."""
    density, data, center, position = batches
    at_center = {i: data.gradients_of_rows(i + 1, center.position, []) for i in range(2)}
    for i, gradients in at_center.items():
        np.testing.assert_allclose(gradients.sum(axis=0), center.gradients[i + 1], atol=0.01)
    stored = density.with_rows_at_center(at_center)
    estimate = ESTIMATORS["control_variate"](stored, center)
    full = data.gradients(position, [])[1].sum(axis=0)
    found = enumerated(stored, estimate, position)
    np.testing.assert_allclose(found.mean(axis=0), full, rtol=1e-8)
    plain = enumerated(density, ESTIMATORS["control_variate"](density, center), position)
    np.testing.assert_allclose(found, plain, atol=0.01)


def test_a_run_stores_the_gradients_of_its_own_groups(batches):
    """At the center batches then have no noise; others would leave the mean right."""
    density, data, center, _ = batches
    gaussian = SimpleNamespace(mean=center.position, center=None)
    search = SimpleNamespace(others=[], names=[])
    asked = SimpleNamespace(gradient="control_variate")
    noise = EstimatorNoise(data, gaussian, asked, search, None)
    stored = noise.with_rows_at_center("control_variate", density)
    assert all(table.at_center is not None for table in stored.tables)
    estimate = ESTIMATORS["control_variate"](stored, noise.center)
    found = enumerated(stored, estimate, center.position)
    np.testing.assert_allclose(found, np.broadcast_to(found.mean(axis=0), found.shape), atol=0.02)
    plain = enumerated(density, ESTIMATORS["minibatch"](density, None), center.position)
    assert plain.std(axis=0).max() > 0.5


def test_a_wrong_scale_is_found(batches):
    """The control of the tests above: groups that count as rows do, 35 to 12."""
    density, data, _, position = batches
    tables = tuple(replace(t, total_size=ROWS, batch_size=12) for t in density.tables)
    wrong = ESTIMATORS["minibatch"](replace(density, tables=tables), None)
    full = data.gradients(position, [])[1].sum(axis=0)
    off = enumerated(density, wrong, position).mean(axis=0) - full
    assert np.abs(off).max() > 0.1


def test_kinks_are_not_taken_for_a_normal_density():
    """The curvature is the same on both sides of the kinks of a Laplace likelihood."""
    with pm.Model() as model:
        effect = pm.Normal("effect", pm.Normal("mean"), pm.HalfNormal("spread"), shape=7)
        pm.Laplace("y", effect[EVEN], 1, observed=SCORE)
    assert integrated(model).groups.nodes_each > 1


def test_effects_without_an_influence_at_the_initial_point():
    """There their density is normal, and elsewhere it is not."""
    with pm.Model() as model:
        effect = pm.Normal("effect", shape=7)
        pm.Bernoulli("y", logit_p=pm.Normal("loading") * effect[EVEN], observed=PASSED)
    rows = Minibatcher(model, model.value_vars, model.initial_point(), marginalize=["effect"])
    assert rows.groups.nodes_each > 1


def test_support_of_effects():
    """No mean of a Poisson distribution is negative: there the density is zero, and at zero too."""
    with pm.Model() as model:
        rate = pm.Normal("rate", 3, pm.HalfNormal("spread"), shape=7)
        pm.Poisson("y", rate[EVEN], observed=COUNT + 1)
    rows, point = integrated(model, nodes=31), random_point(model)
    values, _ = by_group(rows, point)
    fine = np.arange(-9, 15, 0.02)
    expected, _ = log_marginal(model, {"rate": 0}, {"y": EVEN}, point, fine)
    np.testing.assert_allclose(values, expected, atol=0.02)


@pytensor.config.change_flags(floatX="float32")
def test_float32():
    model = effects_of_groups("gaussian")
    rows, point = integrated(model), random_point(model)
    assert rows.inputs.position.dtype == "float32" and rows.groups.nodes_each == 1
    values, _ = by_group(rows, point)
    assert values.dtype == "float64" and np.isfinite(values).all()
    wide = effects_of_groups("gaussian")
    expected, _ = log_marginal(wide, {"effect": 0}, {"y": EVEN}, point, LINE)
    np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-3)


def test_another_meaning_of_a_group_is_told(counts, monkeypatch):
    """What is integrated is compared with PyMC's log density, group by group, before a run."""
    _, rows = counts
    [outcome] = rows.groups.outcomes
    monkeypatch.setattr(outcome, "value", outcome.value + 0.1 * (EVEN == 4))
    with pytest.raises(MinibatchError, match=r'density of group 4 of "effect".*marginalize=False'):
        rows.density(ROWS)


@pytest.mark.long
def test_few_rows_of_groups_are_all_read():
    """A chosen batch has all groups: no noise is measured. One that is asked for has not."""
    rng = np.random.default_rng(5)
    group = np.repeat(np.arange(6), 20)
    with pm.Model() as model:
        spread = pm.HalfNormal("spread", 1)
        effect = pm.Normal("effect", 0, spread, shape=6)
        pm.Normal("y", effect[group], 1, observed=rng.normal(size=6)[group] + rng.normal(size=120))
    settings = {"model": model, "compile_kwargs": {"mode": "FAST_COMPILE"}}
    assert list(SGLD(**settings).tables.values()) == [(6, 6)]
    assert list(SGLD(batch_size=40, **settings).tables.values()) == [(2, 6)]
