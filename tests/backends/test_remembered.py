"""Graphs that were rewritten before: the same ones are found, others never."""

import numpy as np
import pytensor
import pytensor.sparse
import pytensor.tensor as pt
import pytest
import scipy.sparse
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.basic import GraphRewriter
from pytensor.graph.rewriting.db import RewriteDatabaseQuery

from pymc_sgld.backends import remembered
from pymc_sgld.backends.backend import Backend
from pymc_sgld.backends.flat_graph import FlatGraph
from pymc_sgld.backends.remembered import Remembered
from tests.graphs import Twice

MODE = Backend({"mode": "NUMBA"}).mode


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    """Return the folder where graphs are kept."""
    monkeypatch.setattr(remembered, "folder", lambda: tmp_path)
    return tmp_path


class Counted(GraphRewriter):
    """Rewrites that are counted."""

    def __init__(self, rewriter):
        self.rewriter, self.calls = rewriter, 0

    def print_summary(self, stream=None, level=0, depth=-1):
        self.rewriter.print_summary(stream, level, depth)

    def apply(self, fgraph):
        self.calls += 1
        return self.rewriter.rewrite(fgraph)


@pytest.fixture
def rewrites():
    """Return rewrites that are kept, and the count of those that were done."""
    found = Remembered(RewriteDatabaseQuery(include=["canonicalize", "stabilize"]))
    found.__dict__["_rewriter"] = Counted(found._rewriter)
    return found


def density(constant):
    x, y = pt.vector("x", shape=(5,)), pt.vector("y", shape=(5,))
    value = pt.sum(pt.log1p(pt.exp(x * constant)) * y)
    return [x, y], [value, pytensor.grad(value, x)]


def rewritten(rewrites, constant):
    inputs, outputs = density(constant)
    graph = FunctionGraph(inputs, outputs, clone=False)
    rewrites.rewrite(graph)
    assert graph.inputs == inputs
    graph.check_integrity()
    return pytensor.function(inputs, graph.outputs, mode="FAST_COMPILE")


def test_a_graph_is_rewritten_once(rewrites, kept):
    at = np.linspace(-1, 1, 5), np.arange(5.0)
    constants = 2.0, 2.0, 3.0, 2.0
    functions = [rewritten(rewrites, constant) for constant in constants]
    assert rewrites._rewriter.calls == len(list(kept.iterdir())) == 2
    for function, constant in zip(functions, constants, strict=True):
        gradient = constant * at[1] / (1 + np.exp(-constant * at[0]))
        np.testing.assert_allclose(function(*at)[1], gradient, rtol=1e-12)


def test_what_is_found_is_what_was_made(rewrites):
    made, found = (rewritten(rewrites, 2.0).maker.fgraph for _ in range(2))
    flat = [FlatGraph.of(graph.inputs, graph.outputs) for graph in (made, found)]
    assert flat[0].is_like(flat[1])
    assert rewrites._rewriter.calls == 1


def test_a_damaged_file(rewrites, kept):
    rewritten(rewrites, 2.0)
    [path] = kept.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    rewritten(rewrites, 2.0)
    rewritten(rewrites, 2.0)
    assert rewrites._rewriter.calls == 2


def test_a_file_of_another_graph(rewrites, kept):
    """A name that two graphs have in common does not make them one."""
    rewritten(rewrites, 2.0)
    [path] = kept.iterdir()
    other = path.read_bytes()
    path.unlink()
    rewritten(rewrites, 3.0)
    [path] = kept.iterdir()
    path.write_bytes(other)
    at = np.linspace(-1, 1, 5), np.arange(5.0)
    value, _ = rewritten(rewrites, 3.0)(*at)
    np.testing.assert_allclose(value, np.sum(np.log1p(np.exp(3 * at[0])) * at[1]), rtol=1e-12)


def test_operations_that_write_to_their_inputs():
    """What is read before it is written over stays so, in a graph from the disk too."""

    def function():
        x = pt.matrix("x", shape=(3, 3))
        first = pt.exp(x @ x)
        second = pt.set_subtensor(first[0], 7.0)
        return pytensor.function([x], [first.sum(axis=0) @ x, second @ x], mode=MODE)

    x = np.random.default_rng(1).normal(size=(3, 3))
    first = np.exp(x @ x)
    second = first.copy()
    second[0] = 7
    for each in (function(), function()):
        one, other = each(x)
        np.testing.assert_allclose(one, first.sum(axis=0) @ x, rtol=1e-10)
        np.testing.assert_allclose(other, second @ x, rtol=1e-10)


def test_operations_of_a_user_are_not_kept(rewrites, kept):
    x = pt.vector("x")
    for _ in range(2):
        rewrites.rewrite(FunctionGraph([x], [Twice()(x)], clone=True))
    assert rewrites._rewriter.calls == 2
    assert not list(kept.iterdir())


def test_values_of_sparse_constants_differ():
    graphs = []
    for value in (1.0, 2.0):
        x = pt.matrix("x", shape=(2, 2))
        matrix = pytensor.sparse.as_sparse_variable(scipy.sparse.csr_matrix([[value, 0], [0, 1]]))
        graphs.append(FlatGraph.of([x], [pytensor.sparse.dot(matrix, x)]))
    assert not graphs[0].is_like(graphs[1])
    assert graphs[0].name() != graphs[1].name()


def test_only_the_latest_are_kept(rewrites, kept, monkeypatch):
    monkeypatch.setattr(remembered, "MOST", 4)
    for constant in range(2, 9):
        rewritten(rewrites, float(constant))
    assert len(list(kept.iterdir())) <= 4
