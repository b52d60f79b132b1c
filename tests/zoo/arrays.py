"""Ways to write the same arithmetic, the same indexing and the same data."""

import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pytensor import sparse
from pytensor.compile.builders import OpFromGraph
from pytensor.conditional.op import ifelse
from scipy.sparse import csc_matrix, csr_matrix

from tests.zoo.catalogue import selectable
from tests.zoo.data import (
    COLUMNS,
    GROUPS,
    ROWS,
    X,
    binary,
    classes,
    counts,
    group,
    pairs,
    series,
    x,
    y,
)


def _regress(mean):
    pm.Normal("y", mean, pm.HalfNormal("sigma"), observed=y)


def _beta(size=COLUMNS):
    return pm.Normal("beta", shape=size)


def _beta_of(name):
    return pm.Normal(name, shape=COLUMNS)


@selectable
def linear_regression_transposed():
    design = pm.Data("X", np.ascontiguousarray(X.T))
    beta = pm.Normal("beta", shape=COLUMNS)
    pm.Normal("y", pm.math.dot(beta, design), pm.HalfNormal("sigma"), observed=y)


@selectable
def linear_regression_dims():
    design = pm.Data("X", X, dims=("row", "feature"))
    beta = pm.Normal("beta", dims="feature")
    mean = pm.Deterministic("mean", design @ beta, dims="row")
    pm.Normal("y", mean, pm.HalfNormal("sigma"), observed=y, dims="row")


@selectable
def logistic_regression_integers():
    design = pm.Data("X", (X > 0).astype("uint8"))
    beta = pm.Normal("beta", shape=COLUMNS)
    pm.Bernoulli("y", p=pm.math.sigmoid(design @ beta), observed=binary)


@selectable
def logistic_regression_columns():
    beta = pm.Normal("beta", shape=COLUMNS)
    design = pt.as_tensor(X)
    eta = beta[0] * design[:, 0] + beta[1] * design[:, 1] + beta[2] * pm.Data("x", x) ** 2
    pm.Bernoulli("y", logit_p=eta, observed=binary)


@selectable
def missing_values_filled_inside():
    incomplete = np.where(np.arange(ROWS) % 7 == 3, np.nan, x)
    covariate = pt.constant(incomplete)
    fill = pm.Normal("fill")
    filled = pt.switch(pt.isnan(covariate), fill, covariate)
    pm.Normal("y", pm.Normal("slope") * filled, 1, observed=y)


@selectable
def standardised_inside():
    raw = pm.Data("X", 3 * X + 1)
    scaled = (raw - raw.mean(axis=0)) / raw.std(axis=0)
    beta = pm.Normal("beta", shape=COLUMNS)
    pm.Normal("y", scaled @ beta, pm.HalfNormal("sigma"), observed=y)


@selectable
def float32_regression():
    beta = pm.Normal("beta", shape=COLUMNS, dtype="float32")
    design = pm.Data("X", X.astype("float32"))
    pm.Normal("y", design @ beta, np.float32(1.0), observed=y.astype("float32"))


@selectable
def einsum_regression():
    beta = pm.Normal("beta", shape=COLUMNS)
    mean = pt.einsum("ij,j->i", pm.Data("X", X), beta)
    pm.Normal("y", mean, pm.HalfNormal("sigma"), observed=y)


@selectable
def column_replaced():
    slope = pm.Normal("slope")
    design = pt.set_subtensor(pt.as_tensor(X)[:, 1], pt.exp(slope * x))
    design = pt.set_subtensor(design[:, 2], slope)
    pm.Normal("y", design @ pm.Normal("beta", shape=COLUMNS), 1, observed=y)


@selectable
def cumulative_effects():
    steps = pt.as_tensor(X) * pm.Normal("beta", shape=COLUMNS)
    pm.Normal("y", pt.cumsum(steps, axis=1).sum(axis=1), 1, observed=y)


@selectable
def data_frame():
    frame = pd.DataFrame({"x": x, "y": y, "group": pd.Categorical(group), "flag": binary == 1})
    effect = pm.Normal("effect", shape=GROUPS)[frame["group"].cat.codes.to_numpy()]
    mean = effect + pm.Normal("slope") * frame["x"].to_numpy() * pt.as_tensor(frame["flag"])
    pm.Normal("y", mean, 1, observed=frame["y"])


