"""Effects of groups, of people, of items, of times: parameters gathered by the rows."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

from tests.zoo.catalogue import selectable, with_parameters_by_the_row
from tests.zoo.data import (
    COLUMNS,
    GROUPS,
    ROWS,
    X,
    binary,
    counts,
    group,
    pairs,
    second_group,
    trials,
    x,
    y,
)


@with_parameters_by_the_row
def as_many_groups_as_rows():
    spread = pm.HalfNormal("spread", shape=ROWS)
    effect = pm.Normal("effect", 0, spread, shape=ROWS)
    pm.Normal("y", effect[np.arange(ROWS) // 2], 1, observed=y)


@selectable
def varying_intercepts():
    index = pm.Data("index", group)
    center = pm.Normal("center")
    spread = pm.HalfNormal("spread")
    effect = pm.Normal("effect", center, spread, dims="group")
    slope = pm.Normal("slope")
    sigma = pm.HalfNormal("sigma")
    pm.Normal("y", effect[index] + slope * pm.Data("x", x), sigma, observed=y)


@selectable
def varying_intercepts_non_centered():
    spread = pm.HalfNormal("spread")
    z = pm.Normal("z", shape=GROUPS)
    effect = pm.Deterministic("effect", spread * z)
    pm.Normal("y", effect[group], pm.HalfNormal("sigma"), observed=y)


@selectable
def varying_slopes():
    effects = pm.Normal("effects", 0, pm.HalfNormal("spread", shape=2), shape=(GROUPS, 2))
    mean = effects[group, 0] + effects[group, 1] * x
    pm.Normal("y", mean, pm.HalfNormal("sigma"), observed=y)


@selectable
def varying_slopes_matrix():
    slopes = pm.Normal("slopes", shape=(GROUPS, COLUMNS))
    mean = (slopes[group] * X).sum(axis=-1)
    pm.Normal("y", mean, pm.HalfNormal("sigma"), observed=y)


@selectable
def crossed_effects():
    first = pm.Normal("first", shape=GROUPS)
    second = pm.Normal("second", shape=3)
    interaction = pm.Normal("interaction", shape=(GROUPS, 3))
    mean = first[group] + second[second_group] + interaction[group, second_group]
    pm.Normal("y", mean, pm.HalfNormal("sigma"), observed=y)


@selectable
def group_level_predictor():
    uranium = np.linspace(-1, 1, GROUPS)
    gamma = pm.Normal("gamma", shape=2)
    spread = pm.HalfNormal("spread")
    effect = pm.Normal("effect", gamma[0] + gamma[1] * uranium, spread, shape=GROUPS)
    pm.Normal("y", effect[group], pm.HalfNormal("sigma"), observed=y)


@selectable
def nested_groups():
    region_of_group = np.array([0, 0, 1, 1, 1])
    region = pm.Normal("region", shape=2)
    effect = pm.Normal("effect", region[region_of_group], 1, shape=GROUPS)
    pm.Normal("y", effect[group] + region[region_of_group[group]], 1, observed=y)


@selectable
def nested_indexing():
    region_of_group = pm.Data("region_of_group", np.array([0, 0, 1, 1, 1]))
    region = pm.Normal("region", shape=2)
    pm.Normal("y", region[region_of_group[pm.Data("index", group)]], 1, observed=y)


@selectable
def correlated_slopes():
    chol, _, _ = pm.LKJCholeskyCov("chol", n=2, eta=2, sd_dist=pm.Exponential.dist(1))
    z = pm.Normal("z", shape=(2, GROUPS))
    effects = pt.dot(chol, z).T
    pm.Normal("y", effects[group, 0] + effects[group, 1] * x, 1, observed=y)


@selectable
def correlated_slopes_centered():
    chol, _, _ = pm.LKJCholeskyCov("chol", n=2, eta=2, sd_dist=pm.Exponential.dist(1))
    effects = pm.MvNormal("effects", np.zeros(2), chol=chol, shape=(GROUPS, 2))
    design = np.stack([np.ones(ROWS), x], axis=1)
    pm.Normal("y", (effects[group] * design).sum(axis=1), 1, observed=y)


@selectable
def spread_by_group():
    spread = pm.HalfNormal("spread", shape=GROUPS)
    pm.StudentT("y", nu=4, mu=pm.Normal("mean"), sigma=spread[group], observed=y)


@selectable
def slope_of_a_row_of_a_design():
    slopes = pm.Normal("slopes", shape=(GROUPS, COLUMNS))
    pm.Normal("y", pt.einsum("ij,ij->i", slopes[group], pt.as_tensor(X)), 1, observed=y)


@selectable
def effects_by_one_hot_matrix():
    effect = pm.Normal("effect", shape=GROUPS)
    pm.Normal("y", pt.eye(GROUPS)[group] @ effect, 1, observed=y)


@selectable
def effects_by_dummies():
    effect = pm.Normal("effect", shape=GROUPS)
    dummies = pt.eq(pm.Data("index", group)[:, None], pt.arange(GROUPS))
    pm.Normal("y", (dummies * effect).sum(axis=1), 1, observed=y)


@selectable
def effects_by_cases():
    effect = pm.Normal("effect", shape=GROUPS)
    cases = [pt.switch(pt.eq(group, g), effect[g], 0.0) for g in range(GROUPS)]
    pm.Normal("y", sum(cases), 1, observed=y)


@selectable
def zero_sum_effects():
    effect = pm.ZeroSumNormal("effect", 1, shape=GROUPS)
    pm.Normal("y", pm.Normal("mean") + effect[group], 1, observed=y)


@selectable
def reference_level():
    effect = pt.concatenate([[0.0], pm.Normal("effect", shape=GROUPS - 1)])
    pm.Normal("y", effect[group], 1, observed=y)


@selectable
def monotone_effect():
    steps = pm.Dirichlet("steps", np.ones(GROUPS - 1))
    effect = pm.Normal("total") * pt.concatenate([[0.0], pt.cumsum(steps)])
    pm.Normal("y", effect[group], 1, observed=y)


@selectable
def local_level_by_week():
    level = pm.GaussianRandomWalk("level", sigma=1, init_dist=pm.Normal.dist(), steps=ROWS // 4 - 1)
    pm.Poisson("y", pm.math.exp(level[np.arange(ROWS) // 4] / 4), observed=counts)


@selectable
def autoregression_by_week():
    level = pm.AR("level", [0.5], sigma=1, init_dist=pm.Normal.dist(), steps=6)
    pm.Normal("y", level[np.arange(ROWS) // 4], 1, observed=y)


@selectable
def gaussian_process_of_groups():
    process = pm.gp.Latent(cov_func=pm.gp.cov.ExpQuad(1, pm.HalfNormal("scale") + 1))
    effect = process.prior("effect", X=np.arange(GROUPS)[:, None])
    pm.Normal("y", effect[group], 1, observed=y)


@selectable
def spatial_areas():
    neighbours = np.eye(GROUPS, k=1) + np.eye(GROUPS, k=-1)
    effect = pm.ICAR("effect", W=neighbours)
    pm.Poisson("y", pm.math.exp(effect[group]), observed=counts)


@selectable
def multiple_membership():
    effect = pm.Normal("effect", shape=GROUPS)
    pm.Normal("y", effect[pairs].mean(axis=1), 1, observed=y)


@selectable
def dyads():
    sender, receiver = pm.Normal("sender", shape=GROUPS), pm.Normal("receiver", shape=GROUPS)
    friendship = pm.Normal("friendship", shape=(GROUPS, GROUPS))
    index = pm.Data("pairs", pairs)
    first, second = index[:, 0], index[:, 1]
    eta = sender[first] + receiver[second] + friendship[first, second]
    pm.Bernoulli("y", logit_p=eta, observed=binary)


@selectable
def three_way_table():
    effects = pm.Normal("effects", shape=(GROUPS, 3, 2))
    pm.Normal("y", effects[group, second_group, binary], 1, observed=y)


@selectable
def slice_of_a_table():
    effects = pm.Normal("effects", shape=(2, GROUPS, 3))
    pm.Normal("y", effects[:, group, 1:].sum(axis=(0, 2)) + effects[0, group, 0], 1, observed=y)


@selectable
def horseshoe():
    local, shrinkage = pm.HalfCauchy("local", 1, shape=COLUMNS), pm.HalfCauchy("shrinkage", 1)
    beta = pm.Normal("z", shape=COLUMNS) * local * shrinkage
    pm.Bernoulli("y", logit_p=X @ beta, observed=binary)


@selectable
def marginal_overdispersion():
    mean, size = pm.Beta("mean", 2, 2), pm.HalfNormal("size", shape=GROUPS)
    pm.BetaBinomial(
        "y", n=trials, alpha=mean * size[group], beta=(1 - mean) * size[group], observed=counts
    )


@selectable
def level_by_a_recursion():
    growth, start = pm.Normal("growth", 0, 0.1), pm.Normal("start")
    level = pytensor.scan(
        lambda shock, before, growth: before * (1 + growth) + shock,
        sequences=[pm.Data("shocks", np.linspace(0, 1, 7))],
        outputs_info=[start],
        non_sequences=[growth],
        return_updates=False,
    )
    pm.Normal("y", level[np.arange(ROWS) // 4], 1, observed=y)


@with_parameters_by_the_row
def gaussian_process_of_known_scale():
    process = pm.gp.Latent(cov_func=pm.gp.cov.ExpQuad(1, 0.3))
    pm.Normal("y", process.prior("f", X=x[:, None]), 1, observed=y)
