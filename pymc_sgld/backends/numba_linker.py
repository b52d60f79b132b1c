"""Functions that Numba compiles once, and not once more for the cache.

PyTensor wraps what it compiles into a function that does nothing but call it, whose code is kept on
disk. Numba then optimizes all of it a second time: a good part of the seconds to the first draw.
Here the function itself is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from pytensor import config
from pytensor.graph.fg import FunctionGraph
from pytensor.link.numba.linker import NumbaLinker

from pymc_sgld.backends.quick_operations import register


class CompileOnce(NumbaLinker):
    """PyTensor's linker for Numba, without the wrapper around a whole function."""

    def fgraph_convert(self, fgraph: FunctionGraph, **kwargs: Any) -> tuple[Any, str | None]:
        """Return a function of Numba, and the key of its code in the cache on disk."""
        from pytensor.link.numba.dispatch.basic import (  # imports Numba
            numba_funcify,
            numba_funcify_and_cache_key,
        )

        register()
        if not config.numba__cache:
            return numba_funcify(fgraph, **kwargs), None
        return numba_funcify_and_cache_key(fgraph, **kwargs)

    def jit_compile(self, fn_and_cache: tuple[Any, str | None]) -> Callable:
        """Return the function that is called from Python."""
        from pytensor.link.numba.cache import CACHED_SRC_FUNCTIONS

        from pymc_sgld.backends.numba_libraries import compiled

        function, key = fn_and_cache[0].py_func, fn_and_cache[1]
        if key is None:
            return compiled(function, cache=False)
        # its source is in a temporary file, whose name would be a part of that in the cache
        code = function.__code__.replace(co_filename="<string>")
        function = FunctionType(code, function.__globals__, function.__name__)
        CACHED_SRC_FUNCTIONS[function] = f"{key}_one_piece_fastmath{int(config.numba__fastmath)}"
        return compiled(function, cache=True)