@selectable
def data_frame_of_outcomes():
    frame = pd.DataFrame(X, columns=list("abc"))
    pm.Normal("y", pm.Normal("mean", dims="feature"), 1, observed=frame, dims=("row", "feature"))


@selectable
def index_with_coordinates():
    index = pm.Data("index", group.astype("int32"), dims="row")
    effect = pm.Normal("effect", dims="group")
    pm.Normal("y", effect[index], 1, observed=pm.Data("outcome", y, dims="row"), dims="row")


@selectable
def boolean_covariate():
    _regress(pt.switch(pm.Data("flag", binary == 1), pm.Normal("yes"), pm.Normal("no")))


@selectable
def boolean_interaction():
    _regress(X @ _beta() * pt.where(pm.Data("x", x) > 0, pm.Normal("scale"), 1.0))


@selectable
def small_integers():
    _regress(pm.Data("k", counts.astype("int8")) * pm.Normal("a") + pt.sqrt(counts) * 2)


@selectable
def float32_table():
    design = pm.Data("X", X.astype("float32"))
    pm.Normal("y", design @ pm.Normal("b", shape=COLUMNS), 1, observed=y.astype("float32"))


@selectable
def column_vectors():
    mean = pt.as_tensor(X) @ pm.Normal("beta", shape=(COLUMNS, 1))
    pm.Normal("y", mean, 1, observed=y[:, None])


@selectable
def column_vectors_flattened():
    _regress((pt.as_tensor(X) @ pm.Normal("beta", shape=(COLUMNS, 1))).flatten())


@selectable
def squeezed():
    _regress((pt.as_tensor(X) @ pm.Normal("beta", shape=(COLUMNS, 1))).squeeze())


@selectable
def broadcast_and_sum():
    _regress((pt.broadcast_to(_beta(), (ROWS, COLUMNS)) * X).sum(-1))


@selectable
def full_vector_of_a_parameter():
    _regress(pt.ones(ROWS) * pm.Normal("mean") + pt.full((ROWS,), pm.Normal("other")) + x)


@selectable
def zeros_like_the_data():
    data = pm.Data("x", x)
    _regress(pt.zeros_like(data) + pt.ones_like(data) * pm.Normal("mean"))


@selectable
def columns_by_concatenate():
    design = pm.math.concatenate([pm.Data("x", x)[:, None], X, np.ones((ROWS, 1))], axis=1)
    _regress(design @ _beta(5))


@selectable
def columns_by_stack():
    _regress(pm.math.stack([x, x * pm.Normal("a"), pt.exp(x)]).T @ _beta())


@selectable
def columns_by_stacking_rows():
    slope = pm.Normal("a")
    _regress(_beta() @ pt.stack([pt.as_tensor(x) * slope, pt.exp(x), pt.as_tensor(y) * slope]))


@selectable
def columns_by_concatenating_matrices():
    _regress(pt.concatenate([pt.as_tensor(X) * pm.Normal("a"), series], axis=-1) @ _beta(9))


@selectable
def splitting_columns():
    scaled = pt.as_tensor(series) * _beta(6)
    first, second, last = pt.split(scaled, [1, 2, 3], n_splits=3, axis=1)
    _regress(first[:, 0] + second.prod(axis=1) + last.max(axis=1))


@selectable
def column_indexing():
    scaled = pt.as_tensor(series) * _beta(6)
    _regress(scaled[:, -1] + scaled[:, ::2].sum(1) + scaled[..., [0, 3]].prod(-1) + scaled.T[1])


@selectable
def reversed_columns():
    scaled = pt.as_tensor(X) * _beta()
    _regress((scaled[:, ::-1] * scaled).sum(axis=1))


@selectable
def rolled_columns():
    scaled = pt.as_tensor(X) * _beta()
    _regress((pt.roll(scaled, 1, axis=1) * scaled).sum(axis=1))


@selectable
def differences_of_columns():
    _regress(pt.diff(pt.as_tensor(series) * _beta(6), axis=1).std(axis=1))


