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
    """

    def __init__(self, function: Callable[..., Any], sequences: int, states: int) -> None:
        self.function, self._sequences, self._states = function, sequences, states

    def __call__(self, sequences: Arrays, state: Arrays, others: Arrays) -> list[Any]:
        """Return the last state, and what was kept, shape (k, d)."""
        return list(self._run(*sequences, *state, *others))

    @cached_property
    def _run(self) -> Callable[..., Sequence[Any]]:
        linker = self.function.maker.linker  # type: ignore[attr-defined]
        if isinstance(linker, NumbaLinker):
            return self._by_numba()
        return self._by_jax() if isinstance(linker, JAXLinker) else self._by_python

    def _by_python(self, *inputs: np.ndarray) -> list[np.ndarray]:
        first = self._sequences
        sequences, others = inputs[:first], inputs[first + self._states :]
        state, kept = list(inputs[first : first + self._states]), []
        for k in range(len(sequences[0])):
            found = self.function(*[entries[k : k + 1] for entries in sequences], *state, *others)
            state = found[: self._states]
            kept.append(found[self._states :])
        return [*state, *map(np.array, zip(*kept, strict=True))]

    def _by_jax(self) -> Callable[..., Sequence[Any]]:
        import jax

        update = self.function.vm.jit_fn  # type: ignore[attr-defined]
        first, last = self._sequences, self._sequences + self._states

        def repeat(*inputs: Any) -> list[Any]:
            def one(state: tuple[Any, ...], entries: tuple[Any, ...]) -> tuple[Any, Any]:
                found = update(*[entry[None] for entry in entries], *state, *inputs[last:])
                return tuple(found[: self._states]), tuple(found[self._states :])

            state, kept = jax.lax.scan(one, inputs[first:last], inputs[:first])
            return [*state, *kept]

        return jax.jit(repeat)

    def _by_numba(self) -> Callable[..., Sequence[Any]]:
        from pytensor.link.numba.cache import CACHED_SRC_FUNCTIONS, compile_numba_function_src
        from pytensor.link.numba.dispatch.basic import numba_njit

        plain = self.function.vm.jit_fn.py_func  # type: ignore[attr-defined]
        source = self._source()
        key = CACHED_SRC_FUNCTIONS.get(plain)
        if key is not None:
            key = sha256(f"{key}{source}".encode()).hexdigest()
        names = globals() | {"update": numba_njit(plain)}
        made = compile_numba_function_src(source, "repeat", names, cache_key=key)
        return numba_njit(made, final_function=True, cache=key is not None)

    def _source(self) -> str:
        """Return what Numba compiles. Arrays are copied by entries: that is compiled quickly."""
        outputs = [v.type for v in self.function.maker.fgraph.outputs]  # type: ignore[attr-defined]
        inputs = len(self.function.maker.fgraph.inputs)  # type: ignore[attr-defined]
        sequences = [f"sequence{i}" for i in range(self._sequences)]
        state = [f"state{i}" for i in range(self._states)]
        others = [f"other{i}" for i in range(inputs - len(sequences) - len(state))]
        kept = [f"kept{i}" for i in range(len(outputs) - len(state))]
        new = [f"new{i}" for i in range(len(outputs))]
        entries = [f"{name}[k : k + 1]" for name in sequences]
        lines = [
            f"def repeat({', '.join([*sequences, *state, *others])}):",
            f"    n = {sequences[0]}.shape[0]",
            *[f"    {name} = {name}.copy()" for name in state],
        ]
        for name, of in zip(kept, outputs[len(state) :], strict=True):
            lines.append(f"    {name} = np.empty((n, {of.shape[0]}), {state[0]}.dtype)")
        lines += [
            "    for k in range(n):",
            f"        {', '.join(new)}, = update({', '.join([*entries, *state, *others])})",
        ]
        for name, found, of in zip([*state, *kept], new, outputs, strict=True):
            place = "k, " if name in kept else ""
            if of.ndim:
                lines.append(f"        for i in range({of.shape[0]}):")
                lines.append(f"            {name}[{place}i] = {found}[i]")
            else:
                lines.append(f"        {name}[()] = {found}.item()")
        lines.append(f"    return {', '.join([*state, *kept])},")
        return "\n".join(lines)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_run"}
