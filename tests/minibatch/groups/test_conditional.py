"""Draws of the effects of groups given the other variables, beside numerical integration.

Many groups with the same rows give independent draws of one density. Every check is run on several
seeds, and fails where the proposals are always accepted, or where the density is another one.
"""

from types import SimpleNamespace

import numpy as np
import pymc as pm
import pytest
from scipy import stats
from scipy.special import expit, log_expit

from pymc_sgld import NonFiniteError, SGLDWarning
from pymc_sgld.minibatch.model import Minibatcher
from tests.models import COVARIATE, LEVELS, PASSED, effects_of_groups

pytestmark = pytest.mark.usefixtures("few_rows_make_classes")

SEEDS = (1, 2, 3)
SIGMAS = 5  # of the Monte Carlo error: one wrong alarm in a million
LINE = np.linspace(-25, 25, 5001)


def accepts_all(rng):
    """Return random numbers with which every proposal is accepted: the control of the tests."""
    return SimpleNamespace(
        standard_normal=rng.standard_normal,
        chisquare=rng.chisquare,
        random=lambda shape: np.full(shape, 1e-300),
    )


def settled(model, position):
    """Return the effects of a model given the others, ready to draw at a position."""
    rows = Minibatcher(model, model.value_vars, model.initial_point(), marginalize=True)
    position = np.asarray(position, dtype=float)
    rows.effects.settle(position, [])
    assert 0 <= rows.effects.measure([position], []) < 1e-3
    return rows.effects


def many(effects, name, rng, position, calls):
    """Return draws of some calls, on the first axis."""
    position = np.asarray(position, dtype=float)
    return np.array([effects.draw(rng, position, [])[name] for _ in range(calls)])


def is_uniform(below):
    """Whether values of a distribution function are as of its own draws."""
    return stats.kstest(np.ravel(below), "uniform").pvalue > 1e-6


def distribution(log_density, line=LINE):
    """Return a distribution function of a log density on a line."""
    density = np.exp(log_density - log_density.max())
    below = np.cumsum(density) - density / 2
    return lambda value: np.interp(value, line, below / density.sum())


@pytest.fixture(scope="module")
def successes():
    """300 groups of one success each, whose effects are widely spread: far from normal."""
    with pm.Model() as model:
        mean = pm.Normal("mean", -1, 1)
        effect = pm.Normal("effect", mean, pm.HalfNormal("spread"), shape=300)
        pm.Bernoulli("y", logit_p=effect, observed=np.ones(300, dtype=int))
    return settled(model, [-1.0, np.log(4)])


def summary_is_right(draws, line, density, levels=(0.05, 0.5, 0.95)):
    """Whether mean, variance and shares below quantiles agree with a density."""
    share = density / density.sum()
    mean = share @ line
    central = [share @ (line - mean) ** k for k in (2, 4)]
    count = draws.size
    errors = [
        (draws.mean() - mean) / np.sqrt(central[0] / count),
        (draws.var() - central[0]) / np.sqrt((central[1] - central[0] ** 2) / count),
    ]
    for level in levels:
        quantile = np.interp(level, np.cumsum(share) - share / 2, line)
        below = (draws < quantile).mean()
        errors.append((below - level) / np.sqrt(level * (1 - level) / count))
    return np.abs(errors).max() < SIGMAS


def test_groups_of_one_success(successes):
    density = expit(LINE) * np.exp(-(((LINE + 1) / 4) ** 2) / 2)
    assert not successes.normal
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        draws = many(successes, "effect", rng, [-1.0, np.log(4)], calls=20)
        assert summary_is_right(draws, LINE, density)
        wrong = many(successes, "effect", accepts_all(rng), [-1.0, np.log(4)], calls=20)
        assert not summary_is_right(wrong, LINE, density)