@selectable
def products_of_columns():
    _regress(pt.cumprod(1 + pt.as_tensor(X) * _beta() / 9, axis=1).sum(1))


@selectable
def column_incremented():
    design = pt.inc_subtensor(pt.as_tensor(X)[:, 1:], pm.Normal("a", shape=2))
    _regress(design @ _beta())


@selectable
def columns_replaced_by_a_list():
    design = pt.as_tensor(series)[:, [0, 4]].set(pt.as_tensor(X)[:, :2] * pm.Normal("a"))
    _regress(design[:, [1, 2]].inc(pm.Normal("b", shape=2)) @ _beta(6))


@selectable
def column_of_a_row_replaced():
    design = pt.as_tensor(series)[np.arange(ROWS), classes].set(pm.Normal("a") * x)
    _regress(design @ _beta(6))


@selectable
def sorted_columns():
    scaled = pt.as_tensor(X) * pm.HalfNormal("a")
    _regress(pt.sort(scaled, axis=1) @ _beta())


@selectable
def largest_column():
    scaled = pt.as_tensor(X) * _beta()
    rows = pt.arange(scaled.shape[0])
    _regress(scaled.max(axis=1) + scaled.min(axis=1) + scaled[rows, pt.argmax(scaled, axis=1)])


@selectable
def order_of_columns():
    scaled = pt.as_tensor(X) * pm.HalfNormal("a")
    _regress(pt.argsort(scaled, axis=1)[:, 0] * pm.Normal("b"))


@selectable
def taken_along_columns():
    scaled = pt.as_tensor(series) * _beta(6)
    _regress(pt.take_along_axis(scaled, pt.as_tensor(pairs), axis=1).sum(axis=1))


@selectable
def effect_by_take():
    _regress(pt.take(_beta(GROUPS), pm.Data("index", group)))


@selectable
def one_hot():
    _regress(pt.extra_ops.to_one_hot(pt.as_tensor(group), GROUPS) @ _beta(GROUPS))


@selectable
def repeated_columns():
    _regress(pt.repeat(pt.as_tensor(X) * _beta(), 2, axis=1) @ pm.Normal("b", shape=6))


@selectable
def tiled_columns():
    _regress(pt.tile(pt.as_tensor(X) * _beta(), (1, 2)) @ pm.Normal("b", shape=6))


@selectable
def joined_dimensions():
    scaled = pt.as_tensor(X)[:, :, None] * pm.Normal("a", shape=2)
    _regress(pt.join_dims(scaled, start_axis=1, n_axes=2) @ _beta(6))


@selectable
def split_dimensions():
    scaled = pt.as_tensor(series) * pm.Normal("a")
    _regress((pt.split_dims(scaled, shape=(2, 3), axis=1).prod(axis=1)) @ _beta())


@selectable
def packed_dimensions():
    packed, _ = pt.pack(pt.as_tensor(X) * pm.Normal("a"), pt.as_tensor(series), keep_axes=0)
    _regress(packed @ _beta(9))


@selectable
def reshaped_to_matrices():
    matrices = (pt.as_tensor(series) * pm.Normal("a")).reshape((ROWS, 2, 3))
    _regress(pt.exp(matrices).sum(axis=1) @ _beta())


@selectable
def kronecker_of_columns():
    first, second = pt.as_tensor(X), pt.as_tensor(X) * pm.Normal("a")
    products = pt.vectorize(lambda a, b: pt.outer(a, b).flatten(), signature="(i),(j)->(k)")
    _regress(products(first, second) @ _beta(9))


@selectable
def kronecker_of_parameters():
    weights = pt.linalg.kron(pm.Normal("a", shape=(2, 1)), pm.Normal("b", shape=(3, 1)))
    _regress(pt.as_tensor(series) @ weights[:, 0])


@selectable
def vectorised_function():
    def polynomial(value, coefficients):
        return coefficients[0] + coefficients[1] * value.sum() + value.prod()

    _regress(pt.vectorize(polynomial, signature="(k),(c)->()")(pt.as_tensor(X), _beta(2)))


