"""Whether JAX can run in this process: its threads do not survive a fork, and it would hang."""

from __future__ import annotations

import os
import sys
from multiprocessing import current_process

_begun: int | None = None  # the process where this package ran it


def begin() -> None:
    """Remember that JAX runs in this process."""
    global _begun
    _begun = os.getpid()


def is_lost() -> bool:
    """Whether this process was forked from one in which JAX had run, for whomever."""
    if _begun == os.getpid():
        return False
    return _begun is not None or (
        _has_begun() and type(current_process()).__name__ == "ForkProcess"
    )


def _has_begun() -> bool:
    """Whether JAX has started its threads, here or before a fork: there is no public function."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    begun = getattr(bridge, "backends_are_initialized", None)
    return bool(begun and begun())
