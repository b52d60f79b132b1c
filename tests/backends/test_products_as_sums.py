"""Products with vectors are compiled as sums: the same numbers, and no call of BLAS."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from pytensor.graph.traversal import ancestors
from pytensor.tensor.math import Dot

from pymc_sgld.backends.products_as_sums import with_sums

PLAIN = Mode("py", "fast_run").excluding("BlasOpt")  # as for Numba, but nothing to compile

X, y = np.random.default_rng(1).normal(size=(7, 3)), np.random.default_rng(2).normal(size=7)
b = np.array([0.5, -1.0, 2.0])
x, r, c = pt.matrix("x", shape=(7, 3)), pt.vector("r", shape=(7,)), pt.vector("c", shape=(3,))
VALUES = {x: X, r: y, c: b}


def products_left(function):
    return sum(
        isinstance(getattr(node.op, "core_op", node.op), Dot)
        for node in function.maker.fgraph.toposort()
    )


def run(graph, mode):
    inputs = [v for v in VALUES if v in ancestors([graph])]
    function = pytensor.function(inputs, graph, mode=mode)
    return function(*[VALUES[v] for v in inputs]), products_left(function)


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (x @ c, X @ b),
        (x.T @ r, X.T @ y),
        (r @ x, y @ X),
        (c @ x.T, b @ X.T),
        (x.T.T @ c, X @ b),
        (pt.tanh(x) @ c, np.tanh(X) @ b),
        (pt.round(x).astype("int64") @ c, np.round(X) @ b),
        (x[2:5] @ c, X[2:5] @ b),
        (x[np.array([4, 0, 4])] @ c, X[[4, 0, 4]] @ b),
        (x.reshape((3, 7)) @ r, X.reshape(3, 7) @ y),
        (pt.constant(X) @ c, X @ b),
    ],
    ids=lambda value: "",
)
def test_products_with_a_vector_are_sums(graph, expected):
    found, left = run(graph, with_sums(PLAIN))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found.dtype == expected.dtype
    assert left == 0
    assert run(graph, PLAIN)[1] == 1


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (x @ x.T, X @ X.T),
        (pt.linalg.inv(x.T @ x) @ c, np.linalg.solve(X.T @ X, b)),
        (pt.constant(np.asfortranarray(X)) @ c, X @ b),
        (pt.gt(x, 0) @ pt.gt(c, 0), (X > 0) @ (b > 0)),
    ],
    ids=["two matrices", "rows that may be apart", "columns together", "truth values"],
)
def test_other_products_stay(graph, expected):
    found, left = run(graph, with_sums(PLAIN))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert left > 0


def test_a_product_in_a_loop_is_a_sum():
    path = pytensor.scan(
        lambda at, x: at - 0.1 * (x.T @ (x @ at)),
        outputs_info=[c],
        non_sequences=[x],
        n_steps=5,
        return_updates=False,
    )
    function = pytensor.function([c, x], path[-1], mode=with_sums(PLAIN))
    at = b
    for _ in range(5):
        at = at - 0.1 * (X.T @ (X @ at))
    np.testing.assert_allclose(function(b, X), at, rtol=1e-12)
    [loop] = [n.op for n in function.maker.fgraph.toposort() if hasattr(n.op, "fgraph")]
    assert not any(isinstance(node.op, Dot) for node in loop.fgraph.toposort())


def test_single_precision_stays_single():
    at, rows = pt.fvector("at"), pt.fmatrix("rows")
    function = pytensor.function([at, rows], rows @ at, mode=with_sums(PLAIN))
    found = function(b.astype("float32"), X.astype("float32"))
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, X @ b, rtol=1e-5)
    assert products_left(function) == 0
