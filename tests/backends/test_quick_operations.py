"""Sums, checks of shapes and moved axes by operations of our own: the numbers of PyTensor's."""

import pickle

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from pytensor.tensor.elemwise import CAReduce, DimShuffle
from pytensor.tensor.shape import SpecifyShape

from pymc_sgld.backends.backend import Backend
from pymc_sgld.backends.quick_operations import MovedAxes, PlainSum, with_quick_operations

PLAIN = Mode("py", "fast_run")  # as for Numba, but nothing to compile
x = pt.tensor3("x", shape=(4, 3, 5))
column = pt.tensor3("column", shape=(4, 1, 5))
X = np.random.default_rng(1).normal(size=(4, 3, 5))
COLUMN = np.random.default_rng(2).normal(size=(4, 1, 5))
VALUES = {x: X, column: COLUMN}

SUMS = {
    "last axis": (x.sum(axis=2), X.sum(axis=2)),
    "first axis": (x.sum(axis=0), X.sum(axis=0)),
    "middle axis": (x.sum(axis=1), X.sum(axis=1)),
    "first and last": (x.sum(axis=(0, 2)), X.sum(axis=(0, 2))),
    "last two": (x.sum(axis=(-1, -2)), X.sum(axis=(1, 2))),
    "all": (x.sum(), X.sum()),
    "of a slice": (x[1:, :, ::2].sum(axis=1), X[1:, :, ::2].sum(axis=1)),
}
MOVED = {
    "squeezed": (column.squeeze(1), COLUMN[:, 0]),
    "squeezed and turned": (column.squeeze(1).T, COLUMN[:, 0].T),
    "turned": (x.transpose(2, 0, 1), X.transpose(2, 0, 1)),
    "wider": (x[:, None, :, None], X[:, None, :, None]),
    "to a scalar": (pt.specify_shape(x[:1, :1, :1], (1, 1, 1)).squeeze(), X[0, 0, 0]),
    "shape": (pt.specify_shape(x[1:3], (2, 3, 5)), X[1:3]),
}


def run(graph, mode):
    graph = graph + 0.0 if graph.owner.op.view_map else graph  # a view of an input is copied
    inputs = [variable for variable in VALUES if variable in pytensor.graph.ancestors([graph])]
    function = pytensor.function(inputs, graph, mode=mode)
    return function(*[VALUES[variable] for variable in inputs]), function


def operations(function):
    return {type(node.op) for node in function.maker.fgraph.toposort()}


@pytest.mark.parametrize("name", SUMS)
def test_sums_in_numpy(name):
    graph, expected = SUMS[name]
    found, function = run(graph, with_quick_operations(PLAIN))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert PlainSum in operations(function)
    assert not any(issubclass(each, CAReduce) for each in operations(function))


@pytest.mark.parametrize("name", MOVED)
def test_axes_and_shapes_in_numpy(name):
    graph, expected = MOVED[name]
    found, function = run(graph, with_quick_operations(PLAIN))
    np.testing.assert_array_equal(found, expected)
    assert operations(function).isdisjoint({DimShuffle, SpecifyShape})


def test_both_in_numba():
    """One function for all of them: most of the time is Numba's."""
    graphs, expected = zip(*SUMS.values(), *MOVED.values(), strict=True)
    mode = Backend({"mode": "NUMBA"}).mode
    function = pytensor.function([x, column], [graph + 0.0 for graph in graphs], mode=mode)
    assert {MovedAxes, PlainSum} <= operations(function)
    for _ in range(2):
        for found, exact in zip(function(X, COLUMN), expected, strict=True):
            np.testing.assert_allclose(found, exact, rtol=1e-12)
        function = pickle.loads(pickle.dumps(function))


def test_others_stay_with_pytensor():
    """A transposed array is read as it lies in memory; integers, and axes of unknown length."""
    unknown = pt.matrix("unknown")
    graphs = [x.transpose(2, 1, 0).sum(axis=0), pt.round(x).astype("int64").sum(axis=0)]
    mode = with_quick_operations(PLAIN)
    function = pytensor.function([x, unknown], [*graphs, unknown.squeeze(0) + 1.0], mode=mode)
    sums, plain, _ = function(X, X[0, :1])
    np.testing.assert_allclose(sums, X.sum(axis=2).T, rtol=1e-12)
    np.testing.assert_array_equal(plain, np.round(X).astype(int).sum(axis=0))
    assert PlainSum not in operations(function)
    assert DimShuffle in operations(function)
