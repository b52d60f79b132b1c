"""Which effects are found, and the reasons for which others are refused."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

from pymc_sgld import SettingError
from pymc_sgld.minibatch.groups.choose import choose_factor
from pymc_sgld.minibatch.groups.find import FactorSearch
from pymc_sgld.minibatch.model import Minibatcher
from tests.models import COVARIATE, EVEN, PASSED, SCORE

GROUPS, ROWS = 7, len(EVEN)
OTHER = (EVEN + 3) % GROUPS


def spread():
    return pm.HalfNormal("spread")


def effects(name="effect", shape=GROUPS):
    return pm.Normal(name, 0, 1, shape=shape)


def outcome(eta):
    pm.Bernoulli("y", logit_p=eta, observed=PASSED)


def model_of(build):
    with pm.Model() as model:
        spread()
        build()
    return model


def factors_of(model):
    """Return the factors of a model, and the names of what a step would sample."""
    vars = [value for value in model.value_vars if value.dtype.startswith("float")]
    rows = Minibatcher(model, vars, model.initial_point())
    names = [c.name for c in rows.inputs.coordinates]
    return FactorSearch(rows.terms, rows.fixed, rows.inputs.names, names).factors(), names


def marginalized(model, names):
    """Return the error of a minibatcher that is to integrate some effects out."""
    vars = [value for value in model.value_vars if value.dtype.startswith("float")]
    with pytest.raises(SettingError) as error:
        Minibatcher(model, vars, model.initial_point(), marginalize=names)
    return str(error.value)


# ways to write effects that are found, with their names and axes


def by_an_index():
    outcome(effects()[EVEN])


def by_data():
    index = pm.Data("index", EVEN)
    outcome(effects()[index])


def by_numbers_from_the_end():
    outcome(effects()[EVEN - GROUPS])


def by_take():
    outcome(pt.take(effects(), EVEN.astype("uint8")))


def on_the_second_axis():
    outcome(effects(shape=(1, GROUPS))[0, EVEN])


def with_an_axis_of_one():
    outcome(effects(shape=(GROUPS, 1))[EVEN].squeeze())


def slopes():
    both = effects(shape=(GROUPS, 2))
    outcome(both[EVEN, 0] + both[EVEN, 1] * COVARIATE)


def slopes_by_cholesky():
    parts = pm.HalfNormal.dist(1, shape=2)
    cholesky, *_ = pm.LKJCholeskyCov("covariance", eta=2, n=2, sd_dist=parts)
    both = pt.dot(effects(shape=(GROUPS, 2)), cholesky.T)[EVEN]
    outcome((both * np.stack([np.ones(ROWS), COVARIATE], axis=1)).sum(axis=1))


def in_the_noise_too():
    effect = effects()
    pm.Normal("y", effect[EVEN], pt.exp(effect[EVEN]), observed=SCORE)


FOUND = [
    (by_an_index, {"effect": 0}),
    (by_data, {"effect": 0}),
    (by_numbers_from_the_end, {"effect": 0}),
    (by_take, {"effect": 0}),
    (on_the_second_axis, {"effect": 1}),
    (with_an_axis_of_one, {"effect": 0}),
    (slopes, {"effect": 0}),
    (slopes_by_cholesky, {"effect": 0}),
    (in_the_noise_too, {"effect": 0}),
]


@pytest.mark.parametrize(("build", "axes"), FOUND, ids=lambda value: getattr(value, "__name__", ""))
def test_found(build, axes):
    [factor], _ = factors_of(model_of(build))
    assert factor.refusal is None and factor.axes == axes and factor.groups == GROUPS
    np.testing.assert_array_equal(factor.index["y"], EVEN)


def test_the_factor_with_the_most_groups_is_integrated_out():
    def crossed():
        outcome(effects("few", 3)[EVEN % 3] + effects("many")[EVEN])

    factors, names = factors_of(model_of(crossed))
    assert [factor.names for factor in factors] == ['"many"', '"few"']
    chosen, kept = choose_factor(factors, names, None)
    assert chosen is factors[0] and list(kept) == ['"few"']
    assert choose_factor(factors, names, ["few"])[0] is factors[1]
    with pytest.raises(SettingError, match=r"different groups.*\['many'\] or \['few'\]"):
        choose_factor(factors, names, ["few", "many"])


def test_the_innermost_factor_is_integrated_out():
    def nested():
        outer = effects("outer", 3)
        outcome(pm.Normal("inner", outer[np.arange(GROUPS) % 3], 1, shape=GROUPS)[EVEN])

    factors, _ = factors_of(model_of(nested))
    assert [(factor.axes, factor.refusal) for factor in factors] == [({"inner": 0}, None)]


def test_variables_that_one_index_picks_are_integrated_out_together():
    def three():
        one, two, three = effects("one"), effects("two"), effects("three")
        outcome(one[EVEN] + two[EVEN] * COVARIATE + three[EVEN] * COVARIATE**2)

    factors, names = factors_of(model_of(three))
    assert sorted(len(factor.axes) for factor in factors) == [1, 2]  # no more fit into a grid
    assert len(factors[0].axes) == 2 and not any(factor.refusal for factor in factors)
    with pytest.raises(SettingError, match="pass all effects of the same groups"):
        choose_factor(factors, names, [next(iter(factors[0].axes))])


def test_each_outcome_has_its_own_index():
    def two_outcomes():
        effect = effects()
        outcome(effect[EVEN])
        pm.Normal("z", effect[OTHER], 1, observed=SCORE)

    [factor], _ = factors_of(model_of(two_outcomes))
    assert factor.refusal is None
    for name, index in (("y", EVEN), ("z", OTHER)):
        np.testing.assert_array_equal(factor.index[name], index)


# ways to write effects that cannot be integrated out, and a part of the reason


def by_two_indices():
    effect = effects()
    outcome(effect[EVEN] + effect[OTHER])


def minus_their_mean():
    effect = effects()
    outcome((effect - effect.mean())[EVEN])


def minus_their_mean_in_each_row():
    effect = effects()
    outcome(effect[EVEN] - effect.mean())


def random_walk():
    start = pm.Normal.dist()
    outcome(pm.GaussianRandomWalk("effect", init_dist=start, shape=GROUPS)[EVEN])


def conditional_autoregression():
    near = np.eye(GROUPS, k=1) + np.eye(GROUPS, k=-1)
    outcome(pm.CAR("effect", mu=np.zeros(GROUPS), W=near, alpha=0.5, tau=1)[EVEN])


def one_multivariate_prior():
    outcome(pm.MvNormal("effect", np.zeros(GROUPS), np.eye(GROUPS) + 0.3)[EVEN])


def three_effects():
    design = np.stack([np.ones(ROWS), COVARIATE, COVARIATE**2], axis=1)
    outcome((effects(shape=(GROUPS, 3))[EVEN] * design).sum(axis=1))


def in_a_potential():
    effect = effects()
    pm.Potential("soft", -(effect.sum() ** 2))
    outcome(effect[EVEN])


def in_the_prior_of_another():
    effect = effects()
    outcome(effect[EVEN] + pm.Normal("other", effect.sum()))


def in_another_outcome():
    effect = effects()
    outcome(effect[EVEN])
    pm.Normal("first", effect[0], 1, observed=0.3)


def of_one_group():
    outcome(effects(shape=1)[np.zeros(ROWS, dtype=int)])


def sum_to_zero():
    outcome(pm.ZeroSumNormal("effect", shape=GROUPS)[EVEN])


def in_a_sum_over_time():
    outcome(pt.cumsum(effects())[EVEN])


REFUSED = [
    (by_two_indices, '"y" picks their entries by two different indices'),
    (minus_their_mean, 'all of "effect" enters the density of every group'),
    (minus_their_mean_in_each_row, '"effect" enters in another way than by the group of a row'),
    (random_walk, "couples the groups"),
    (conditional_autoregression, "couples the groups"),
    (one_multivariate_prior, "couples the groups"),
    (three_effects, "3 effects, and at most 2"),
    (in_a_potential, 'enters the potential "soft" as a whole'),
    (in_the_prior_of_another, 'enters the prior of "other" as a whole'),
    (in_another_outcome, 'enters "first" as a whole'),
    (of_one_group, "only one group"),
    (sum_to_zero, "depends on entries of all groups"),
    (in_a_sum_over_time, "depends on entries of all groups"),
]


@pytest.mark.parametrize(
    ("build", "reason"), REFUSED, ids=lambda value: getattr(value, "__name__", "")
)
def test_refused(build, reason):
    """By default these are sampled as other variables, and the reason is kept."""
    model = model_of(build)
    [factor], names = factors_of(model)
    assert factor.axes.keys() == {"effect"} and reason in factor.refusal
    assert choose_factor([factor], names, None) == (None, {'"effect"': factor.refusal})
    message = marginalized(model, ["effect"])
    assert (
        message.startswith('marginalize: "effect" cannot be integrated out') and reason in message
    )


# effects of which no group can be told: they are found nowhere


def by_a_parameter():
    shift = pm.DiscreteUniform("shift", 0, 2)
    outcome(effects()[(pt.as_tensor(EVEN) + shift) % GROUPS])


def by_a_matrix():
    outcome(pt.dot(np.eye(GROUPS)[EVEN], effects()))


def by_two_lists():
    outcome(effects(shape=(GROUPS, 2))[EVEN, OTHER % 2])


def by_pm_minibatch():
    index, score = pm.Minibatch(EVEN, SCORE, batch_size=5)
    pm.Normal("y", effects()[index], 1, observed=score, total_size=ROWS)


@pytest.mark.parametrize(
    "build",
    [by_a_parameter, by_a_matrix, by_two_lists, by_pm_minibatch],
    ids=lambda value: value.__name__,
)
def test_not_found(build):
    model = model_of(build)
    assert factors_of(model)[0] == []
    message = marginalized(model, ["effect"])
    assert "one fixed index of all rows (not of pm.Minibatch)" in message
    assert "marginalize=True, but the model has no effects" in marginalized(model, True)


def test_what_another_step_samples():
    def discrete():
        level = pm.Bernoulli("level", 0.4, shape=GROUPS)
        pm.Normal("y", level[EVEN], pm.HalfNormal("noise"), observed=SCORE)

    model = model_of(discrete)
    assert '"level" is sampled by another step' in marginalized(model, ["level"])
    model = model_of(by_an_index)
    [value] = [value for value in model.value_vars if value.name != "effect"]
    rows = Minibatcher(model, [value], model.initial_point(), marginalize=None)
    assert rows.groups is None
    assert rows.kept == {'"effect"': '"effect" is sampled by another step'}


def test_something_is_left_to_be_sampled():
    with pm.Model() as model:
        by_an_index()
    assert "nothing would be left" in marginalized(model, ["effect"])
    assert (
        Minibatcher(model, model.value_vars, model.initial_point(), marginalize=None).groups is None
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["unknown"], r"marginalize has \['unknown'\].*samples \['spread', 'effect'\]"),
        (["effect", "unknown"], r"marginalize has \['unknown'\]"),
        (["spread"], r'"spread" cannot be integrated out.*those that can are \[\[.effect.\]\]'),
    ],
)
def test_names(names, message):
    factors, known = factors_of(model_of(by_an_index))
    with pytest.raises(SettingError, match=message):
        choose_factor(factors, known, names)


def test_by_name():
    factors, names = factors_of(model_of(by_an_index))
    for wanted in ("effect", ["effect"], True, None):
        assert choose_factor(factors, names, wanted) == (factors[0], {})


def test_an_outcome_that_is_read_in_full():
    """Its rows are read at every update, as the user asked: in groups they would not be."""
    model = model_of(by_an_index)
    where = model, model.value_vars, model.initial_point()
    rows = Minibatcher(*where, full=["y"], marginalize=None)
    assert rows.groups is None and rows.kept == {'"effect"': '"y" is in full='}
    with pytest.raises(SettingError, match=r'"effect" cannot be integrated out: "y" is in full='):
        Minibatcher(*where, full=["y"], marginalize=["effect"])
