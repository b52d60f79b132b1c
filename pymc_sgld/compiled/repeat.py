"""A compiled function of one update, repeated in compiled code: a call runs any number of updates.

This is what PyTensor's ``scan`` does; Numba compiles it sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
from pytensor.link.jax.linker import JAXLinker
from pytensor.link.numba.linker import NumbaLinker

Arrays = Sequence[np.ndarray]


class Repeat:
    """Runs a function for each entry of sequences, on what it returned for the one before.

    Parameters
    ----------
    function : callable
        Compiled by PyTensor. It takes an entry of each sequence, of shape (1, ...), then a state,
        then what is the same every time. It returns the next state, and then vectors, shape (d,),
        that are kept of every time.
    sequences, states : int
        How many of its inputs are sequences, and how many are the state.
    tables : int
        How many of the state, its last ones, are one row of a table, which row the same number of
        sequences say, the last ones.
    """

    def __init__(
        self, function: Callable[..., Any], sequences: int, states: int, tables: int
    ) -> None:
        self.function, self._sequences, self.states = function, sequences, states
        self._tables = tables

    def __call__(self, sequences: Arrays, state: Arrays, others: Arrays) -> list[Any]:
        """Return the last state, tables in the place of rows, and what was kept, shape (k, d)."""
        return list(self._run(*sequences, *state, *others))

    @cached_property
    def _run(self) -> Callable[..., Sequence[Any]]:
        linker = self.function.maker.linker  # type: ignore[attr-defined]
        if isinstance(linker, NumbaLinker):
            return self._by_numba()
        return self._by_jax() if isinstance(linker, JAXLinker) else self._by_python

    def _by_python(self, *inputs: np.ndarray) -> list[np.ndarray]:
        first = self._sequences
        sequences, others = inputs[:first], inputs[first + self.states :]
        state, kept = list(inputs[first : first + self.states]), []
        own = self.states - self._tables
        tables = [table.copy() for table in state[own:]]
        for k in range(len(sequences[0])):
            entries = [sequence[k : k + 1] for sequence in sequences]
            rows = [entry[0] for entry in entries[first - self._tables :]]
            read = [table[row] for table, row in zip(tables, rows, strict=True)]
            found = self.function(*entries, *state[:own], *read, *others)
            state = found[: self.states]
            for table, row, new in zip(tables, rows, state[own:], strict=True):
                table[row] = new
            kept.append(found[self.states :])
        return [*state[:own], *tables, *map(np.array, zip(*kept, strict=True))]

    def _by_jax(self) -> Callable[..., Sequence[Any]]:
        import jax

        update = self.function.vm.jit_fn  # type: ignore[attr-defined]
        first, last = self._sequences, self._sequences + self.states
        own, places = self.states - self._tables, self._sequences - self._tables

        def repeat(*inputs: Any) -> list[Any]:
            def one(state: tuple[Any, ...], entries: tuple[Any, ...]) -> tuple[Any, Any]:
                tables, rows = state[own:], entries[places:]
                read = [table[row] for table, row in zip(tables, rows, strict=True)]
                given = [entry[None] for entry in entries]
                found = update(*given, *state[:own], *read, *inputs[last:])
                renewed = zip(tables, rows, found[own : self.states], strict=True)
                written = [table.at[row].set(new) for table, row, new in renewed]
                # in another process JAX may compute in double precision by default
                new = [array.astype(old.dtype) for array, old in zip(found, state[:own])]
                return (*new, *written), tuple(found[self.states :])

            state, kept = jax.lax.scan(one, inputs[first:last], inputs[:first])
            return [*state, *kept]

        return jax.jit(repeat)

    def _by_numba(self) -> Callable[..., Sequence[Any]]:
        from pytensor.link.numba.cache import CACHED_SRC_FUNCTIONS, compile_numba_function_src
        from pytensor.link.numba.dispatch.basic import numba_njit

        from pymc_sgld.backends.numba_libraries import compiled

        plain = self.function.vm.jit_fn.py_func  # type: ignore[attr-defined]
        source = self._source()
        key = CACHED_SRC_FUNCTIONS.get(plain)
        if key is not None:
            key = sha256(f"{key}{source}".encode()).hexdigest()
        names = globals() | {"update": numba_njit(plain)}
        made = compile_numba_function_src(source, "repeat", names, cache_key=key)
        return compiled(made, cache=key is not None)

    def _source(self) -> str:
        """Return what Numba compiles. Arrays are copied by entries: that is compiled quickly."""
        outputs = [v.type for v in self.function.maker.fgraph.outputs]  # type: ignore[attr-defined]
        inputs = len(self.function.maker.fgraph.inputs)  # type: ignore[attr-defined]
        sequences = [f"sequence{i}" for i in range(self._sequences)]
        state = [f"state{i}" for i in range(self.states)]
        others = [f"other{i}" for i in range(inputs - len(sequences) - len(state))]
        kept = [f"kept{i}" for i in range(len(outputs) - len(state))]
        new = [f"new{i}" for i in range(len(outputs))]
        entries = [f"{name}[k : k + 1]" for name in sequences]
        tables = dict(
            zip(
                state[len(state) - self._tables :],
                [f"{name}[k]" for name in sequences[len(sequences) - self._tables :]],
                strict=True,
            )
        )
        read = [f"{name}[{tables[name]}]" if name in tables else name for name in state]
        lines = [
            f"def repeat({', '.join([*sequences, *state, *others])}):",
            f"    n = {sequences[0]}.shape[0]",
            *[f"    {name} = {name}.copy()" for name in state],
        ]
        for name, of in zip(kept, outputs[len(state) :], strict=True):
            lines.append(f"    {name} = np.empty((n, {of.shape[0]}), {state[0]}.dtype)")
        lines += [
            "    for k in range(n):",
            f"        {', '.join(new)}, = update({', '.join([*entries, *read, *others])})",
        ]
        for name, found, of in zip([*state, *kept], new, outputs, strict=True):
            place = "k, " if name in kept else f"{tables[name]}, " if name in tables else ""
            if of.ndim:
                lines.append(f"        for i in range({of.shape[0]}):")
                lines.append(f"            {name}[{place}i] = {found}[i]")
            else:
                lines.append(f"        {name}[()] = {found}.item()")
        lines.append(f"    return {', '.join([*state, *kept])},")
        return "\n".join(lines)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_run"}
