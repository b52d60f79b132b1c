"""Mixtures, inflated and hurdle, censored, truncated and custom distributions."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from tests.zoo.catalogue import selectable
from tests.zoo.data import (
    COLUMNS,
    GROUPS,
    X,
    binary,
    counts,
    group,
    positive,
    table,
    trials,
    unit,
    x,
    y,
)

ordered = pm.distributions.transforms.ordered


@selectable
def normal_mixture():
    weights = pm.Dirichlet("weights", np.ones(2))
    means = pm.Normal(
        "means", shape=2, transform=pm.distributions.transforms.ordered, initval=[-1.0, 1.0]
    )
    pm.NormalMixture("y", w=weights, mu=means, sigma=pm.HalfNormal("sigma"), observed=y)


@selectable
def zero_inflated():
    beta = pm.Normal("beta", shape=COLUMNS)
    psi = pm.Beta("psi", 1, 1)
    pm.ZeroInflatedPoisson("y", psi=psi, mu=pm.math.exp(X @ beta), observed=counts)


@selectable
def mixture_of_two_families():
    components = [pm.Normal.dist(pm.Normal("mean"), 1), pm.StudentT.dist(4, mu=0, sigma=2)]
    pm.Mixture("y", w=pm.Dirichlet("w", np.ones(2)), comp_dists=components, observed=y)


@selectable
def mixture_of_one_batched_component():
    rates = pm.Gamma("rates", 2, 1, shape=3)
    components = pm.Poisson.dist(rates)
    pm.Mixture("y", w=pm.Dirichlet("w", np.ones(3)), comp_dists=components, observed=counts)


@selectable
def mixture_of_regressions():
    beta = pm.Normal("beta", shape=(COLUMNS, 2))
    pm.NormalMixture("y", w=[0.3, 0.7], mu=pt.as_tensor(X) @ beta, sigma=1, observed=y)


@selectable
def mixture_of_experts():
    gates = pm.math.softmax(pt.as_tensor(X) @ pm.Normal("gates", shape=(COLUMNS, 2)), axis=-1)
    experts = [pm.Normal.dist(X @ pm.Normal(f"beta_{i}", shape=COLUMNS), 1 + i) for i in range(2)]
    pm.Mixture("y", w=gates, comp_dists=experts, observed=y)


@selectable
def mixture_density_network():
    hidden = pt.tanh(pt.as_tensor(X) @ pm.Normal("first", shape=(COLUMNS, 4)))
    weights = pm.math.softmax(hidden @ pm.Normal("weights", shape=(4, 2)), axis=1)
    means = hidden @ pm.Normal("means", shape=(4, 2))
    spreads = pm.math.softplus(hidden @ pm.Normal("spreads", shape=(4, 2))) + 0.1
    pm.NormalMixture("y", w=weights, mu=means, sigma=spreads, observed=y)


@selectable
def mixture_weights_by_group():
    weights = pm.Dirichlet("weights", np.ones((GROUPS, 2)))
    pm.NormalMixture("y", w=weights[group], mu=[-1.0, 1.0], sigma=1, observed=y)


@selectable
def mixture_of_vectors():
    means = pm.Normal("means", shape=(2, COLUMNS))
    components = [pm.MvNormal.dist(means[i], np.eye(COLUMNS)) for i in range(2)]
    pm.Mixture("y", w=pm.Dirichlet("w", np.ones(2)), comp_dists=components, observed=X)


@selectable
def mixture_of_a_point_and_a_density():
    components = [pm.DiracDelta.dist(0), pm.Poisson.dist(pm.math.exp(pm.Normal("rate") + x))]
    pm.Mixture("y", w=[0.2, 0.8], comp_dists=components, observed=counts)


@selectable
def mixture_by_logsumexp():
    means = pm.Normal("means", shape=2, transform=ordered, initval=[-1.0, 1.0])
    weights = pm.Dirichlet("weights", np.ones(2))

    def logp(value, means, weights):
        terms = pm.logp(pm.Normal.dist(means, 1), value[:, None]) + pt.log(weights)
        return pm.math.logsumexp(terms, axis=1, keepdims=False)

    pm.CustomDist("y", means, weights, logp=logp, signature="(k),(k)->()", observed=y)


@selectable
def mixture_by_logaddexp():
    outlier = pm.Beta("outlier", 1, 9)
    mean = X @ pm.Normal("beta", shape=COLUMNS)

    def logp(value, mean, outlier):
        good = pm.logp(pm.Normal.dist(mean, 1), value) + pt.log1p(-outlier)
        bad = pm.logp(pm.Normal.dist(0, 10), value) + pt.log(outlier)
        return pm.math.logaddexp(good, bad)

    pm.CustomDist("y", mean, outlier, logp=logp, observed=y)


@selectable
def latent_classes():
    prevalence = pm.Dirichlet("prevalence", np.ones(2))
    answers = pm.Beta("answers", 1, 1, shape=(2, 3))
    observed = (table > 1).astype("int8")

    def logp(value, prevalence, answers):
        given = pm.logp(pm.Bernoulli.dist(answers), value[:, None, :]).sum(axis=-1)
        return pt.logsumexp(pt.log(prevalence) + given, axis=-1)

    signature = "(c),(c,k)->(k)"
    pm.CustomDist("y", prevalence, answers, logp=logp, signature=signature, observed=observed)


@selectable
def stick_breaking_mixture():
    weights = pm.StickBreakingWeights("weights", alpha=1.0, K=3)
    pm.NormalMixture("y", w=weights, mu=pm.Normal("means", shape=4), sigma=1, observed=y)


@selectable
def censored_on_both_sides():
    uncensored = pm.Normal.dist(X @ pm.Normal("beta", shape=COLUMNS), pm.HalfNormal("sigma"))
    pm.Censored("y", uncensored, lower=-1, upper=1, observed=np.clip(y, -1, 1))


@selectable
def censored_at_times_of_the_rows():
    lifetime = pm.Weibull.dist(pm.HalfNormal("alpha"), pm.math.exp(X @ pm.Normal("b", shape=3)))
    end = np.where(binary == 1, np.inf, positive)
    pm.Censored("y", lifetime, lower=None, upper=end, observed=positive)


@selectable
def truncated_at_limits_of_the_rows():
    whole = pm.Gamma.dist(mu=pm.math.exp(X @ pm.Normal("beta", shape=COLUMNS)), sigma=1)
    pm.Truncated("y", whole, lower=unit / 9, upper=positive + 3, observed=positive + 1)


@selectable
def truncated_counts():
    whole = pm.Poisson.dist(pm.math.exp(X @ pm.Normal("beta", shape=COLUMNS)))
    pm.Truncated("y", whole, lower=1, observed=counts + 1)


@selectable
def zero_inflated_by_hand():
    rate, psi = pm.math.exp(X @ pm.Normal("beta", shape=COLUMNS)), pm.Beta("psi", 1, 1)

    def logp(value, rate, psi):
        present = pt.log(psi) + pm.logp(pm.Poisson.dist(rate), value)
        return pt.switch(pt.eq(value, 0), pt.logaddexp(pt.log1p(-psi), present), present)

    pm.CustomDist("y", rate, psi, logp=logp, observed=counts)


@selectable
def custom_by_a_random_function():
    def dist(mean, sigma, size):
        return pm.math.exp(mean + sigma * pm.Normal.dist(size=size))

    mean = X @ pm.Normal("beta", shape=COLUMNS)
    pm.CustomDist("y", mean, pm.HalfNormal("sigma"), dist=dist, observed=positive)


@selectable
def custom_discrete():
    def logp(value, p, n):
        return pm.logp(pm.Binomial.dist(n, p), value) - pt.log1p(-((1 - p) ** n))

    p = pm.math.sigmoid(X @ pm.Normal("beta", shape=COLUMNS))
    pm.CustomDist("y", p, trials + 1, logp=logp, observed=counts + 1)


@selectable
def rounded_normal():
    mean, sigma = X @ pm.Normal("beta", shape=COLUMNS), pm.HalfNormal("sigma")

    def logp(value, mean, sigma):
        latent = pm.Normal.dist(mean, sigma)
        above, below = pm.logcdf(latent, value + 0.5), pm.logcdf(latent, value - 0.5)
        return pm.math.logdiffexp(above, below)

    pm.CustomDist("y", mean, sigma, logp=logp, observed=np.round(y))
