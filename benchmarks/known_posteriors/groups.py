"""Models with groups of other shapes than those of ``hierarchical.py``, on simulated rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from .posterior import sampled


@sampled
def correlated_slopes() -> tuple[pm.Model, list[str]]:
    """Reaction times of 18 subjects on 10 days, an intercept and a slope of each: 180 rows.

    Intercepts and slopes are correlated. Shape and units are those of the study of Belenky and
    others (2003) that lme4 has as ``sleepstudy``; the numbers are simulated.
    """
    rng = np.random.default_rng(42)
    subject, day = np.repeat(np.arange(18), 10), np.tile(np.arange(10.0), 18)
    first, second = rng.standard_normal((2, 18))
    intercepts, slopes = 250 + 24 * first, 10 + 6 * (0.3 * first + np.sqrt(0.91) * second)
    milliseconds = intercepts[subject] + slopes[subject] * day + rng.normal(0, 25, 180)
    with pm.Model() as model:
        mean = pm.Normal("mean", [250, 0], [100, 25])
        sd_dist = pm.HalfNormal.dist([50, 15], shape=2)
        cholesky, matrix, _ = pm.LKJCholeskyCov("covariance", eta=2, n=2, sd_dist=sd_dist)
        pm.Deterministic("correlation", matrix[0, 1])
        z = pm.Normal("z", shape=(2, 18))
        own = pm.Deterministic("own", mean[:, None] + pt.dot(cholesky, z))
        noise = pm.HalfNormal("noise", 50)
        pm.Normal("y", own[0, subject] + own[1, subject] * day, noise, observed=milliseconds)
    return model, ["mean", "covariance_stds", "correlation", "own", "noise"]


@sampled
def binomial_herds() -> tuple[pm.Model, list[str]]:
    """New cases of a disease in 15 herds and 4 periods, some of which are missing: 56 rows.

    The shape is that of lme4's ``cbpp``; the numbers are simulated.
    """
    rng = np.random.default_rng(43)
    herd, period = np.divmod(np.sort(rng.choice(60, 56, replace=False)), 4)
    later = (period[:, None] == [1, 2, 3]).astype(float)
    size = rng.integers(2, 35, 56)
    logit = rng.normal(-1.4, 0.65, 15)[herd] + later @ [-1, -1.1, -1.6]
    cases = rng.binomial(size, 1 / (1 + np.exp(-logit)))
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 1.5)
        beta = pm.Normal("beta", 0, 1.5, shape=3)
        spread = pm.HalfNormal("spread", 1)
        offset = pm.Normal("offset", shape=15)
        intercept = pm.Deterministic("intercept", mean + spread * offset)
        logit_p = intercept[herd] + pt.dot(later, beta)
        pm.Binomial("y", n=size, logit_p=logit_p, observed=cases)
    return model, ["mean", "beta", "spread", "intercept"]


@sampled
def unequal_counts() -> tuple[pm.Model, list[str]]:
    """Counts in 500 groups of 1 to 400 rows, with exposures and a covariate of the groups."""
    rng = np.random.default_rng(44)
    sizes = np.clip(rng.lognormal(2.6, 1.3, 500).astype(int), 1, 400)
    group = np.repeat(np.arange(500), sizes)
    u = rng.standard_normal(500)
    exposure = rng.gamma(2, 0.5, len(group))
    counts = rng.poisson(exposure * np.exp(rng.normal(0.2 + 0.4 * u, 0.6))[group])
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, 2.5)
        slope = pm.Normal("slope", 0, 1)
        spread = pm.HalfNormal("spread", 1)
        effect = pm.Normal("effect", intercept + slope * u, spread, shape=500)
        pm.Poisson("y", exposure * pt.exp(effect[group]), observed=counts)
    return model, ["intercept", "slope", "spread", "effect"]


@sampled
def two_outcomes() -> tuple[pm.Model, list[str]]:
    """6,000 successes and 4,000 scores, which share an effect of each of 300 groups."""
    rng = np.random.default_rng(45)
    truth = rng.normal(0, 0.8, 300)
    tried, scored = rng.integers(300, size=6_000), rng.integers(300, size=4_000)
    x = rng.standard_normal(6_000)
    success = 0.3 + 0.5 * x + truth[tried] > rng.logistic(size=6_000)
    scores = 2 + 0.6 * truth[scored] + rng.normal(0, 1.5, 4_000)
    with pm.Model() as model:
        mean = pm.Normal("mean", [0, 0], [1.5, 5])
        slope = pm.Normal("slope", 0, 1)
        loading = pm.Normal("loading", 0, 1)
        spread = pm.HalfNormal("spread", 1)
        effect = pm.Normal("effect", 0, spread, shape=300)
        logit_p = mean[0] + slope * x + effect[tried]
        pm.Bernoulli("success", logit_p=logit_p, observed=success.astype(int))
        noise = pm.HalfNormal("noise", 2)
        pm.Normal("score", mean[1] + loading * effect[scored], noise, observed=scores)
    return model, ["mean", "slope", "loading", "spread", "effect", "noise"]


class Poll(NamedTuple):
    """The rows of ``election``: who was asked, and how many of these have voted for the party."""

    state: np.ndarray
    age: np.ndarray
    education: np.ndarray
    covariates: np.ndarray
    votes: np.ndarray
    people: np.ndarray | None = None  # of a row; one by default

    def cells(self) -> Poll:
        """Return the same with one row for all people who are alike."""
        who = np.column_stack([self.state, self.age, self.education, self.covariates])
        alike, cell = np.unique(who, axis=0, return_inverse=True)
        factors, votes = alike[:, :3].astype(int).T, np.bincount(cell, self.votes)
        return Poll(*factors, alike[:, 3:], votes.astype(int), np.bincount(cell))


REGION = np.repeat(np.arange(5), [12, 12, 16, 10, 1])  # of each state; the last one is by itself


def poll_rows() -> Poll:
    """Simulate a poll: women and black people are the covariates."""
    rng, people = np.random.default_rng(46), 11_566
    inhabitants = rng.lognormal(0, 0.9, 51)
    state = rng.choice(51, people, p=inhabitants / inhabitants.sum())
    age = rng.choice(4, people, p=[0.2, 0.3, 0.3, 0.2])
    education = rng.choice(4, people, p=[0.15, 0.35, 0.25, 0.25])
    covariates = (rng.random((people, 2)) < [0.55, 0.1]).astype(float)
    scales, levels = [0.3, 0.4, 0.15, 0.2, 0.1], (5, 51, 4, 4, 16)
    truth = [rng.normal(0, sd, count) for sd, count in zip(scales, levels, strict=True)]
    logit = 0.4 + covariates @ [-0.1, -1.6] + (truth[0][REGION] + truth[1])[state]
    logit += truth[2][age] + truth[3][education] + truth[4][4 * age + education]
    votes = (logit > rng.logistic(size=people)).astype(int)
    return Poll(state, age, education, covariates, votes)


def election_model(poll: Poll) -> tuple[pm.Model, list[str]]:
    """Return the model of a poll."""
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, 1.5)
        beta = pm.Normal("beta", 0, 1, shape=2)
        spread = pm.HalfNormal("spread", 1, shape=5)

        def effects(name: str, k: int, count: int) -> pt.TensorVariable:
            return pm.Deterministic(name, spread[k] * pm.Normal(f"z_{name}", shape=count))

        of_state = pm.Normal("state", effects("region", 0, 5)[REGION], spread[1], shape=51)
        logit = intercept + pt.dot(poll.covariates, beta) + of_state[poll.state]
        logit += effects("age", 2, 4)[poll.age] + effects("education", 3, 4)[poll.education]
        logit += effects("age_education", 4, 16)[4 * poll.age + poll.education]
        if poll.people is None:
            pm.Bernoulli("vote", logit_p=logit, observed=poll.votes)
        else:
            pm.Binomial("vote", n=poll.people, logit_p=logit, observed=poll.votes)
    names = ["intercept", "beta", "spread", "region", "state", "age", "education"]
    return model, [*names, "age_education"]


@sampled
def election() -> tuple[pm.Model, list[str]]:
    """Votes of 11,566 people, by state, region, age and education: five factors of effects.

    Size and factors are those of the multilevel model of polls of Gelman and Hill (2007, chapter
    14): states lie in regions, one of which has a single state. The numbers are simulated. Entries
    of ``spread`` are the scales of regions, states, ages, educations, and ages x educations.
    """
    return election_model(poll_rows())


def election_cells() -> tuple[pm.Model, list[str]]:
    """The posterior of ``election`` with a row for people who are alike, which is quicker."""
    return election_model(poll_rows().cells())


class Students(NamedTuple):
    """The rows of ``students``: who answered, three covariates, whether the answer was right."""

    student: np.ndarray
    covariates: np.ndarray
    correct: np.ndarray


def student_rows(students: int = 100_000, rows: int = 1_000_000) -> Students:
    """Simulate answers: how easy an item is, whether it is practised, and the student's age."""
    rng = np.random.default_rng(41)
    student = rng.integers(students, size=rows)
    age = rng.standard_normal(students)
    covariates = np.stack([rng.standard_normal(rows), rng.random(rows) < 0.4, age[student]], axis=1)
    effects = rng.normal(0, 0.9, students)
    logit = 0.4 + covariates @ [0.8, 0.3, -0.2] + effects[student]
    return Students(student, covariates, (logit > rng.logistic(size=rows)).astype(int))


def students_model(data: Students) -> tuple[pm.Model, list[str]]:
    """Return the model of answers, and the parameters that are not of one student."""
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, 1.5)
        beta = pm.Normal("beta", shape=3)
        spread = pm.HalfNormal("spread", 1)
        offset = pm.Normal("offset", shape=int(data.student.max()) + 1)
        logit = intercept + pt.dot(data.covariates, beta) + spread * offset[data.student]
        pm.Bernoulli("y", logit_p=logit, observed=data.correct)
    return model, ["intercept", "beta", "spread"]


@sampled
def students() -> tuple[pm.Model, list[str]]:
    """Answers of 100,000 students, 0 to 28 of each, d = 100,005: a million rows.

    Only the five numbers that all students share are compared.
    """
    return students_model(student_rows())
