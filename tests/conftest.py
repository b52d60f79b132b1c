"""What several files of tests share."""

import matplotlib
import matplotlib.pyplot as plt
import pytest


@pytest.fixture
def figures_without_a_screen():
    """Draw into memory, and close what was drawn."""
    backend = matplotlib.get_backend()
    plt.switch_backend("Agg")
    yield
    plt.close("all")
    plt.switch_backend(backend)
