"""Which variables the run records: what ``pm.sample(var_names=...)`` was called with.

PyMC tells a step how many draws there will be, and not which variables are kept. It is asked for
here: a step whose draws of thousands of group effects nobody keeps need not make them, and one that
cannot make them must say so before a run, and not leave old values in its result.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from types import FrameType
from typing import Any

ALL = None
"""Of a run without ``var_names``, and of a step that is used without ``pm.sample``."""


def recorded_names(outside: Collection[str] | None = ALL) -> Collection[str] | None:
    """Return the names that the run in progress records, or None for all.

    They are an argument of the call of ``pm.sample`` further up on the stack. Where there is none,
    ``outside`` is returned.
    """
    names = argument_of_run("var_names", outside)
    return ALL if names is None else list(names)


def argument_of_run(name: str, outside: Any = None) -> Any:
    """Return an argument of the call of ``pm.sample`` that is in progress, or ``outside``."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name == "sample" and frame.f_globals.get("__name__") == "pymc.sampling.mcmc":
            return frame.f_locals.get(name)
        frame = frame.f_back
    return outside
