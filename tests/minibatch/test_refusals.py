"""Models that cannot be minibatched are refused by name, with the reason and the way out."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor import sparse
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.ops import wrap_py
from scipy.sparse import csr_matrix

from pymc_sgld import SGLD, MinibatchError, SettingError
from tests.graphs import QUICK
from tests.zoo.data import ROWS, X, group, x, y

SETTINGS = QUICK | {"step_size": 1e-4}
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


def one_draw_of_areas():
    neighbours = np.eye(ROWS, k=1) + np.eye(ROWS, k=-1)
    mean, tau = pm.Normal("m") * np.ones(ROWS), pm.HalfNormal("tau")
    pm.CAR("y", mean, W=neighbours, alpha=0.5, tau=tau, observed=y)


def areas_of_known_tau():
    neighbours = np.eye(ROWS, k=1) + np.eye(ROWS, k=-1)
    pm.CAR("y", pm.Normal("m") * np.ones(ROWS), W=neighbours, alpha=0.5, tau=1.0, observed=y)


def one_draw_of_intrinsic_areas():
    neighbours = np.eye(ROWS, k=1) + np.eye(ROWS, k=-1)
    pm.ICAR("y", W=neighbours, sigma=pm.HalfNormal("s"), observed=y - y.mean())


def changing_volatility():
    pm.GARCH11("y", omega=1, alpha_1=pm.Beta("a", 1, 5), beta_1=0.1, initial_vol=1, observed=y)


def stochastic_differential_equation():
    def drift_and_noise(state, speed):
        return -speed * state, 1.0

    speed, start = pm.HalfNormal("speed"), pm.Normal.dist(0, 1)
    pm.EulerMaruyama("y", 0.1, drift_and_noise, (speed,), init_dist=start, observed=y)


def separable_process():
    covariances = [np.diag(np.arange(1.0, n + 1)) for n in (4, 7)]
    pm.KroneckerNormal("y", pm.Normal("m") * np.ones(ROWS), covs=covariances, observed=y)


def matrix_with_dependent_rows():
    scale = pm.HalfNormal("scale", shape=3)
    pm.MatrixNormal(
        "y", np.zeros((ROWS, 3)), rowcov=np.eye(ROWS), colcov=pt.diag(scale), observed=X
    )


def latent_gaussian_process():
    process = pm.gp.Latent(cov_func=pm.gp.cov.ExpQuad(1, pm.HalfNormal("scale")))
    pm.Normal("y", process.prior("f", X=x[:, None]), 1, observed=y)


def covariance_of_the_rows():
    kernel = pm.gp.cov.ExpQuad(1, pm.HalfNormal("scale"))(x[:, None])
    chol = pt.linalg.cholesky(kernel + pt.eye(ROWS))
    pm.Normal("y", chol @ np.ones(ROWS), 1, observed=y)


def system_of_the_rows():
    beta = pm.Normal("beta", shape=3)
    pm.Normal("y", pt.linalg.solve(np.eye(ROWS) + 0.1, pt.exp(X @ beta)), 1, observed=y)


def loop_over_rows():
    decay = pm.Beta("decay", 2, 2)
    level = pytensor.scan(
        lambda now, before, decay: decay * before + now,
        sequences=[pt.as_tensor(x)],
        outputs_info=[pt.zeros(())],
        non_sequences=[decay],
        return_updates=False,
    )
    pm.Normal("y", level, 1, observed=y)


def hidden_markov_chain():
    stay, means = pm.Beta("stay", 2, 2), pm.Normal("means", shape=2)

    def forward(emission, before, transition):
        return emission + pt.logsumexp(before[:, None] + transition, axis=0)

    def logp(value, times, stay, means):
        transition = pt.log([stay, 1 - stay, 1 - stay, stay]).reshape((2, 2))
        emission = pm.logp(pm.Normal.dist(means, 1), value[:, None])
        start = pt.log([0.5, 0.5])
        probability = pytensor.scan(
            forward, [emission], [start], [transition], return_updates=False
        )
        return pt.logsumexp(probability[-1])

    times = np.arange(float(ROWS))
    pm.CustomDist("y", times, stay, means, logp=logp, signature="(n),(),(k)->(n)", observed=y)


def sorted_rows():
    pm.Normal("y", pt.sort(pt.exp(x * pm.Normal("slope"))), 1, observed=y)


def values_for_rows_that_lack_one():
    """As a covariate with missing values is written by hand."""
    filled = pt.set_subtensor(
        pt.as_tensor(x)[x > 1], pm.Normal("missing", shape=int((x > 1).sum()))
    )
    pm.Normal("y", filled * pm.Normal("slope"), 1, observed=y)


def rank_of_the_rows():
    pm.Normal("y", pt.argsort(pt.exp(x * pm.Normal("slope"))) * pm.Normal("b"), 1, observed=y)


def moving_average():
    level = pt.exp(x * pm.Normal("slope"))
    pm.Normal("y", pt.signal.convolve1d(level, np.ones(3) / 3, mode="same"), 1, observed=y)


def function_with_its_own_gradient():
    value = pt.vector("value")
    op = OpFromGraph([value], [pt.exp(value)], pullback=lambda i, o, g: [g[0] * o[0]])
    pm.Normal("y", op(x * pm.Normal("slope")), 1, observed=y)


def loop_over_columns_with_a_state_by_the_row():
    pull = pm.Normal("pull")
    state = pytensor.scan(
        lambda column, before, pull: pt.tanh(before * pull + column),
        sequences=[pt.as_tensor(X.T)],
        outputs_info=[pt.zeros(ROWS)],
        non_sequences=[pull],
        return_updates=False,
    )
    pm.Normal("y", state[-1], 1, observed=y)


def a_design_that_is_not_known():
    design = sparse.csr_from_dense(pt.exp(pt.as_tensor(X) * pm.Normal("slope")))
    pm.Normal("y", sparse.dot(design, pt.ones((3, 1)))[:, 0], 1, observed=y)


def product_of_sparse_matrices():
    design = sparse.as_sparse_variable(csr_matrix(X))
    effect = sparse.csr_from_dense(pm.Normal("effect", shape=(3, 2)))
    pm.Normal("y", sparse.dense_from_sparse(sparse.dot(design, effect))[:, 0], 1, observed=y)


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
    (effect_per_row, '"y".*"z" is a parameter with one entry per row'),
    (discrete_label_per_row, '"y".*"z" is a parameter with one entry per row'),
    (rows_mixed_by_a_matrix, '"y".* every row depends on all rows of'),
    (softmax_over_rows, '"y".*the rows are mixed by Softmax'),
    (mean_over_rows_of_a_parameter, '"y".* every row depends on'),
    (one_draw_of_areas, "28 rows, but its log-likelihood has 1 entries"),
    (one_draw_of_intrinsic_areas, ONE_NUMBER),
    (changing_volatility, ONE_NUMBER),
    (stochastic_differential_equation, ONE_NUMBER),
    (separable_process, ONE_NUMBER),
    (matrix_with_dependent_rows, ONE_NUMBER),
    (hidden_markov_chain, ONE_NUMBER),
    (latent_gaussian_process, "the rows are mixed by Blockwise{Cholesky"),
    (covariance_of_the_rows, "the rows are mixed by Blockwise{Cholesky"),
    (system_of_the_rows, "the rows are mixed by Blockwise{Solve"),
    (loop_over_rows, "the rows are cut by Subtensor"),
    (loop_over_columns_with_a_state_by_the_row, "the rows are mixed by Scan"),
    (moving_average, "the rows are mixed by Blockwise{Convolve1d"),
    (sorted_rows, "the rows are mixed by SortOp"),
    (values_for_rows_that_lack_one, '"missing" is a parameter with one entry per row'),
    (rank_of_the_rows, "the rows are mixed by ArgSortOp"),
    (function_with_its_own_gradient, "OpFromGraph.*no rule for it yet"),
    (a_design_that_is_not_known, "SparseDot.*no rule for it yet"),
    (product_of_sparse_matrices, "SparseDot.*no rule for it yet"),
    (potential, 'the pm.Potential "penalty"'),
]


@pytest.mark.filterwarnings("ignore:pytensor.tensor.linalg.trace:FutureWarning")  # PyMC's own
@pytest.mark.parametrize(("build", "message"), REFUSED, ids=[b.__name__ for b, _ in REFUSED])
def test_refused(build, message):
    with pm.Model():
        build()
        with pytest.raises(MinibatchError, match=message):
            SGLD(batch_size=4, **SETTINGS)


@pytest.mark.parametrize(
    "build",
    [
        autoregression,
        cumulative_sum,
        effect_per_row,
        potential,
        gaussian_process,
        areas_of_known_tau,
    ],
    ids=lambda build: build.__name__,
)
def test_the_way_out(build):
    """What is refused as minibatches runs with the full gradient, and as the message says."""
    with pm.Model() as model:
        build()
        with pytest.raises(MinibatchError, match="Pass "):
            SGLD(batch_size=4, **SETTINGS)
        placed = {"potentials": {"penalty": "prior"}} if build is potential else {"full": "y"}
        for setting in ({"batch_size": ROWS}, placed):
            step = SGLD(**SETTINGS, **setting)
            _, [stats] = step.step(model.initial_point())
            assert np.isfinite(stats["gradient_norm"]) and stats["rows_seen"] == 10 * ROWS


def test_refusals_hold_where_the_batch_size_is_chosen():
    """An ambiguous model is not quietly run in full because it is small."""
    for build, message in [(potential, "penalty"), (autoregression, ONE_NUMBER)]:
        with pm.Model():
            build()
            with pytest.raises(MinibatchError, match=message):
                SGLD(**SETTINGS)


def test_a_small_hierarchical_model_needs_no_batches():
    """Eight schools: as many effects as rows, all rows in every update."""
    with pm.Model():
        effect = pm.Normal("effect", pm.Normal("mean"), pm.HalfNormal("spread"), shape=8)
        pm.Normal("y", effect, 1, observed=y[:8])
        assert SGLD(**SETTINGS).batch_size == 8
    assert group.max() < 8


@wrap_py(itypes=[pt.dscalar], otypes=[pt.dscalar])
def without_gradient(x):
    return 2 * x


@pytest.mark.parametrize("setting", [{"batch_size": 4}, {"full": "y"}], ids=str)
def test_no_gradient(setting):
    with pm.Model():
        pm.Normal("y", without_gradient(pm.Normal("mean")), 1, observed=y)
        with pytest.raises(SettingError, match=r'with respect to "mean".*FromFunctionOp'):
            SGLD(**SETTINGS, **setting)


def test_rows_on_another_axis():
    """Rows are the first axis: with two of them there is nothing to minibatch."""
    with pm.Model():
        pm.Normal("y", pm.Normal("mean"), 1, observed=np.stack([x, y]))
        with pytest.raises(SettingError, match=r"number of rows, 2\. .*\(2, 28\)"):
            SGLD(batch_size=4, **SETTINGS)
