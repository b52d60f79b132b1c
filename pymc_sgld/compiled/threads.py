"""One thread for linear algebra: the matrices of an update are too small to share.

With several, an update waits for all of them, and where other processes keep the cores busy
(other chains, for one) that is most of the time.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def one_thread() -> AbstractContextManager:
    """Return a context in which BLAS runs in one thread; what was before returns at its end.

    It does so already in ``pm.sample``, unless ``blas_cores`` was given: then nothing is done.
    """
    if all(library.num_threads == 1 for library in _controller().lib_controllers):
        return nullcontext()
    return _controller().limit(limits=1)
