"""Row selection: the selected rows are the rows of the full elementwise log-likelihood."""

import pytensor
import pytest

from pymc_sgld.minibatch.model import log_density
from tests.graphs import check_no_array_of_all_rows, check_rows_and_gradients
from tests.models import SELECTABLE, WITH_PARAMETERS_BY_THE_ROW


@pytest.fixture(params=SELECTABLE, ids=lambda build: build.__name__)
def model(request):
    return request.param()


@pytest.mark.parametrize(
    "model",
    SELECTABLE + WITH_PARAMETERS_BY_THE_ROW,
    ids=lambda build: build.__name__,
    indirect=True,
)
def test_rows_and_gradients(model):
    check_rows_and_gradients(model)


def test_no_array_of_all_rows_is_left(model):
    check_no_array_of_all_rows(model)


def test_the_model_is_not_changed(model):
    def printed():
        return pytensor.dprint([*model.basic_RVs, *model.value_vars], file="str")

    before, data = printed(), {rv.name: v for rv, v in model.rvs_to_values.items()}
    log_density(model, model.value_vars, model.initial_point(), 4)
    assert printed() == before
    assert {rv.name: v for rv, v in model.rvs_to_values.items()} == data
