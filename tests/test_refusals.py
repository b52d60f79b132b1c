"""Models that cannot be minibatched are refused by name, with the reason and the way out."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

from pymc_sgld import SGLD, MinibatchError
from tests.models import ROWS, X, group, x, y

QUICK = {"step_size": 1e-4, "compile_kwargs": {"mode": "FAST_COMPILE"}}
ONE_NUMBER = f'cannot minibatch "y": its log-likelihood is one number for all of its {ROWS} rows'


def autoregression():
    rho = pm.Normal("rho", 0, 0.1, shape=2)
    pm.AR("y", rho, sigma=1, init_dist=pm.Normal.dist(0, 1), observed=y)


def random_walk():
    pm.GaussianRandomWalk(
        "y", sigma=pm.HalfNormal("s"), init_dist=pm.Normal.dist(), steps=ROWS - 1, observed=y
    )


def gaussian_process():
    scale = pm.HalfNormal("scale")
    process = pm.gp.Marginal(cov_func=pm.gp.cov.ExpQuad(1, scale))
    process.marginal_likelihood("y", X=x[:, None], y=y, sigma=1.0)


def one_multivariate_draw():
    pm.MvNormal("y", pm.Normal("m") * np.ones(ROWS), np.eye(ROWS), observed=y)


def cumulative_sum():
    slope = pm.Normal("slope")
    pm.Normal("y", pt.cumsum(slope * x), 1, observed=y)


def effect_per_row():
    z = pm.Normal("z", shape=ROWS)
    pm.Normal("y", z, 1, observed=y)


def discrete_label_per_row():
    z = pm.Bernoulli("z", 0.5, shape=ROWS)
    mean = pm.Normal("mean", shape=2)
    pm.Normal("y", pt.switch(z, mean[0], mean[1]), 1, observed=y)


def rows_mixed_by_a_matrix():
    beta = pm.Normal("beta", shape=3)
    smoother = np.full((ROWS, ROWS), 1 / ROWS)
    pm.Normal("y", pt.as_tensor(smoother) @ pt.exp(X @ beta), 1, observed=y)


def softmax_over_rows():
    beta = pm.Normal("beta", shape=3)
    pm.Normal("y", pm.math.softmax(X @ beta, axis=0), 1, observed=y)


def mean_over_rows_of_a_parameter():
    beta = pm.Normal("beta", shape=3)
    eta = pt.exp(X @ beta)
    pm.Normal("y", eta - eta.mean(), 1, observed=y)


def potential():
    mean = pm.Normal("mean")
    pm.Potential("penalty", -(mean**2))
    pm.Normal("y", mean, 1, observed=y)


REFUSED = [
    (autoregression, ONE_NUMBER),
    (random_walk, ONE_NUMBER),
    (gaussian_process, ONE_NUMBER),
    (one_multivariate_draw, ONE_NUMBER),
    (cumulative_sum, rf'"y" \({ROWS} rows\): the rows are mixed by Cumsum'),
    (effect_per_row, '"y".*"z" has one entry per row'),
    (discrete_label_per_row, '"y".*"z" has one entry per row'),
    (rows_mixed_by_a_matrix, '"y".* enter every one of them'),
    (softmax_over_rows, '"y".*the rows are mixed by Softmax'),
    (mean_over_rows_of_a_parameter, '"y".* enter every one of them'),
    (potential, 'the pm.Potential "penalty"'),
]


@pytest.mark.parametrize(("build", "message"), REFUSED, ids=[b.__name__ for b, _ in REFUSED])
def test_refused(build, message):
    with pm.Model():
        build()
        with pytest.raises(MinibatchError, match=message):
            SGLD(batch_size=4, **QUICK)


@pytest.mark.parametrize(
    "build",
    [autoregression, cumulative_sum, effect_per_row, potential, gaussian_process],
    ids=lambda build: build.__name__,
)
def test_the_way_out(build):
    """What is refused as minibatches runs with the full gradient, and as the message says."""
    with pm.Model() as model:
        build()
        with pytest.raises(MinibatchError, match="Pass "):
            SGLD(batch_size=4, **QUICK)
        placed = {"potentials": {"penalty": "prior"}} if build is potential else {"full": "y"}
        for setting in ({"batch_size": ROWS}, placed):
            step = SGLD(**QUICK, **setting)
            _, [stats] = step.step(model.initial_point())
            assert np.isfinite(stats["gradient_norm"]) and stats["rows_seen"] == 10 * ROWS


def test_refusals_hold_where_the_batch_size_is_chosen():
    """An ambiguous model is not quietly run in full because it is small."""
    for build, message in [(potential, "penalty"), (autoregression, ONE_NUMBER)]:
        with pm.Model():
            build()
            with pytest.raises(MinibatchError, match=message):
                SGLD(**QUICK)


def test_a_small_hierarchical_model_needs_no_batches():
    """Eight schools: as many effects as rows, all rows in every update."""
    with pm.Model():
        effect = pm.Normal("effect", pm.Normal("mean"), pm.HalfNormal("spread"), shape=8)
        pm.Normal("y", effect, 1, observed=y[:8])
        assert SGLD(**QUICK).batch_size == 8
    assert group.max() < 8