def test_normal_effects():
    """Drawn without proposals, from the normal of the closed form."""
    group, levels = LEVELS["unequal"]
    outcome = np.random.default_rng(9).normal(size=len(group))
    with pm.Model() as model:
        mean = pm.Normal("mean")
        effect = pm.Normal("effect", mean, 0.8, shape=levels)
        pm.Normal("y", effect[group], 1.5, observed=outcome)
    effects = settled(model, [0.4])
    assert effects.normal
    sums, counts = np.bincount(group, outcome, levels), np.bincount(group, minlength=levels)
    precision = 1 / 0.8**2 + counts / 1.5**2
    center = (0.4 / 0.8**2 + sums / 1.5**2) / precision
    for seed in SEEDS:
        draws = many(effects, "effect", np.random.default_rng(seed), [0.4], calls=400)
        assert is_uniform(stats.norm.cdf(draws, center, 1 / np.sqrt(precision)))
        assert not is_uniform(stats.norm.cdf(draws, center, 1 / np.sqrt(2 * precision)))


def test_effects_far_from_the_data():
    """Where exponentials overflow the density of a row is a line: effects have its slope."""
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 1000)
        effect = pm.Normal("effect", 0, 1, shape=300)
        pm.Logistic("y", mu=mean + effect[np.arange(300)], s=1.0, observed=np.zeros(300))
    effects = settled(model, [800.0])
    for seed in SEEDS:
        draws = many(effects, "effect", np.random.default_rng(seed), [800.0], calls=20)
        assert is_uniform(stats.norm.cdf(draws, -1))
        assert not is_uniform(stats.norm.cdf(draws, 0))


def test_a_density_that_is_not_finite(successes):
    with pytest.raises(NonFiniteError, match='density of "effect" given the other variables'):
        successes.draw(np.random.default_rng(1), np.array([np.nan, 1.0]), [])


def test_proposals_that_are_hardly_ever_accepted_are_told():
    """Effects in two places, far from each other: the proposals cover one of them."""
    with pm.Model() as model:
        mean = pm.Normal("mean")
        effect = pm.Normal("effect", mean, 30, shape=40)
        pm.Normal("y", effect**2, 0.05, observed=np.full(40, 100.0))
    rows = Minibatcher(model, model.value_vars, model.initial_point(), marginalize=True)
    rows.effects._rounds = None
    position = np.array([0.0])
    rows.effects.settle(position, [])
    with pytest.warns(SGLDWarning, match=r"are not exact.*marginalize=False"):
        rows.effects.measure([position], [])


def test_two_places_are_both_found():
    """Where the proposals are around one of them, and half of these are accepted."""
    with pm.Model() as model:
        effect = pm.Normal("effect", pm.Normal("mean"), 4, shape=300)
        pm.Normal("y", effect**2, 4, observed=np.full(300, 4.0))
    effects = settled(model, [1.0])
    line = np.linspace(-9, 9, 6001)
    density = np.exp(-((line - 1) ** 2 + (4 - line**2) ** 2) / 32)
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        assert summary_is_right(many(effects, "effect", rng, [1.0], calls=20), line, density)
    effects._rounds = 3  # what the acceptance rate alone would ask for
    assert not summary_is_right(many(effects, "effect", rng, [1.0], calls=20), line, density)


def test_proposals_that_are_seldom_accepted_are_many():
    """Without a curvature but that of the prior, proposals are too wide: one of ten is taken."""
    with pm.Model() as model:
        effect = pm.Normal("effect", pm.Normal("mean"), 3, shape=300)
        pm.Normal("y", effect**2, 0.3, observed=np.zeros(300))
    effects = settled(model, [0.0])
    line = np.linspace(-3, 3, 6001)
    density = np.exp(-((line / 3) ** 2) / 2 - (line**2 / 0.3) ** 2 / 2)
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        assert summary_is_right(many(effects, "effect", rng, [0.0], calls=20), line, density)
    effects._rounds = 1
    assert not summary_is_right(many(effects, "effect", rng, [0.0], calls=20), line, density)


def test_draws_are_independent(successes):
    """Of each other, in one call and from call to call."""
    rng = np.random.default_rng(4)
    draws = many(successes, "effect", rng, [-1.0, np.log(4)], calls=30)
    assert len(np.unique(draws)) == draws.size
    standard = (draws - draws.mean()) / draws.std()
    for shifted in (np.roll(standard, 1, axis=0), np.roll(standard, 1, axis=1)):
        assert abs((standard * shifted).mean()) < SIGMAS / np.sqrt(draws.size)