@selectable
def inlined_function():
    value, scale = pt.matrix("value"), pt.vector("scale")
    op = OpFromGraph([value, scale], [pt.tanh(value * scale).sum(1)])
    _regress(op(pt.as_tensor(X), _beta()))


@selectable
def dot_products():
    first, second = pt.as_tensor(X), pt.as_tensor(X) * _beta()
    other = pm.Normal("other", shape=COLUMNS)
    _regress(pt.vecdot(first, second) + pt.matvec(first, other) + pt.vecmat(other**2, first.T))


@selectable
def batched_matrix_products():
    matrices = pt.as_tensor(series).reshape((ROWS, 2, 3)) * pm.Normal("a")
    vectors = pt.matmul(matrices, _beta()) + pt.matvec(matrices, pt.as_tensor(X))
    _regress(vectors.sum(axis=-1))


@selectable
def tensor_products():
    tensor = pm.Normal("tensor", shape=(COLUMNS, 2, 6))
    bilinear = pt.einsum("ij,jkl,il->ik", pt.as_tensor(X), tensor, pt.as_tensor(series))
    _regress(bilinear.sum(axis=1))


@selectable
def quadratic_form():
    root = pm.Normal("root", shape=(COLUMNS, COLUMNS))
    design = pt.as_tensor(X)
    _regress(((design @ (root @ root.T)) * design).sum(axis=-1))


@selectable
def norms_and_means():
    scaled = pt.as_tensor(X) * _beta()
    mean = pt.sqrt((scaled**2).sum(axis=1)) + scaled.mean(axis=1) + scaled.var(axis=1)
    _regress(mean + pt.clip(scaled, -1, 1).prod(axis=1))


@selectable
def norm_of_every_column_as_well():
    _regress((pt.as_tensor(X) / np.linalg.norm(X, axis=0)) @ _beta() / pm.math.sqrt(1 + x**2))


@selectable
def diagonals_of_matrices():
    matrices = pt.as_tensor(X)[:, :, None] * pm.Normal("a", shape=(COLUMNS, COLUMNS))
    _regress(pt.diagonal(matrices, axis1=1, axis2=2).sum(axis=1) + pt.trace(pt.eye(2)))


@selectable
def loop_over_columns():
    total = 0.0
    for column in range(COLUMNS):
        total = total * 0.5 + pm.Normal(f"b_{column}") * pm.Data(f"x_{column}", X[:, column])
    _regress(total)


@selectable
def rows_of_a_longer_table():
    longer = pm.Data("longer", np.concatenate([x, x, x]))
    _regress(pm.Normal("a") * longer[ROWS : 2 * ROWS] + pm.Normal("b") * longer[::3])


@selectable
def slice_of_a_function_of_longer_data():
    _regress(pt.exp(pm.Normal("a") * np.append(x, 0.0))[1:])


@selectable
def rows_in_reverse():
    _regress(pt.exp(X @ _beta())[::-1])


@selectable
def entries_of_a_table():
    """Every entry is a row: a panel in the long format."""
    panel = pt.exp(X[:7, :2] @ pm.Normal("effect", shape=(2, 4)))
    _regress(panel.ravel())


@selectable
def entries_of_a_mask():
    table = np.zeros((ROWS, 2), dtype=bool)
    table[np.arange(ROWS), binary] = True
    _regress(pt.exp(X[:, :2] * pm.Normal("effect", shape=2))[table])


@selectable
def rows_as_a_square():
    _regress(pt.exp(x.reshape((4, -1)) * pm.Normal("slope")).flatten())


