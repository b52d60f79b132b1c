"""Row selection: the selected rows are the rows of the full elementwise log-likelihood."""

import pytensor
import pytest

from tests.graphs import check_rows_and_gradients, compile_batches, lengths_in
from tests.zoo import ROWS, SELECTABLE, WITH_PARAMETERS_BY_THE_ROW

ONE, SEVERAL = (1,), (4,)


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
def before(model):
    return state(model)


@pytest.fixture(scope="module")
def batches(model, before):
    return compile_batches(model, SEVERAL)


def state(model):
    """Return the graphs of a model as text, and its data."""
    printed = pytensor.dprint([*model.basic_RVs, *model.value_vars], file="str")
    return printed, {rv.name: value for rv, value in model.rvs_to_values.items()}


def test_rows_and_gradients(model, batches):
    check_rows_and_gradients(model, batches, SEVERAL)


@pytest.mark.long
def test_batches_of_one_row(model):
    check_rows_and_gradients(model, compile_batches(model, ONE), ONE)


def test_no_array_of_all_rows_is_left(build, batches):
    """Nothing that an update computes has the rows of the data, unless its parameters have."""
    assert (ROWS in lengths_in(batches)) == (build in WITH_PARAMETERS_BY_THE_ROW)


def test_the_model_is_not_changed(model, before, batches):
    assert state(model) == before