def test_groups_of_two_classes():
    """Each group has its own rows, and its draws are where its entry is."""
    group, levels = LEVELS["unequal"]
    mean, slope, spread = position = [0.2, -0.4, 0.3]
    effects = settled(effects_of_groups(sizes="unequal"), position)
    draws = many(effects, "effect", np.random.default_rng(5), position, calls=150)
    below = np.empty_like(draws)
    for g in range(levels):
        sign = np.where(PASSED[group == g] == 1, 1, -1)
        eta = LINE[:, None] + slope * COVARIATE[group == g]
        prior = -(((LINE - mean) / np.exp(spread)) ** 2) / 2
        below[:, g] = distribution(log_expit(sign * eta).sum(axis=1) + prior)(draws[:, g])
    assert is_uniform(below)
    assert not is_uniform(distribution(prior)(draws))


@pytest.mark.long
def test_two_correlated_effects():
    x = np.array([-1.0, 1.5])
    with pm.Model() as model:
        mean = pm.Normal("mean")
        cholesky = np.array([[1.5, 0.0], [-1.0, 0.8]])
        both = pm.MvNormal("both", np.zeros(2), chol=cholesky, shape=(150, 2))
        group = np.repeat(np.arange(150), 2)
        eta = mean + both[group, 0] + both[group, 1] * np.tile(x, 150)
        pm.Bernoulli("y", logit_p=eta, observed=np.tile([1, 0], 150))
    effects = settled(model, [0.3])
    line = np.linspace(-9, 9, 181)
    a, b = np.meshgrid(line, line, indexing="ij")
    z = np.linalg.solve(cholesky, np.stack([a.ravel(), b.ravel()]))
    logs = log_expit(0.3 + a - b) + log_expit(-(0.3 + a + 1.5 * b))
    share = np.exp(logs.ravel() - (z**2).sum(axis=0) / 2)
    share /= share.sum()

    def right(draws):
        found = draws.reshape(-1, 2)
        for function in (
            lambda u, v: u,
            lambda u, v: v,
            lambda u, v: u**2,
            lambda u, v: u * v,
            lambda u, v: v**2,
        ):
            exact = function(a.ravel(), b.ravel())
            mean = share @ exact
            error = np.sqrt(share @ (exact - mean) ** 2 / len(found))
            if abs(function(*found.T).mean() - mean) > SIGMAS * error:
                return False
        return True

    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        assert right(many(effects, "both", rng, [0.3], calls=20))
        assert not right(many(effects, "both", accepts_all(rng), [0.3], calls=20))


def test_far_from_where_modes_are_stored():
    """Modes of groups of many rows lie many of their standard deviations away."""
    levels, each = 40, 300
    counts = np.random.default_rng(6).poisson(5, levels * each)
    group = np.repeat(np.arange(levels), each)
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 10)
        effect = pm.Normal("effect", shape=levels)
        pm.Poisson("y", pm.math.exp(mean + effect[group]), observed=counts)
    effects = settled(model, [0.0])
    line = np.linspace(-6, 6, 60_001)
    sums = np.bincount(group, counts)
    for mean in (0.0, 1.5, -1.5):
        draws = many(effects, "effect", np.random.default_rng(7), [mean], calls=20)
        below = [
            distribution(total * line - each * np.exp(mean + line) - line**2 / 2, line)(own)
            for total, own in zip(sums, draws.T, strict=True)
        ]
        assert is_uniform(below)


def test_values_are_unconstrained_and_have_the_axes_of_the_model():
    group, levels = LEVELS["even"]
    with pm.Model() as model:
        rate = pm.Gamma("rate", 2, pm.HalfNormal("scale"), shape=(1, levels))
        pm.Poisson("y", rate[0, group], observed=PASSED)
    effects = settled(model, [0.0])
    assert effects.names == ["rate"] and effects.size == levels
    draws = many(effects, "rate", np.random.default_rng(8), [0.0], calls=100)
    assert draws.shape == (100, 1, levels) and (draws < 0).any()
    shape = 2 + np.bincount(group, PASSED, levels)
    below = stats.gamma.cdf(
        np.exp(draws[:, 0]), shape, scale=1 / (1 + np.bincount(group, minlength=levels))
    )
    assert is_uniform(below)
