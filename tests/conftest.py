"""What several files of tests share."""

import gc
import os
import signal
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytensor
import pytest

from pymc_sgld.sources import bind

bind.SMALL = 0  # sources of tests stand for those that do not fit into memory

# A C++ compiler takes a second for each operation of a loop, which PyTensor gives it in the mode
# FAST_COMPILE too, and tests run a graph a few times. What tests start is to do without it as well.
flags = os.environ.get("PYTENSOR_FLAGS", "").split(",")
if "cxx=" not in flags:
    os.environ["PYTENSOR_FLAGS"] = ",".join([*filter(None, flags), "cxx="])
pytensor.config.cxx = ""
gc.freeze()  # what is imported stays
gc.set_threshold(20_000, 50, 50)  # graphs are many objects: an eighth of the time, by default
pytensor.config.traceback__limit = 0  # where each variable was made: a tenth of all the time


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


@pytest.fixture(scope="session")
def nameless():
    """Give a function that returns the descriptors of shared memory that this process has."""

    def is_shared(link):
        try:
            return "pymc_sgld" in os.readlink(link)
        except FileNotFoundError:  # that of the listing itself
            return False

    return lambda: [link.name for link in Path("/proc/self/fd").iterdir() if is_shared(link)]


@pytest.fixture(scope="session")
def s3():
    """Give a server that speaks S3."""
    pytest.importorskip("moto", reason="speaks S3")
    pytest.importorskip("s3fs", reason="reads from S3")
    from tests.s3 import S3

    server = S3()
    yield server
    server.close()
