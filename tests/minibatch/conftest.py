import pytest

from pymc_sgld.minibatch.groups import layout


@pytest.fixture(scope="module")
def few_rows_make_classes():
    """Small data have classes of sizes, as large data do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "SAVED", 0)
        yield
