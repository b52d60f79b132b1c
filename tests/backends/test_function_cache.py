"""Functions that were made before are found for equal graphs, and for no others."""

import numpy as np
import pytensor
import pytensor.tensor as pt

from pymc_sgld.backends.backend import NUMPY


def function(inputs, output):
    return NUMPY.function(inputs, [output], calls=1)


def graph():
    x, y = pt.vector("x"), pt.vector("y")
    return [x, y], pt.exp(x * 2.0) + y


def test_an_equal_graph_is_found():
    assert function(*graph()) is function(*graph())


def test_inputs_in_another_order():
    (x, y), output = graph()
    zero, one = np.zeros(1), np.ones(1)
    assert function([x, y], output)(zero, one) == [2.0]
    np.testing.assert_allclose(function([y, x], output)(zero, one), [np.exp([2.0])])


def test_another_setting_of_pytensor():
    first = function(*graph())
    with pytensor.config.change_flags(numba__fastmath=not pytensor.config.numba__fastmath):
        assert function(*graph()) is not first
