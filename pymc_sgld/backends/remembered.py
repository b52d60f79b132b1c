"""Graphs that were rewritten before, in this process or another: what became of them is on disk.

PyTensor simplifies a graph before it is run, which takes tenths of a second for the gradient of a
model, every time, while code that Numba has compiled comes from a cache on disk. Here the graph
that came out is kept beside that code. Whether it came out just now or was on disk, the same bytes
are read: so the same code is found, and the same numbers.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
import sys
import tempfile
import threading
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pymc
import pytensor
from pytensor import config
from pytensor.compile.aliasing import Supervisor
from pytensor.compile.mode import Mode, optdb
from pytensor.compile.ops import FromFunctionOp
from pytensor.graph.destroyhandler import DestroyHandler
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.op import HasMultipleInnerGraph
from pytensor.graph.rewriting.basic import GraphRewriter
from pytensor.graph.rewriting.db import RewriteDatabaseQuery
from pytensor.link.basic import Linker

from pymc_sgld.backends.flat_graph import FlatGraph

MOST = 1000  # graphs that are kept, the latest
_PACKAGES = "pytensor", "pymc", "pymc_sgld"
_LARGEST = 1_000_000  # bytes of constants in a graph
_of_thread = threading.local()


class Remembered(GraphRewriter):
    """Rewrites graphs as a query has it, each of them once."""

    def __init__(self, query: RewriteDatabaseQuery) -> None:
        self._query = query

    def __reduce__(self) -> Any:
        """Pickle the query alone."""
        return type(self), (self._query,)

    def including(self, *tags: str) -> Remembered:
        """Return the same with more rewrites."""
        return Remembered(self._query.including(*tags))

    def excluding(self, *tags: str) -> Remembered:
        """Return the same with fewer rewrites."""
        return Remembered(self._query.excluding(*tags))

    def add_requirements(self, fgraph: FunctionGraph) -> None:
        """Leave that to the rewrites: a graph from the disk needs none."""

    def apply(self, fgraph: FunctionGraph) -> Any:
        """Rewrite a graph, or take what became of it."""
        is_within_another = getattr(_of_thread, "is_busy", False)
        if is_within_another or not config.numba__cache:
            return self._rewriter.rewrite(fgraph)
        _of_thread.is_busy = True
        try:
            return self._apply(fgraph)
        finally:
            _of_thread.is_busy = False

    @cached_property
    def _rewriter(self) -> GraphRewriter:
        return optdb.query(self._query)

    @cached_property
    def _description(self) -> str:
        """What the rewrites are."""
        found = io.StringIO()
        self._rewriter.print_summary(found)
        return re.sub(r" id=\d+| at 0x[0-9a-f]+", "", found.getvalue())

    def _apply(self, fgraph: FunctionGraph) -> Any:
        before = FlatGraph.of(fgraph.inputs, fgraph.outputs)
        size = sum(getattr(value, "nbytes", 0) for _, value in before.constants)
        if size > _LARGEST or not all(_is_known(op) for op, *_ in before.nodes):
            return self._rewriter.rewrite(fgraph)
        protected = [
            [variable in feature.protected for variable in fgraph.inputs]
            for feature in fgraph._features
            if isinstance(feature, Supervisor)
        ]
        settings = self._description, _versions(), config.get_config_hash()
        path = folder() / before.name(*settings, protected, fgraph.update_mapping)
        kept = _read(path, before)
        if kept is not None:
            _put(fgraph, *kept)
            return None
        features = list(fgraph._features)
        found = self._rewriter.rewrite(fgraph)
        is_destroyed = hasattr(fgraph, "destroy_handler")
        after = FlatGraph.of(fgraph.inputs, fgraph.outputs, fgraph.toposort())
        kept = _write(path, before, after, is_destroyed)
        if kept is not None:
            for feature in [each for each in fgraph._features if each not in features]:
                fgraph.remove_feature(feature)
            _put(fgraph, *kept)
        return found


def remembering(linker: Linker, rewrites: RewriteDatabaseQuery) -> Mode:
    """Return a mode that rewrites each graph once."""
    needed, never = linker.required_rewrites, linker.incompatible_rewrites
    return Mode(linker, Remembered(rewrites.including(*needed).excluding(*never)))


def _put(fgraph: FunctionGraph, graph: FlatGraph, is_destroyed: bool) -> None:
    """Put other outputs into a graph.

    ``is_destroyed``: whether operations of it write to their inputs.
    """
    for i, output in enumerate(graph.graphs(fgraph.inputs)):
        node, place = fgraph.get_output_client(i)
        fgraph.change_node_input(node, place, output, "remembered", True, False)
    if is_destroyed:
        fgraph.attach_feature(DestroyHandler())


def folder() -> Path:
    """Return where graphs are kept."""
    return Path(config.base_compiledir) / "pymc_sgld"


@cache
def _versions() -> str:
    """Return what rewrites depend on: versions, and our own rewrites."""
    own = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        own.update(path.read_bytes())
    return f"{sys.version} {pytensor.__version__} {pymc.__version__} {own.hexdigest()}"


def _is_known(op: Any) -> bool:
    """Whether an operation, and those within it, change with a version of a package only.

    That of a user may be another when it is imported again, and values of it are in what is kept.
    """
    if type(op).__module__.split(".")[0] not in _PACKAGES or isinstance(op, FromFunctionOp):
        return False
    inner = [getattr(op, name) for name in ("scalar_op", "core_op") if hasattr(op, name)]
    if isinstance(op, HasMultipleInnerGraph):
        inner += [node.op for each in op.inner_graphs.values() for node in each.toposort()]
    return all(map(_is_known, inner))


def _read(path: Path, before: FlatGraph) -> tuple[FlatGraph, bool] | None:
    """Return what became of a graph, if it is on disk."""
    try:
        known, *kept = pickle.loads(path.read_bytes())
        return tuple(kept) if known.is_like(before) else None
    except Exception:  # whatever it is, the graph is rewritten
        return None


def _write(
    path: Path, before: FlatGraph, after: FlatGraph, is_destroyed: bool
) -> tuple[FlatGraph, bool] | None:
    """Keep a graph, and return it as others will read it; None if it cannot be kept."""
    try:
        found = pickle.dumps((before, after, is_destroyed))
        known, *kept = pickle.loads(found)
        if not known.is_like(before):  # nobody would take it
            return None
    except Exception:  # operations that cannot be pickled
        return None
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(found)
        os.replace(file.name, path)
        _tidy(path.parent)
    return tuple(kept)


def _tidy(where: Path) -> None:
    """Forget the graphs that were kept first, where there are too many."""
    paths = list(where.iterdir())
    if len(paths) > MOST:
        paths.sort(key=lambda path: path.stat().st_mtime)
        for path in paths[: len(paths) - MOST // 2]:
            path.unlink(missing_ok=True)
