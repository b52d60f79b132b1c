"""What several files of tests share."""

import signal

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


@pytest.fixture(autouse=True, scope="session")
def interrupts_arrive():
    """Also where the tests run in the background, for which shells ignore interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
