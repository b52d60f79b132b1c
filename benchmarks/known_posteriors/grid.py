"""Simulated hierarchical models, each with centered and with non-centered group effects: the grid.

Both twins have the same posterior of all that is compared, and so one reference.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from .posterior import Posterior, check_data, read


def effects(name: str, mean, spread, size: int, centered: bool):
    """Return normal effects of groups."""
    if centered:
        return pm.Normal(name, mean, spread, shape=size)
    offset = pm.Normal(f"{name}_offset", shape=size)
    return pm.Deterministic(name, mean + spread * offset)


def _normal(rng, truth, expected) -> list[str]:
    noise = pm.HalfNormal("noise", 2)
    pm.Normal("y", expected, noise, observed=rng.normal(truth, 1))
    return ["noise"]


def _bernoulli(rng, truth, logit) -> list[str]:
    pm.Bernoulli("y", logit_p=logit, observed=(truth > rng.logistic(size=len(truth))).astype(int))
    return []


def _poisson(rng, truth, log_mean) -> list[str]:
    pm.Poisson("y", pt.exp(log_mean), observed=rng.poisson(np.exp(truth)))
    return []


def _student_t(rng, truth, expected) -> list[str]:
    nu = pm.Gamma("nu", 2, 0.1)
    noise = pm.HalfNormal("noise", 2)
    observed = truth + rng.standard_t(4, len(truth))
    pm.StudentT("y", nu=nu, mu=expected, sigma=noise, observed=observed)
    return ["nu", "noise"]


def intercepts(outcome, groups, rows, spread, rng, centered: bool) -> list[str]:
    """An intercept for each group, and one slope."""
    group = np.repeat(np.arange(groups), rows)
    x = rng.standard_normal(len(group))
    truth = 0.5 + rng.normal(0, spread, groups)[group] + 0.4 * x
    mean, slope = pm.Normal("mean", 0, 5), pm.Normal("slope", 0, 1)
    scale = pm.HalfNormal("spread", 1)
    expected = effects("group", mean, scale, groups, centered)[group] + slope * x
    return ["mean", "slope", "spread", "group", *outcome(rng, truth, expected)]


def slopes(outcome, groups, rows, rng, centered: bool) -> list[str]:
    """An intercept and a slope for each group, independent of each other."""
    group = np.repeat(np.arange(groups), rows)
    x = rng.standard_normal(len(group))
    truth = rng.normal(-0.3, 0.8, groups)[group] + rng.normal(0.5, 0.4, groups)[group] * x
    mean = pm.Normal("mean", 0, 2, shape=2)
    scale = pm.Exponential("spread", 1, shape=2)
    intercept = effects("intercept", mean[0], scale[0], groups, centered)
    slope = effects("slope", mean[1], scale[1], groups, centered)
    compared = ["mean", "spread", "intercept", "slope"]
    return compared + outcome(rng, truth, intercept[group] + slope[group] * x)


def correlated(groups, rows, rng, centered: bool | None) -> list[str]:
    """An intercept and a slope for each group, with a correlation.

    Without a choice, slopes are conditional on intercepts: for NUTS, the quickest of the three.
    """
    group = np.repeat(np.arange(groups), rows)
    x = rng.standard_normal(len(group))
    covariance = [[0.64, -0.16], [-0.16, 0.25]]
    coefficients = rng.multivariate_normal([1, 0.5], covariance, groups)
    truth = coefficients[group, 0] + coefficients[group, 1] * x
    mean = pm.Normal("mean", 0, 2, shape=2)
    sd_dist = pm.Exponential.dist(1, shape=2)
    cholesky, matrix, _ = pm.LKJCholeskyCov("covariance", eta=2, n=2, sd_dist=sd_dist)
    pm.Deterministic("correlation", matrix[0, 1])
    if centered is None:
        intercept = pm.Normal("intercept", mean[0], cholesky[0, 0], shape=groups)
        expected_slope = mean[1] + cholesky[1, 0] * (intercept - mean[0]) / cholesky[0, 0]
        slope = pm.Normal("slope", expected_slope, cholesky[1, 1])
        group_effects = pm.Deterministic("group", pt.stack([intercept, slope], axis=1))
    elif centered:
        group_effects = pm.MvNormal("group", mean, chol=cholesky, shape=(groups, 2))
    else:
        offset = pm.Normal("offset", shape=(groups, 2))
        group_effects = pm.Deterministic("group", mean + pt.dot(offset, cholesky.T))
    expected = group_effects[group, 0] + group_effects[group, 1] * x
    compared = ["mean", "covariance_stds", "correlation", "group"]
    return compared + _normal(rng, truth, expected)


def ordinal(groups, rows, rng, centered: bool) -> list[str]:
    """Four ordered categories, with effects of groups around zero."""
    group = np.repeat(np.arange(groups), rows)
    x = rng.standard_normal(len(group))
    latent = rng.normal(0, 0.7, groups)[group] + 0.6 * x + rng.logistic(size=len(group))
    slope = pm.Normal("slope", 0, 1)
    spread = pm.Exponential("spread", 1)
    ordered = pm.distributions.transforms.ordered
    cutpoints = pm.Normal("cutpoints", 0, 5, shape=3, transform=ordered, initval=[-1, 0, 1])
    eta = effects("group", 0, spread, groups, centered)[group] + slope * x
    observed = np.digitize(latent, [-1.5, 0, 2])
    pm.OrderedLogistic("y", eta=eta, cutpoints=cutpoints, observed=observed)
    return ["slope", "spread", "cutpoints", "group"]


def crossed(items, raters, rng, centered: bool) -> list[str]:
    """A rating of each item by each rater."""
    item, rater = np.indices((items, raters)).reshape(2, -1)
    truth = 3 + rng.normal(0, 0.8, items)[item] + rng.normal(0, 0.4, raters)[rater]
    mean = pm.Normal("mean", 0, 5)
    spread = pm.HalfNormal("item_spread", 1), pm.HalfNormal("rater_spread", 1)
    of_item = effects("item", 0, spread[0], items, centered)
    of_rater = effects("rater", 0, spread[1], raters, centered)
    compared = ["mean", "item_spread", "rater_spread", "item", "rater"]
    return compared + _normal(rng, truth, mean + of_item[item] + of_rater[rater])


def item_response(persons, items, rng, centered: bool) -> list[str]:
    """Answers of each person to each item, with the discrimination and difficulty of the item."""
    person, item = np.indices((persons, items)).reshape(2, -1)
    sharp, hard = rng.lognormal(0, 0.3, items), rng.normal(0.2, 1, items)
    truth = sharp[item] * (rng.standard_normal(persons)[person] - hard[item])
    mean, spread = pm.Normal("mean", 0, 1), pm.HalfNormal("spread", 1)
    difficulty = effects("difficulty", mean, spread, items, centered)
    ability = pm.Normal("ability", 0, 1, shape=persons)
    discrimination = pm.LogNormal("discrimination", 0, 0.5, shape=items)
    logit = discrimination[item] * (ability[person] - difficulty[item])
    compared = ["mean", "spread", "difficulty", "discrimination", "ability"]
    return compared + _bernoulli(rng, truth, logit)


def random_walk(steps, rng, centered: bool) -> list[str]:
    """One outcome at each step of a Gaussian random walk, always non-centered."""
    truth = np.cumsum(rng.normal(0, 0.5, steps))
    spread = pm.HalfNormal("spread", 1)
    level = pm.Deterministic("level", spread * pt.cumsum(pm.Normal("offset", shape=steps)))
    return ["spread", "level", *_normal(rng, truth, level)]


TWINS = {"centered": True, "noncentered": False}
# what adds to a model and returns the names that are compared, and whether it is centered for NUTS
GRID: dict[str, tuple[Callable[[np.random.Generator, bool | None], list[str]], bool | None]] = {
    "normal_2x20": (partial(intercepts, _normal, 2, 20, 0.7), False),
    "normal_10x50": (partial(intercepts, _normal, 10, 50, 0.7), True),
    "normal_50x20": (partial(intercepts, _normal, 50, 20, 0.3), True),
    "normal_400x20": (partial(intercepts, _normal, 400, 20, 0.7), True),
    "normal_2000x5": (partial(intercepts, _normal, 2_000, 5, 0.7), True),
    "normal_20x500": (partial(intercepts, _normal, 20, 500, 0.7), True),
    "bernoulli_200x10": (partial(intercepts, _bernoulli, 200, 10, 0.7), False),
    "bernoulli_slopes_400x20": (partial(slopes, _bernoulli, 400, 20), False),
    "poisson_100x20": (partial(intercepts, _poisson, 100, 20, 0.7), True),
    "ordinal_50x100": (partial(ordinal, 50, 100), True),
    "student_t_100x20": (partial(intercepts, _student_t, 100, 20, 0.7), True),
    "crossed_40x20": (partial(crossed, 40, 20), True),
    "correlated_50x20": (partial(correlated, 50, 20), None),
    "correlated_400x100": (partial(correlated, 400, 100), None),
    "item_response_200x20": (partial(item_response, 200, 20), True),
    "random_walk_100": (partial(random_walk, 100), False),
}
CELLS = {
    f"{name}_{twin}": (name, TWINS[twin])
    for name in GRID
    for twin in TWINS
    if (name, twin) != ("random_walk_100", "centered")
}


def model(name: str, *twin: bool) -> tuple[pm.Model, list[str]]:
    """Return a model, by default the twin that NUTS samples best, and what is compared."""
    build, *best = GRID[name]
    with pm.Model() as found:
        compared = build(np.random.default_rng([*name.encode()]), *(twin or best))
    return found, compared


def posterior(cell: str) -> Posterior:
    """Return a cell with its reference."""
    name, twin = CELLS[cell]
    found, compared = model(name, twin)
    reference = read("hierarchical")[name]
    check_data(name, found, reference["sum_of_outcomes"], "hierarchical.py --references")
    moments = (np.array(reference[key]) for key in ("mean", "sd", "mcse"))
    return Posterior(found, compared, *moments)
