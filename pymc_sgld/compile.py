"""An estimator and a dynamics in, one compiled function that runs k updates out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from pymc.pytensorf import compile
from pytensor.compile.mode import get_mode
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import ancestors
from pytensor.link.jax.linker import JAXLinker

from pymc_sgld.batching import RowOrder, block_rows
from pymc_sgld.dynamics import euler_maruyama
from pymc_sgld.errors import SettingError
from pymc_sgld.minibatch.model import LogDensity
from pymc_sgld.minibatch.rows import Data
from pymc_sgld.preconditioners import Preconditioner


class _Graph(NamedTuple):
    """What is compiled: variables only, no data."""

    position: Variable
    gradient: Variable
    log_density: Variable
    others: list[Variable]
    data: list[tuple[Variable, bool]]


class Updates:
    """Updates in compiled code: a call runs as many as it is given step sizes.

    Noise and rows come in from NumPy, so that every backend gives the same draws up to rounding
    and a replay is exact. The data are inputs too: the compiled function holds none.

    Parameters
    ----------
    density : LogDensity
        The model.
    gradient : TensorVariable, shape (d,)
        The estimate of its gradient, in the variables of ``density``.
    preconditioner : Preconditioner
        ``M``.
    temperature : float
        Scale of the variance of the noise.
    order : RowOrder or None
        How the rows of the data are ordered; None where every update reads them all.
    compile_kwargs : dict
        Passed to PyMC's ``compile``, for instance ``{"mode": "JAX"}``.
    """

    def __init__(
        self,
        density: LogDensity,
        gradient: Variable,
        preconditioner: Preconditioner,
        temperature: float,
        order: RowOrder | None,
        compile_kwargs: Mapping[str, Any],
    ) -> None:
        self.order = order
        self._dtype = np.dtype(density.position.dtype)
        self._preconditioner = preconditioner
        self._temperature = temperature
        self._compile_kwargs = dict(compile_kwargs)
        # JAX needs static bounds: rows are gathered, and every number of updates is compiled
        self.static = isinstance(get_mode(compile_kwargs.get("mode")).linker, JAXLinker)
        self._slices = (
            order is not None and order.block_size == order.batch_size and not self.static
        )
        log_density = density.log_prior + density.log_likelihood
        needed = set(ancestors([gradient, log_density]))
        data = [item for item in density.data if item.variable in needed]
        self._data = [self._store(item) for item in data]
        self._graph = _Graph(
            density.position,
            gradient,
            log_density,
            list(density.others.values()),
            [(item.variable, item.by_row) for item in data],
        )
        self._functions: dict[int | None, Any] = {}
        self._process = os.getpid()

    def __call__(
        self,
        position: np.ndarray,
        step_sizes: np.ndarray,
        noise: np.ndarray,
        starts: np.ndarray | None,
        others: list[np.ndarray],
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Run updates.

        Parameters
        ----------
        position : ndarray, shape (d,)
            Where to start.
        step_sizes : ndarray, shape (k,)
            One for every update.
        noise : ndarray, shape (k, d)
            Standard normal numbers.
        starts : ndarray, shape (k, blocks), or None
            The blocks of rows that each update reads, from ``order``.
        others : list of ndarray
            Values of the variables that the step does not move.

        Returns
        -------
        position : ndarray, shape (d,)
            After the last update.
        gradient : ndarray, shape (d,)
            The estimate that the last update used.
        log_density : ndarray, scalar
            At the new position, with the likelihood of the last batch, unscaled: minus infinity
            or NaN where the density ends.
        """
        rows = []
        if self.order is not None and starts is not None:
            rows = [starts[:, 0] if self._slices else block_rows(starts, self.order)]
        return self._function(len(step_sizes))(
            position.astype(self._dtype, copy=False),
            step_sizes.astype(self._dtype, copy=False),
            self._preconditioner.factor(noise).astype(self._dtype, copy=False),
            *rows,
            *others,
            *self._preconditioner.arrays,
            *self._data,
        )

    def check_process(self) -> None:
        """Refuse to run JAX in a process that was forked from one where it ran: it would hang."""
        if self.static and self._process != os.getpid():
            raise SettingError(
                "JAX does not survive a fork, and this SGLD was compiled with it: pass "
                'mp_ctx="forkserver" (or "spawn", or cores=1) to pm.sample.'
            )

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickle, in a process that is its own."""
        self.__dict__.update(state, _process=os.getpid())

    def _store(self, item: Data) -> np.ndarray:
        """Return the data as they are read: shuffled once if that is how blocks are made."""
        permutation = self.order.storage_order() if self.order is not None else None
        if self.order is None or permutation is None or not item.by_row:
            return np.ascontiguousarray(item.array)
        wrap = self.order.block_size - 1 if self._slices else 0
        return item.array[np.concatenate([permutation, permutation[:wrap]])]

    def _function(self, updates: int) -> Any:
        key = updates if self.static else None
        if key not in self._functions:
            self._functions[key] = self._compile(key)
        return self._functions[key]

    def _compile(self, updates: int | None) -> Any:
        """Compile that many updates, or any number of them (None)."""
        position, gradient, log_density, others, data = self._graph
        dtype = position.type.dtype
        step_sizes = pt.tensor("step_sizes", dtype=dtype, shape=(updates,))
        noise = pt.tensor("noise", dtype=dtype, shape=(updates, *position.type.shape))
        matrices = [
            pt.tensor(f"matrix{i}", dtype=dtype, shape=array.shape)
            for i, array in enumerate(self._preconditioner.arrays)
        ]
        stored = [
            pt.tensor(
                f"data{i}",
                dtype=array.dtype.name,
                shape=array.shape if not by_row else (None, *array.shape[1:]),
            )
            for i, (array, (_, by_row)) in enumerate(zip(self._data, data, strict=True))
        ]
        rows = self._row_input(updates)
        temperature = np.asarray(self._temperature, dtype)

        def evaluate(graph: Variable, current: Variable, row: list[Variable]) -> Variable:
            replacements = {position: current}
            for (variable, by_row), array in zip(data, stored, strict=True):
                replacements[variable] = self._read(array, row[0]) if by_row else array
            return clone_replace([graph], replacements, rebuild_strict=False)[0]

        def update(*arguments: Variable) -> list[Variable]:
            *row, step_size, z, current = arguments[: len(rows) + 3]
            estimate = evaluate(gradient, current, row)
            multiplied = self._preconditioner.multiply(estimate, *matrices)
            new = euler_maruyama.update(current, multiplied, z, step_size, temperature)
            return [pt.specify_shape(new, position.type.shape).astype(dtype), estimate]

        positions, gradients = pytensor.scan(
            update,
            sequences=[*rows, step_sizes, noise],
            outputs_info=[position, None],
            non_sequences=[*others, *matrices, *stored],
            n_steps=updates,
            return_updates=False,
            strict=True,
        )
        function = compile(
            [position, step_sizes, noise, *rows, *others, *matrices, *stored],
            [
                positions[-1],
                gradients[-1],
                evaluate(log_density, positions[-1], [row[-1] for row in rows]),
            ],
            on_unused_input="ignore",
            **self._compile_kwargs,
        )
        function.trust_input = True
        return function

    def _row_input(self, updates: int | None) -> list[Variable]:
        if self.order is None:
            return []
        shape = (updates,) if self._slices else (updates, self.order.batch_size)
        return [pt.tensor("rows", dtype="int64", shape=shape)]

    def _read(self, array: Variable, row: Variable) -> Variable:
        if not self._slices or self.order is None:
            return array[row]
        size = self.order.batch_size
        return pt.specify_shape(array[row : row + size], (size, *array.type.shape[1:]))