@selectable
def repeated_rows():
    _regress(pt.repeat(pt.exp(x[: ROWS // 2] * pm.Normal("slope")), 2))


@selectable
def repeated_effects():
    _regress(pt.repeat(pm.Normal("effect", shape=7), 4) + pt.tile(pm.Normal("item", shape=4), 7))


@selectable
def rows_and_columns_picked():
    _regress(pt.exp(np.tile(X, (2, 1)) * _beta())[np.tile([True, False], ROWS), 1])


@selectable
def rows_of_a_mask():
    longer = pt.exp(np.tile(x, 2) * pm.Normal("slope"))
    _regress(longer[np.tile([True, False], ROWS)])


@selectable
def rows_replaced():
    """By a slice, a list, a mask and a number; by one value, or one for each."""
    level = pt.exp(x * pm.Normal("slope"))
    level = level[: ROWS // 2].set(pm.Normal("other"))
    level = level[np.array([0, 3, 5])].set(pt.exp(x[:3] * pm.Normal("three")))
    level = level[2].inc(pm.Normal("one"))
    _regress(level[x > 1].inc(x[x > 1] * pm.Normal("steeper")))


@selectable
def rows_of_a_table_replaced():
    table = pt.exp(X * pm.Normal("effect", shape=COLUMNS))
    table = pt.set_subtensor(table[::3], X[::3] * pm.Normal("third"))
    table = pt.set_subtensor(table[4], pm.Normal("fourth", shape=COLUMNS))
    _regress(pt.inc_subtensor(table[[1, 2]], pm.Normal("two", shape=COLUMNS)).sum(axis=1))


@selectable
def effects_of_a_mask():
    _regress(pm.Normal("effect", shape=2 * ROWS)[np.tile([True, False], ROWS)][group])


@selectable
def reordered_rows():
    _regress(pt.exp(X @ _beta())[np.argsort(x)])


@selectable
def joined_rows():
    mean = [X[:9] @ _beta() + pm.Normal("effect"), [pm.Normal("one")], X[10:] @ _beta_of("other")]
    _regress(pt.concatenate(mean))


@selectable
def joined_by_group():
    """The rows of each group have their own coefficients, and then go back to their places."""
    parts = [X[group == g] @ _beta_of(f"beta_{g}") for g in range(GROUPS)]
    _regress(pt.concatenate(parts)[np.argsort(np.argsort(group, kind="stable"))])


@selectable
def rows_replaced_in_reverse():
    level = pt.exp(x * pm.Normal("slope"))
    _regress(level[::-1].set(y * pm.Normal("other")))


@selectable
def part_of_joined_rows():
    level = pt.concatenate([X[:9] @ _beta(), X[9:] @ _beta_of("other"), [0.0, 1.0]])
    _regress(pt.exp(level)[:ROWS])


@selectable
def differences_of_rows():
    level = pt.exp(x * pm.Normal("slope"))
    _regress(level - pt.concatenate([[0.0], level[:-1]]))


@selectable
def lagged_data():
    lagged = pt.concatenate([[0.0], pm.Data("x", x)[:-1]])
    _regress(pm.Normal("a") * x + pm.Normal("b") * lagged)


@selectable
def reordered_data():
    _regress(pm.Normal("a") * pm.Data("x", x)[np.argsort(y)] + pm.Normal("b"))


@selectable
def condition_on_a_setting():
    mean = X @ _beta()
    _regress(ifelse(pt.as_tensor(np.array(True)), pt.exp(mean), mean))


@selectable
def elementwise_functions():
    eta = X @ _beta()
    functions = [
        pm.math.logit(pm.math.sigmoid(eta)),
        pm.math.log1pexp(eta),
        pm.math.log1mexp(-(eta**2) - 1),
        pm.math.sqr(eta),
        pm.math.abs(eta),
        pt.sign(eta),
        pm.math.erf(eta),
        pm.math.cosh(eta),
        pt.gammaln(eta**2 + 1),
        pt.arctan2(eta, 2),
        pm.distributions.dist_math.betaln(eta**2 + 1, 2),
        pt.floor(eta),
        pm.math.log1p(eta**2),
        pt.power(eta**2, 1.5),
        pt.mod(eta, 2),
        pt.gammainc(2, eta**2),
    ]
    _regress(sum(functions))


@selectable
def sparse_design():
    design = csr_matrix(np.where(np.abs(series) > 1, series, 0))
    _regress(sparse.structured_dot(design, pm.Normal("beta", shape=(6, 1)))[:, 0])


@selectable
def sparse_design_and_matrix():
    design = pytensor.shared(csc_matrix(np.where(series > 0, series, 0)), name="design")
    _regress(sparse.dot(design, pm.Normal("beta", shape=(6, 2))).prod(axis=1))
