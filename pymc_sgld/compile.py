"""An estimator and a dynamics in, one compiled function that runs k updates out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pymc.pytensorf import compile
from pytensor.compile.mode import get_mode
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace
from pytensor.link.jax.linker import JAXLinker

from pymc_sgld.batching import RowOrder, block_rows
from pymc_sgld.dynamics import euler_maruyama
from pymc_sgld.minibatch.model import LogDensity
from pymc_sgld.preconditioners import Preconditioner


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
        mode = get_mode(compile_kwargs.get("mode"))
        self._slices = (
            order is not None
            and order.block_size == order.batch_size
            and not isinstance(mode.linker, JAXLinker)  # its slices need static bounds
        )
        self._data = self._store([(item.array, item.by_row) for item in density.data])
        self._function = self._compile(density, gradient, temperature, compile_kwargs)

    def __call__(
        self,
        position: np.ndarray,
        step_sizes: np.ndarray,
        noise: np.ndarray,
        starts: np.ndarray | None,
        others: list[np.ndarray],
    ) -> tuple[np.ndarray, np.ndarray]:
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
        """
        rows = []
        if self.order is not None:
            rows = [starts[:, 0] if self._slices else block_rows(starts, self.order)]
        return self._function(
            position.astype(self._dtype, copy=False),
            step_sizes.astype(self._dtype, copy=False),
            self._preconditioner.factor(noise).astype(self._dtype, copy=False),
            *rows,
            *others,
            *self._preconditioner.arrays,
            *self._data,
        )

    def _store(self, arrays: list[tuple[np.ndarray, bool]]) -> list[np.ndarray]:
        """Return the data as they are read: shuffled once if that is how blocks are made."""
        permutation = self.order.storage_order() if self.order is not None else None
        stored = []
        for array, by_row in arrays:
            if by_row and permutation is not None:
                wrap = self.order.block_size - 1 if self._slices else 0
                array = array[np.concatenate([permutation, permutation[:wrap]])]
            stored.append(np.ascontiguousarray(array))
        return stored

    def _compile(
        self,
        density: LogDensity,
        gradient: Variable,
        temperature: float,
        compile_kwargs: Mapping[str, Any],
    ) -> Any:
        dtype = density.position.dtype
        step_sizes = pt.tensor("step_sizes", dtype=dtype, shape=(None,))
        noise = pt.tensor("noise", dtype=dtype, shape=(None, *density.position.type.shape))
        others = list(density.others.values())
        matrices = [pt.as_tensor(a).type(f"M{i}") for i, a in enumerate(self._preconditioner.arrays)]
        stored = [
            pt.tensor(
                f"data{i}",
                dtype=item.variable.type.dtype,
                shape=(None, *item.array.shape[1:]) if item.by_row else item.array.shape,
            )
            for i, item in enumerate(density.data)
        ]
        rows = self._row_input()

        def update(*arguments: Variable) -> list[Variable]:
            *row, step_size, z, position = arguments[: len(rows) + 3]
            replacements = {density.position: position}
            for item, array in zip(density.data, stored, strict=True):
                replacements[item.variable] = self._read(array, row[0]) if item.by_row else array
            estimate = clone_replace(gradient, replacements, rebuild_strict=False)
            multiplied = self._preconditioner.multiply(estimate, *matrices)
            new = euler_maruyama.update(
                position, multiplied, z, step_size, np.asarray(temperature, dtype)
            )
            return [pt.specify_shape(new, density.position.type.shape).astype(dtype), estimate]

        positions, gradients = pytensor.scan(
            update,
            sequences=[*rows, step_sizes, noise],
            outputs_info=[density.position, None],
            non_sequences=[*others, *matrices, *stored],
            return_updates=False,
            strict=True,
        )
        function = compile(
            [density.position, step_sizes, noise, *rows, *others, *matrices, *stored],
            [positions[-1], gradients[-1]],
            on_unused_input="ignore",
            **compile_kwargs,
        )
        function.trust_input = True
        return function

    def _row_input(self) -> list[Variable]:
        if self.order is None:
            return []
        shape = (None,) if self._slices else (None, self.order.batch_size)
        return [pt.tensor("rows", dtype="int64", shape=shape)]

    def _read(self, array: Variable, row: Variable) -> Variable:
        if not self._slices:
            return array[row]
        size = self.order.batch_size
        return pt.specify_shape(array[row : row + size], (size, *array.type.shape[1:]))
