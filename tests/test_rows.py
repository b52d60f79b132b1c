"""Row selection: the selected rows are the rows of the full elementwise log-likelihood."""

import numpy as np
import pytensor
import pytest

from pymc_sgld.gradients import minibatch
from pymc_sgld.minibatch.model import log_density
from tests.graphs import batch, evaluator, position_of, random_point
from tests.zoo import ROWS, SELECTABLE, WITH_PARAMETERS_BY_THE_ROW

SIZES = (1, 4)


@pytest.fixture(
    scope="module",
    params=SELECTABLE + WITH_PARAMETERS_BY_THE_ROW,
    ids=lambda build: build.__name__,
)
def build(request):
    return request.param


@pytest.fixture(scope="module")
def model(build):
    return build()


@pytest.fixture(scope="module")
def batches(model):
    """Densities of batches, and functions that return their log-likelihood and gradient."""
    densities = [log_density(model, model.value_vars, model.initial_point(), n) for n in SIZES]
    return [(d, evaluator(d, [sum(d.log_likelihoods), minibatch(d)])) for d in densities]


def test_rows_and_gradients(model, batches):
    """The batch's log-likelihood is that of its rows; a batch gradient averages to the full one."""
    point = random_point(model)
    full_rows = model.compile_fn(
        [
            term.reshape((ROWS, -1)).sum(axis=1)
            for term in model.logp(vars=model.observed_RVs, sum=False)
        ],
        inputs=model.value_vars,
        mode="FAST_COMPILE",
        point_fn=True,
        on_unused_input="ignore",
    )(point)
    full_gradient = model.compile_dlogp(mode="FAST_COMPILE")(point)
    full_rows = np.sum(full_rows, axis=0)
    tolerance = 1e-4 if "float32" in str(point.get("beta", np.zeros(1)).dtype) else 1e-9
    for size, (density, evaluate) in zip(SIZES, batches, strict=True):
        position = position_of(density, point)
        gradients = []
        for rows in np.random.default_rng(size).permutation(ROWS).reshape(-1, size):
            likelihood, gradient = evaluate(position, *batch(density, rows))
            np.testing.assert_allclose(likelihood, full_rows[rows].sum(), rtol=tolerance)
            gradients.append(gradient)
        np.testing.assert_allclose(
            np.mean(gradients, axis=0), full_gradient, rtol=tolerance, atol=10 * tolerance
        )


def test_no_array_of_all_rows_is_left(build, batches):
    """Nothing that an update computes has the rows of the data, unless its parameters have."""
    density, function = batches[-1]
    assert all(len(d.array) == ROWS for d in density.data if d.by_row)
    lengths = {
        length
        for node in function.maker.fgraph.toposort()
        for variable in (*node.inputs, *node.outputs)
        for length in getattr(variable.type, "shape", ())
    }
    assert (ROWS in lengths) == (build in WITH_PARAMETERS_BY_THE_ROW)


def test_the_model_is_not_changed(build):
    def printed():
        return pytensor.dprint([*model.basic_RVs, *model.value_vars], file="str")

    model = build()
    before, data = printed(), {rv.name: v for rv, v in model.rvs_to_values.items()}
    log_density(model, model.value_vars, model.initial_point(), 4)
    assert printed() == before
    assert {rv.name: v for rv, v in model.rvs_to_values.items()} == data
