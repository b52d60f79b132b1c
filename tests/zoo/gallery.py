"""Models that people fit, by their usual names."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from tests.zoo.catalogue import selectable
from tests.zoo.data import (
    COLUMNS,
    GROUPS,
    ROWS,
    X,
    binary,
    classes,
    counts,
    exposure,
    group,
    pairs,
    positive,
    second_group,
    time,
    trials,
    x,
    y,
)

home, away = pairs.T
ordered = pm.distributions.transforms.ordered


@selectable
def radon():
    chol, _, _ = pm.LKJCholeskyCov("chol", n=2, eta=2, sd_dist=pm.Exponential.dist(1))
    uranium = np.linspace(-1, 1, GROUPS)
    mean = pt.stack([pm.Normal("a") + pm.Normal("g") * uranium, pt.ones(GROUPS)], axis=1)
    effects = pm.MvNormal("effects", mean, chol=chol, dims=("group", "effect"), shape=(GROUPS, 2))
    county, floor = pm.Data("county", group), pm.Data("floor", binary)
    pm.Normal("y", effects[county, 0] + effects[county, 1] * floor, 1, observed=y)


@selectable
def rugby():
    attack = pm.ZeroSumNormal("attack", 1, dims="group")
    defence = pm.ZeroSumNormal("defence", 1, dims="group")
    advantage, intercept = pm.Normal("advantage"), pm.Normal("intercept")
    rate = pm.math.exp(intercept + advantage + attack[home] - defence[away])
    pm.Poisson("home_points", rate, observed=counts)
    rate = pm.math.exp(intercept + attack[away] - defence[home])
    pm.Poisson("away_points", rate, observed=trials)


@selectable
def bradley_terry():
    strength = pm.Normal("strength", shape=GROUPS)
    pm.Bernoulli("y", logit_p=strength[home] - strength[away], observed=binary)


@selectable
def rasch():
    ability, difficulty = pm.Normal("ability", shape=GROUPS), pm.Normal("difficulty", shape=3)
    pm.Bernoulli("y", logit_p=ability[group] - difficulty[second_group], observed=binary)


@selectable
def item_response_two_parameters():
    ability, difficulty = pm.Normal("ability", shape=GROUPS), pm.Normal("difficulty", shape=3)
    discrimination = pm.LogNormal("discrimination", shape=3)
    item = pm.Data("item", second_group)
    eta = discrimination[item] * (ability[group] - difficulty[item])
    pm.Bernoulli("y", p=pm.math.invlogit(eta), observed=binary)


@selectable
def matrix_factorisation():
    user, item = pm.Normal("user", shape=(GROUPS, 2)), pm.Normal("item", shape=(3, 2))
    pm.Normal("y", (user[group] * item[second_group]).sum(axis=-1), 1, observed=y)


@selectable
def matrix_factorisation_through_the_whole_matrix():
    user, item = pm.Normal("user", shape=(GROUPS, 2)), pm.Normal("item", shape=(3, 2))
    pm.Normal("y", (user @ item.T)[group, second_group], 1, observed=y)


@selectable
def rat_tumours():
    mean, size = pm.Beta("mean", 2, 2), pm.HalfCauchy("size", 1)
    pm.BetaBinomial("y", n=trials, alpha=mean * size, beta=(1 - mean) * size, observed=counts)


@selectable
def robust_regression():
    mean = pm.Normal("intercept") + pm.Normal("slope") * pm.Data("x", x)
    pm.StudentT("y", nu=pm.Gamma("nu", 2, 0.1) + 1, mu=mean, sigma=1, observed=y)


@selectable
def sneezes():
    effects = pm.Normal("effects", shape=4)
    medicine, alcohol = pm.Data("medicine", binary), pm.Data("alcohol", binary[::-1].copy())
    design = pt.stack([pt.ones_like(alcohol), medicine, alcohol, medicine * alcohol])
    mu = pm.math.exp(pt.dot(effects, design))
    pm.NegativeBinomial("y", mu=mu, alpha=pm.Exponential("alpha", 1), observed=counts)


@selectable
def golf_putting():
    variance, distance = pm.HalfNormal("variance"), pm.Data("distance", exposure)
    angle = pt.arcsin((4.25 - 1.68) / (12 * distance))
    p = 2 * pm.math.invprobit(angle / (variance + 1e-3)) - 1
    pm.Binomial("y", n=trials, p=p, observed=counts)


@selectable
def seasons_and_trend():
    t = pm.Data("t", time)
    knots = np.linspace(0.1, 0.9, 5)
    changes = pm.Laplace("changes", 0, 0.1, shape=5)
    trend = pm.Normal("growth") * t + ((t[:, None] > knots) * (t[:, None] - knots)) @ changes
    phase = 2 * np.pi * t[:, None] * np.arange(1, 3)
    season = pt.concatenate([pt.sin(phase), pt.cos(phase)], axis=1) @ pm.Normal("f", shape=4)
    pm.Normal("y", trend * (1 + season), pm.HalfNormal("sigma"), observed=y)


@selectable
def cherry_blossoms():
    knots = np.quantile(time, [0.25, 0.5, 0.75])
    basis = np.stack([np.exp(-((time - k) ** 2) / 0.1) for k in knots], axis=1)
    weights = pm.Normal("weights", shape=3, dims="feature")
    mean = pm.Deterministic("mean", pm.Normal("a") + pm.math.dot(basis, weights.T))
    pm.Normal("y", mean, pm.Exponential("sigma", 1), observed=y)


@selectable
def changepoint():
    switch = pm.Uniform("switch", 0.2, 0.8)
    early, late = pm.Exponential("early", 1), pm.Exponential("late", 1)
    pm.Poisson("y", pm.math.switch(switch >= time, early, late), observed=counts)


@selectable
def hilbert_space_gaussian_process():
    kernel = pm.gp.cov.Matern52(1, ls=pm.HalfNormal("scale") + 0.5)
    process = pm.gp.HSGP(m=[6], c=1.5, cov_func=kernel)
    pm.Normal("y", process.prior("f", X=pm.Data("X", time[:, None])), 1, observed=y)


@selectable
def hilbert_space_gaussian_process_linearised():
    kernel = pm.HalfNormal("eta") ** 2 * pm.gp.cov.ExpQuad(1, ls=pm.HalfNormal("scale") + 0.5)
    process = pm.gp.HSGP(m=[6], c=1.5, cov_func=kernel)
    basis, spectrum = process.prior_linearized(X=time[:, None])
    pm.Normal("y", basis @ (pm.Normal("z", shape=6) * spectrum), 1, observed=y)


@selectable
def periodic_gaussian_process():
    kernel = pm.gp.cov.Periodic(1, period=1, ls=pm.HalfNormal("scale") + 0.5)
    process = pm.gp.HSGPPeriodic(m=5, scale=1.0, cov_func=kernel)
    pm.Normal("y", process.prior("f", X=pm.Data("X", time[:, None])), 1, observed=y)


@selectable
def sparse_gaussian_process_by_hand():
    inducing = np.linspace(0, 1, 4)[:, None]
    kernel = pm.gp.cov.ExpQuad(1, ls=pm.HalfNormal("scale") + 0.5)
    chol = pt.linalg.cholesky(kernel(inducing) + 1e-6 * pt.eye(4))
    z = pm.Normal("z", shape=4)
    projection = kernel(pm.Data("X", time[:, None]), inducing)
    pm.Normal("y", projection @ pt.linalg.solve_triangular(chol.T, z, lower=False), 1, observed=y)


@selectable
def dose_response():
    lower, upper = pm.Normal("lower"), pm.Normal("upper")
    slope, middle = pm.HalfNormal("slope"), pm.HalfNormal("middle", shape=GROUPS)
    dose = pm.Data("dose", exposure)
    mean = lower + (upper - lower) / (1 + (dose / (0.1 + middle[group])) ** (-slope))
    pm.Normal("y", mean, pm.HalfNormal("sigma"), observed=y)


@selectable
def ordinal_raters():
    cutpoints = pm.Normal(
        "cutpoints", shape=(GROUPS, 3), transform=ordered, initval=[[-1.0, 0.0, 1.0]] * GROUPS
    )
    latent = pm.Normal("latent", shape=3)[second_group]
    pm.OrderedLogistic("y", eta=latent, cutpoints=cutpoints[group], observed=classes)


@selectable
def poststratification():
    effects = [pm.Normal(name, 0, pm.HalfNormal(f"s_{name}"), shape=GROUPS) for name in "ab"]
    interaction = pm.Normal("interaction", shape=(GROUPS, 3))
    eta = effects[0][home] + effects[1][away] + interaction[home, second_group] + x * 0.1
    pm.Binomial("y", n=trials, p=pm.math.invlogit(eta), observed=counts)


@selectable
def mediation():
    direct, first, second = pm.Normal("c"), pm.Normal("a"), pm.Normal("b")
    treatment, mediator = pm.Data("treatment", binary), pm.Data("mediator", x)
    pm.Normal("m", first * treatment, pm.HalfNormal("s_m"), observed=mediator)
    pm.Normal("y", direct * treatment + second * mediator, pm.HalfNormal("s_y"), observed=y)


@selectable
def three_outcomes():
    chol, _, _ = pm.LKJCholeskyCov("chol", n=2, eta=2, sd_dist=pm.Exponential.dist(1))
    beta = pm.Normal("beta", shape=(COLUMNS, 2))
    mean = pt.as_tensor(X) @ beta
    pm.MvNormal("y", mean, chol=chol, observed=np.stack([x, y], axis=1))
    pm.Bernoulli("event", logit_p=mean[:, 0], observed=binary)
    pm.Poisson("k", pm.math.exp(mean[:, 1] / 9), observed=counts)


@selectable
def known_measurement_error():
    slope, error = pm.Normal("slope"), pm.Data("error", exposure / 10)
    spread = pm.math.sqrt(pm.HalfNormal("sigma") ** 2 + error**2 + slope**2 * error**2)
    pm.Normal("y", slope * x, spread, observed=y)


@selectable
def instrumental_variable():
    first, second = pm.Normal("first", shape=2), pm.Normal("second", shape=2)
    chol, _, _ = pm.LKJCholeskyCov("chol", n=2, eta=2, sd_dist=pm.Exponential.dist(1))
    treatment, instrument = X[:, 0], X[:, 1]
    means = [first[0] + first[1] * instrument, second[0] + second[1] * treatment]
    pm.MvNormal("y", pt.stack(means, axis=1), chol=chol, observed=np.stack([treatment, y], axis=1))


@selectable
def difference_in_differences():
    treated, after = pm.Data("treated", binary), pm.Data("after", (time > 0.5).astype(float))
    effect = pm.Normal("effect", shape=4)
    mean = effect[0] + effect[1] * treated + effect[2] * after + effect[3] * treated * after
    pm.Normal("y", mean, 1, observed=y)


@selectable
def weibull_survival():
    alpha, beta = pm.HalfNormal("alpha"), pm.Normal("beta", shape=COLUMNS)
    scale = pm.math.exp(X @ beta)
    upper = np.where(binary, positive + 1e6, positive)
    pm.Censored("y", pm.Weibull.dist(alpha, scale), lower=None, upper=upper, observed=positive)


@selectable
def piecewise_exponential_survival():
    hazard = pm.Gamma("hazard", 1, 1, shape=4)
    risk = np.clip(positive[:, None] - np.arange(4), 0, 1)
    rate = pm.math.exp(X @ pm.Normal("beta", shape=COLUMNS)) * (risk * hazard).sum(axis=1)
    pm.Poisson("y", rate + 1e-6, observed=binary)


@selectable
def discrete_time_hazard():
    baseline = pm.Normal("baseline", shape=4)
    eta = baseline[classes] + X @ pm.Normal("beta", shape=COLUMNS)
    pm.Bernoulli("y", p=1 - pm.math.exp(-pm.math.exp(eta)), observed=binary)


@selectable
def discrete_time_survival_by_person():
    baseline = pm.Normal("baseline", shape=5)
    hazard = pm.math.sigmoid(baseline + (X @ pm.Normal("beta", shape=COLUMNS))[:, None])
    survival = pt.cumprod(1 - hazard, axis=1)
    p = pt.concatenate([hazard[:, :1], hazard[:, 1:] * survival[:, :-1], survival[:, -1:]], axis=1)
    pm.Categorical("y", p=p, observed=classes)


@selectable
def occupancy():
    present = pm.math.sigmoid(x * pm.Normal("a"))
    detected = pm.math.sigmoid(pm.Normal("b"))
    pm.ZeroInflatedBinomial("y", psi=present, n=trials, p=detected, observed=counts)


@selectable
def capture_and_recapture():
    survival, capture = pm.Beta("survival", 1, 1), pm.Beta("capture", 1, 1, shape=4)
    never = pt.cumprod((1 - capture)[::-1])[::-1]
    cells = pt.concatenate([survival * capture, [1 - survival], never]) + 0.1
    released = np.random.default_rng(4).multinomial(20, np.ones(9) / 9, size=ROWS)
    pm.Multinomial("y", n=20, p=cells / cells.sum(), observed=released)


@selectable
def mark_of_each_animal():
    history = (np.random.default_rng(5).uniform(size=(ROWS, 4)) < 0.5).astype(int)
    capture = pm.math.sigmoid(pm.Normal("day", shape=4) + pm.Normal("sex") * binary[:, None])
    pm.Bernoulli("y", p=capture, observed=history)


@selectable
def conjoint_choice():
    attributes = np.random.default_rng(6).normal(size=(ROWS, 4, COLUMNS))
    utility = pt.as_tensor(attributes) @ pm.Normal("worth", shape=COLUMNS)
    pm.Categorical("y", p=pm.math.softmax(utility, axis=1), observed=classes)


@selectable
def nested_choice():
    utility = pt.as_tensor(np.random.default_rng(7).normal(size=(ROWS, 4))) * pm.Normal("worth")
    nests = pt.stack([utility[:, :2], utility[:, 2:]], axis=1)
    inclusive = pt.logsumexp(nests, axis=2, keepdims=True)
    log_p = (nests - inclusive) + pt.log(pm.math.softmax(inclusive, axis=1))
    pm.Categorical("y", p=pt.exp(log_p).reshape((ROWS, 4)), observed=classes)


@selectable
def marketing_mix():
    spend = pm.Data("spend", np.random.default_rng(8).gamma(2, size=(ROWS, COLUMNS)))
    saturation, worth = pm.HalfNormal("saturation", shape=3), pm.HalfNormal("worth", shape=3)
    effect = worth * (1 - pt.exp(-saturation * spend)) / (1 + pt.exp(-saturation * spend))
    pm.Normal("y", effect.sum(axis=-1), 1, observed=y)


@selectable
def repeat_buyers():
    r, alpha, a = (pm.HalfNormal(name) for name in ["r", "alpha", "a"])
    frequency, recency, age = pm.Data("frequency", counts), positive, positive + exposure

    def logp(value, frequency, r, alpha, a):
        alive = (r + frequency) * pt.log(alpha + age)
        lost = pt.log(a) - pt.log(1 + frequency) + (r + frequency) * pt.log(alpha + recency)
        start = pt.gammaln(r + frequency) - pt.gammaln(r) + r * pt.log(alpha)
        return start + pt.logaddexp(-alive, pt.switch(value > 0, lost - 2 * alive, -np.inf))

    pm.CustomDist("y", frequency, r, alpha, a, logp=logp, observed=counts)


@selectable
def compartments_in_closed_form():
    absorption, clearance = pm.LogNormal("absorption", 0.5), pm.LogNormal("clearance", -0.5, 0.1)
    t, dose = pm.Data("t", exposure), pm.Data("dose", trials)
    shape = pt.exp(-clearance * t) - pt.exp(-(absorption + 0.2) * t)
    level = dose * absorption / (absorption + 0.2 - clearance) * shape
    pm.Normal("y", level, pm.HalfNormal("sigma"), observed=y)


@selectable
def drift_diffusion_by_wald():
    drift = pm.math.exp(X @ pm.Normal("beta", 0, 0.3, shape=COLUMNS))
    boundary, shift = pm.HalfNormal("boundary"), 0.01
    pm.Wald("y", mu=boundary / drift, lam=boundary**2, alpha=shift, observed=positive + shift)


@selectable
def stochastic_frontier():
    mean, noise, skew = X @ pm.Normal("beta", shape=3), pm.HalfNormal("s"), pm.HalfNormal("a")
    pm.SkewNormal("y", mu=mean, sigma=noise, alpha=-skew, observed=y)


@selectable
def bayes_by_backprop_classifier():
    layer = pm.Data("images", X.astype("float32"))
    for i, width in enumerate([5, 4]):
        weights = pm.Normal(f"w_{i}", 0, 0.5, shape=(layer.type.shape[1] or COLUMNS, width))
        layer = pm.math.maximum(layer @ weights + pm.Normal(f"b_{i}", shape=width), 0.01)
    pm.Categorical("y", p=pm.math.softmax(layer, axis=-1), observed=classes)


@selectable
def topics_with_the_labels_summed_out():
    topics, document = pm.Dirichlet("topics", np.ones((2, 4))), pm.Dirichlet("mix", np.ones((5, 2)))
    word_probability = (document @ topics)[group]
    pm.Categorical("y", p=word_probability, observed=classes)


@selectable
def ideal_points():
    member, bill = pm.Normal("member", shape=(GROUPS, 2)), pm.Normal("bill", shape=(3, 2))
    distance = ((member[group] - bill[second_group]) ** 2).sum(axis=1)
    pm.Bernoulli("y", logit_p=pm.Normal("a") - distance, observed=binary)


@selectable
def gravity_of_trade():
    size = pm.Normal("size", shape=GROUPS)
    eta = size[home] + size[away] - pm.HalfNormal("friction") * np.log(exposure)
    pm.NegativeBinomial("y", mu=pm.math.exp(eta / 2), alpha=2, observed=counts)
