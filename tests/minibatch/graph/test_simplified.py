"""Simplified graphs have the values and the gradients of those that they come from."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.gradient import disconnected_grad, grad_scale, zero_grad
from pytensor.graph.traversal import toposort

from pymc_sgld.backends.numpy_mode import AS_IT_IS
from pymc_sgld.minibatch.graph.simplified import simplified

position, data = pt.vector("position", shape=(3,)), pt.vector("data", shape=(4,))
pieces = [position[:2].reshape((2,)), position[2:].reshape(())]
AT, ROWS = np.array([0.3, -0.2, 0.5]), np.array([1.0, 2.0, -1.0, 0.5])


def count(graphs):
    return len(list(toposort(graphs)))


def test_values_and_gradients_stay():
    """The pieces of the position stay what the graphs are made of: gradients are by them."""
    beta, log_scale = pieces
    away = (data - beta[0] * 1.0 - beta.sum() + 0.0) / pt.exp(log_scale)
    slope = pytensor.grad(pt.sum(away**2 * 0.5), log_scale)
    graphs = [pt.sum(-(away**2) / 2) * 1.0, pt.log(pt.sum(slope**2)), pt.gt(away, 0)]
    simple = simplified(graphs, pieces)
    assert count(simple) < count(graphs)
    one, other = (
        pytensor.function(
            [position, data],
            [*each, *pytensor.grad(each[0] + each[1], pieces)],
            mode=AS_IT_IS,
        )(AT, ROWS)
        for each in (graphs, simple)
    )
    for found, expected in zip(other, one, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        assert np.any(found)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [(disconnected_grad, 1), (zero_grad, 1), (lambda x: grad_scale(x, 3.0), 4)],
)
def test_gradients_of_their_own_stay(operation, expected):
    """Where nodes of a quadrature are is not differentiated, for one."""
    log_scale = pieces[1]
    [simple] = simplified([log_scale * 1.0 + operation(log_scale * 1.0)], pieces)
    assert (
        pytensor.function([position], pytensor.grad(simple, log_scale), mode=AS_IT_IS)(AT)
        == expected
    )


def test_graphs_are_not_changed():
    graph = pt.sum(pieces[0] * 1.0)
    before = pytensor.dprint(graph, file="str")
    simplified([graph], pieces)
    assert pytensor.dprint(graph, file="str") == before
