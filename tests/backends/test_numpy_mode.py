"""Graphs that NumPy runs: whole arrays at once, whatever the operation."""

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.mode import predefined_linkers
from pytensor.link.c.op import COp
from pytensor.link.vm import VMLinker

from pymc_sgld.backends.numpy_mode import AS_IT_IS, QUICK, STABLE, is_by_entries
from pymc_sgld.minibatch.model import Minibatcher
from tests.zoo.families import FAMILIES

x = pt.vector("x")
ABOVE = np.linspace(0.3, 3, 400)
OPERATIONS = {
    "softplus": pt.softplus(x),
    "log1mexp": pt.log1mexp(-x),
    "clip": pt.clip(x, 1.0, 2.0),
    "switch": pt.switch(x > 1, x, 0.0),
    "trigamma": pt.tri_gamma(x),
    "rounded": pt.round(x, mode="half_away_from_zero"),
    "all of three": ((x > 0.5) & (x < 2.5) & (x < 2)).astype("float64"),
    "product of three": x * pt.exp(x) * pt.log(x),
}


@pytest.mark.parametrize("mode", [QUICK, STABLE, AS_IT_IS], ids=["quick", "stable", "as it is"])
def test_operations_on_arrays_are_those_on_entries(mode):
    """By PyTensor's own code, which is called for each entry."""
    graphs = list(OPERATIONS.values())
    function = pytensor.function([x], graphs, mode=mode)
    assert not any(is_by_entries(node) for node in function.maker.fgraph.toposort())
    expected = pytensor.function([x], graphs, mode="FAST_COMPILE")(ABOVE)
    for name, found, wanted in zip(OPERATIONS, function(ABOVE), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14, err_msg=name)
        assert found.dtype == wanted.dtype


def test_an_operation_without_a_function_is_compiled_for_arrays():
    """The derivative of an incomplete gamma function: few entries by Python, many by Numba."""
    graph = pytensor.grad(pt.gammainc(x, 1.5).sum(), x)
    function = pytensor.function([x], graph, mode=QUICK)
    few, many = function(ABOVE[:5]), function(ABOVE)
    step = 1e-6
    value = pytensor.function([x], pt.gammainc(x, 1.5), mode=QUICK)
    np.testing.assert_allclose(
        many, (value(ABOVE + step) - value(ABOVE - step)) / (2 * step), rtol=1e-6
    )
    np.testing.assert_allclose(few, many[:5], rtol=1e-9)


def test_nothing_within_a_graph_is_compiled_by_a_compiler_of_c(monkeypatch):
    """Neither loops nor functions, though PyTensor compiles them within graphs that it runs."""

    def compiled(op, *arguments):
        raise AssertionError(f"{op} was compiled")

    monkeypatch.setattr(COp, "make_c_thunk", compiled)
    monkeypatch.setitem(predefined_linkers, "vm", VMLinker(use_cloop=False, c_thunks=True))

    def graphs():
        one, multiply = pt.constant(1.0, dtype="float64"), lambda value, last: value * last
        loop = pytensor.scan(multiply, sequences=[x], outputs_info=[one], return_updates=False)
        return [loop, OpFromGraph([x], [x * pt.exp(x)])(x)]

    with pytensor.config.change_flags(cxx="g++"):
        for graph in graphs():
            with pytest.raises(AssertionError, match="was compiled"):
                pytensor.function([x], graph, mode="FAST_COMPILE")
        found = pytensor.function([x], graphs(), mode=QUICK)(ABOVE)
    np.testing.assert_allclose(found[0], np.cumprod(ABOVE))
    np.testing.assert_allclose(found[1], ABOVE * np.exp(ABOVE))


@pytest.mark.parametrize(("dtype", "accuracy"), [("float64", 1e-14), ("float32", 1e-6)])
def test_stable_where_the_exponential_overflows(dtype, accuracy):
    ends = np.array([-1000.0, -40, -1, 0, 1, 40, 1000, np.inf, -np.inf, np.nan])
    variable = pt.vector(dtype=dtype)
    found = pytensor.function([variable], pt.log1p(pt.exp(variable)), mode=STABLE)(
        ends.astype(dtype)
    )
    assert found.dtype == dtype
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(found, np.logaddexp(0, ends), rtol=accuracy, atol=1e-30)


def test_no_distribution_is_evaluated_entry_by_entry():
    """Values and gradients of all of PyMC's univariate distributions."""
    with pm.Model() as model:
        slope = pm.Normal("slope", 0, 0.1)
        for family, (observed, links, others) in FAMILIES.items():
            parameters = {
                k: link(slope * np.linspace(-1, 1, len(observed))) for k, link in links.items()
            }
            family(family.__name__, **parameters, **others, observed=observed)
    density = Minibatcher(
        model, model.value_vars, model.initial_point(), full=[f.__name__ for f in FAMILIES]
    ).density()
    outputs = []
    for graph in density.log_likelihoods:
        gradient = density.gradient(graph, density.position)
        outputs += [graph, gradient]
    inputs = [density.position, *[d.variable for d in density.data]]
    function = pytensor.function(inputs, outputs, mode=QUICK, on_unused_input="ignore")
    assert not any(is_by_entries(node) for node in function.maker.fgraph.toposort())
