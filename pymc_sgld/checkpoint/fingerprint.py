"""Which call a folder belongs to: the model, its data, the settings and the versions, by name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import scipy
from pymc.model import Model
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.configdefaults import config
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.op import HasInnerGraph
from pytensor.graph.traversal import toposort
from pytensor.scalar.basic import ScalarInnerGraphOp
from pytensor.tensor.random.type import RandomType

from pymc_sgld.errors import SettingError
from pymc_sgld.schedules import Schedule, evaluate
from pymc_sgld.sources.source import Source
from pymc_sgld.version import __version__

_PACKAGES = ("pymc", "pytensor", "numpy", "scipy", "numba", "jax")
_COUNTS = (0, 1, 2, 5, 10, 100, 1000, 10_000, 100_000)  # where a schedule is looked at
_BLOCKS, _ROWS = 64, 64  # of a source, that are looked at
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
_OF_THE_RUN = "progressbar", "checkpoint", "audit", "settings", "executor"
_LEFT_OUT = {"self", "vars", "model", "data", "rng", "blocked", *_OF_THE_RUN}
"""Arguments that are described otherwise, or change nothing."""


def fingerprint(
    described: Mapping[str, str],
    arguments: Mapping[str, Any],
    model: Model,
    sources: Mapping[str, Source],
) -> dict[str, str]:
    """Return what has to be the same for a run to go on, by name; hashes begin with ``#``.

    Of data in memory all bytes count, of sources 64 blocks of 64 rows: the first, the last and
    others at the same distances.

    Parameters
    ----------
    described : dict
        What is known of the step in words.
    arguments : dict
        Of `SGLD`.
    model : Model
    sources : dict
        The rows that are not in memory.
    """
    found = {**described, "pymc_sgld": __version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    found["PyTensor's mode, linker and floatX"] = f"{config.mode}, {config.linker}, {config.floatX}"
    for name, value in arguments.items():
        if name not in _LEFT_OUT and not name.startswith("__"):
            found[name] = _described(value)
    variables = [*model.basic_RVs, *model.potentials, *model.deterministics]
    graphs = [*model.logp(sum=False), *model.replace_rvs_by_values(model.deterministics)]
    for variable, graph in zip(variables, graphs, strict=True):
        data: dict[str, str] = {}
        found[f'the definition of "{variable.name}"'] = _of_graphs([graph], data)
        for name, digest in data.items():
            owner = name or f'of "{variable.name}"'
            found[f"the data {owner}"] = digest
    for name, source in sources.items():
        found[f'the source "{name}"'] = _of_source(source)
    return found


def differences(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return what is not the same, in words."""
    found = []
    for name in sorted({*then, *now}):
        before, after = then.get(name, "none"), now.get(name, "none")
        if before != after:
            plain = not (before.startswith("#") or after.startswith("#"))
            found.append(f"{name} ({before} then, {after} now)" if plain else name)
    return found


def _digest(parts: Iterable[Any]) -> str:
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        content = part if isinstance(part, bytes | memoryview) else str(part).encode()
        found.update(f"{len(content)}:".encode())
        found.update(content)
    return f"#{found.hexdigest()}"


def of_array(value: Any) -> str:
    """Return a hash of an array, dense or sparse."""
    if scipy.sparse.issparse(value):
        compressed = value.tocsr()
        parts = compressed.data, compressed.indices, compressed.indptr
        return _digest([value.shape, *map(of_array, parts)])
    array = np.ascontiguousarray(value)
    if array.dtype.hasobject:
        return _digest([array.shape, repr(array.tolist())])
    return _digest([array.dtype.str, np.shape(value), array.reshape(-1).view(np.uint8).data])


def _of_source(source: Source) -> str:
    starts = np.linspace(0, max(0, len(source) - _ROWS), _BLOCKS).astype(int).tolist()
    blocks = [of_array(source[start : start + _ROWS]) for start in dict.fromkeys(starts)]
    return _digest([source.shape, source.dtype.str, *blocks])


def _described(value: Any) -> str:
    """Return a value in words where that is short, else its hash."""
    if isinstance(value, Mapping):
        text = str({str(name): _described(value[name]) for name in sorted(value, key=str)})
    elif hasattr(value, "__array__"):
        return of_array(np.asarray(value))
    elif callable(value):
        text = f"{value!r} {_digest(map(partial(_size, value), _COUNTS))[:9]}"
    elif isinstance(value, Collection) and not isinstance(value, str):
        named = all(isinstance(one, str) for one in value)
        text = ", ".join(sorted(value)) if named else of_array(np.asarray(value))
    else:
        text = str(value)
    text = _ADDRESS.sub("", text)
    return text if len(text) < 80 else _digest([text])


def _size(schedule: Schedule, count: int) -> str:
    """Return a step size, exactly, or that there is none."""
    try:
        return evaluate(schedule, np.array([count]))[0].hex()
    except SettingError:
        return "none"


def _of_graphs(
    outputs: Iterable[Variable], data: dict[str, str], inputs: Iterable[Variable] = ()
) -> str:
    """Return a hash of graphs; hashes of the data in them go to ``data``, by their names."""
    outputs = list(outputs)
    known = {variable: f"input {i}" for i, variable in enumerate(inputs)}

    def of(variable: Variable) -> str:
        if variable not in known:
            known[variable] = _of_root(variable, data)
        return known[variable]

    for node in toposort(outputs):
        whole = _digest([*_of_operation(node, data), *map(of, node.inputs)])
        for place, output in enumerate(node.outputs):
            known.setdefault(output, _digest([whole, place, output.type]))
    return _digest(map(of, outputs))


def _of_root(variable: Variable, data: dict[str, str]) -> str:
    """Return a hash of what no operation makes."""
    if isinstance(variable.type, RandomType):
        return "random numbers"
    if isinstance(variable, SharedVariable):
        name = f'"{variable.name}"'
        data[name] = of_array(variable.get_value(borrow=True))
        return _digest([name, variable.type])
    if isinstance(variable, Constant):
        value = variable.data
        if np.size(value) > 1 or scipy.sparse.issparse(value):
            data[""] = _digest([data.get("", ""), of_array(value)])
            return _digest([variable.type])
        is_array = isinstance(value, np.ndarray | np.generic)
        return _digest([variable.type, of_array(value) if is_array else repr(value)])
    return _digest([variable.name, variable.type])


def _of_operation(node: Apply, data: dict[str, str]) -> Iterable[Any]:
    """Give what tells an operation from others."""
    op = node.op
    kind = f"{type(op).__module__}.{type(op).__qualname__}"
    settings = [f"{name}={getattr(op, name)}" for name in getattr(op, "__props__", ())]
    yield _ADDRESS.sub("", " ".join([kind, str(op), *settings]))
    if isinstance(op, HasInnerGraph | ScalarInnerGraphOp):
        yield _of_graphs(op.fgraph.outputs, data, op.fgraph.inputs)
