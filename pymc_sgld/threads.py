"""One thread for linear algebra: the matrices of an update are too small to share.

With several, an update waits for all of them, and where other processes keep the cores busy
(other chains, for one) that is most of the time.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def one_thread() -> AbstractContextManager:
    """Return a context in which BLAS runs in one thread; what was before returns at its end."""
    return _controller().limit(limits=1, user_api="blas")
