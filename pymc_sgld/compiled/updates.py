"""An estimator and a dynamics in, one compiled function that runs k updates out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from pymc.pytensorf import compile
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors
from pytensor.link.jax.linker import JAXLinker

from pymc_sgld.backends import jax_process
from pymc_sgld.backends.backend import mode_of_updates
from pymc_sgld.backends.function_cache import cached
from pymc_sgld.batching.epochs import FixedBlocks, StoredOrder
from pymc_sgld.batching.order import Reads, RowOrder
from pymc_sgld.compiled.data import DataInputs
from pymc_sgld.compiled.repeat import Repeat
from pymc_sgld.compiled.target import Graph, GraphTarget
from pymc_sgld.dynamics.base import State, Update
from pymc_sgld.dynamics.known_noise import KnownNoise
from pymc_sgld.errors import SettingError
from pymc_sgld.gradients.base import Estimate
from pymc_sgld.minibatch.density import LogDensity
from pymc_sgld.preconditioners import Preconditioner


class _Functions(NamedTuple):
    """What is compiled of updates."""

    refresh: Callable[..., Any] | None  # before the first; None where there is nothing to do
    update: Repeat
    log_density: Callable[..., Any]  # after the last


class Plan(NamedTuple):
    """What consecutive updates take beside a state: with both the same draws come out."""

    step_sizes: np.ndarray  # shape (k,): one for every update
    noise: np.ndarray  # shape (k, n): standard normal numbers, ``n`` is `Updates.normals`
    # what the updates read, from each of ``orders``, as `Updates.reads` gives it
    reads: Sequence[Reads]
    others: list[np.ndarray]  # values of the variables that the step does not move
    # what the estimate remembers; empty where it is as it was made
    memory: Sequence[np.ndarray] = ()
    # of a kind with that of `Updates`, whose place it takes
    preconditioner: Preconditioner | None = None

    def at(self, update: int) -> Plan:
        """Return the plan of one of the updates alone."""
        one = slice(update, update + 1)
        rows = [of_order[one] for of_order in self.reads]
        return self._replace(step_sizes=self.step_sizes[one], noise=self.noise[one], reads=rows)


class Outcome(NamedTuple):
    """What updates give."""

    state: State  # after the last update. The first is the position, shape (d,)
    gradients: np.ndarray  # shape (k, d): the estimates that the updates used
    preconditioned: np.ndarray  # shape (k, d): the same, multiplied by the preconditioner
    # scalar: at the new position, as the last batches estimate it: minus infinity or NaN where the
    # density ends
    log_density: np.ndarray

    @property
    def position(self) -> np.ndarray:
        """The position after the last update, shape (d,)."""
        return self.state[0]


class Updates[Moves: Update]:
    """Updates in compiled code: a call runs as many as it is given step sizes.

    Noise and rows come in from NumPy, so that every backend gives the same draws up to rounding
    and a replay is exact. The data are inputs too: the compiled function holds none.

    ``orders``: how the rows of each table are ordered; None where every update reads them all.
    ``known``: gradient noise that is taken off the noise that is injected.
    ``static``: whether JAX runs them, always as many in a call.
    ``waits``: whether it may not run before processes fork, as nobody asked for it.
    """

    def __init__(
        self,
        density: LogDensity,
        estimate: Estimate,
        dynamics: Moves,
        preconditioner: Preconditioner,
        temperature: float,
        orders: Sequence[StoredOrder | None],
        compile_kwargs: Mapping[str, Any],
    ) -> None:
        self.dtype = np.dtype(density.position.dtype)
        self.dynamics = dynamics
        self.temperature = temperature
        self.preconditioner = preconditioner
        self.known: KnownNoise | None = None
        self._size = density.position.type.shape[0]
        self._compile_kwargs = dict(compile_kwargs)
        # JAX needs static bounds: rows are gathered, and every number of updates is compiled anew
        self._mode = mode_of_updates(compile_kwargs, estimate.gradient)
        self.static = isinstance(self._mode.linker, JAXLinker)
        self.waits = self.static and "mode" not in compile_kwargs
        log_density = pt.add(density.log_prior, pt.constant(0), *density.scaled)
        self._density = density.without_data()
        self._inside = density.inside
        renewed = estimate.blocks.renewed if estimate.blocks else ()
        outputs = [estimate.gradient, log_density, *renewed, *self._inside.values()]
        needed = set(ancestors(outputs))
        self._inputs = DataInputs(density, orders, needed, slices=not self.static)
        self.orders = self._inputs.orders
        self._graph = Graph(
            density.position,
            estimate.gradient,
            log_density,
            list(density.others.values()),
            list(estimate.arrays),
        )
        self._constants = list(estimate.arrays.values())
        self.memory, self.blocks = estimate.memory, estimate.blocks

    def __call__(self, state: State, plan: Plan) -> Outcome:
        """Run updates, from a state whose first array is the position."""
        if self.static:
            jax_process.begin()
        refresh, update, density = self._functions
        preconditioner = plan.preconditioner or self.preconditioner
        rows = [self._inputs.rows(i, of_order) for i, of_order in enumerate(plan.reads)]
        noise = self._inputs_of(plan, preconditioner)
        places = self._places(plan.reads)
        sequences = [*rows, plan.step_sizes.astype(self.dtype, copy=False), *noise, *places]
        same = self._same(plan, preconditioner)
        now = [np.asarray(array, self.dtype) for array in state]
        if len(now) < update.states:
            now += self._nothing()
        with np.errstate(all="ignore"):  # what is not finite is found in the result
            if refresh is not None:
                now = refresh(*[of_order[:1] for of_order in rows], *now, *same)
            *new, gradients, preconditioned = update(sequences, now, same)
            [found] = density(*[of_order[-1:] for of_order in rows], new[0], *same)
        new, found = [np.asarray(array) for array in new], np.asarray(found)  # JAX has its own
        return Outcome(tuple(new), np.asarray(gradients), np.asarray(preconditioned), found)

    def at(self, temperature: float) -> Updates:
        """Return the same at another temperature: what is compiled is shared."""
        new = copy(self)
        new.temperature = temperature
        return new

    def log_density(
        self, position: np.ndarray, reads: Sequence[Reads], others: list[np.ndarray]
    ) -> float:
        """Return the log density of a position, as the rows of one update estimate it."""
        nothing = np.zeros((1, self.normals), self.dtype)
        plan = Plan(nothing[:, 0], nothing, reads, others)
        rows = [self._inputs.rows(i, of_order) for i, of_order in enumerate(reads)]
        at = np.asarray(position, self.dtype)
        with np.errstate(all="ignore"):
            [found] = self._functions.log_density(*rows, at, *self._same(plan, self.preconditioner))
        return float(found)

    def _same(self, plan: Plan, preconditioner: Preconditioner) -> list[np.ndarray]:
        """Return what is the same in all updates."""
        return [
            np.asarray(self.temperature, self.dtype),
            *plan.others,
            *preconditioner.arrays,
            *(plan.memory or self._constants),
            *self._inputs.arrays(plan.reads),
        ]

    def remembered(self, extra: State, others: list[np.ndarray], together: int) -> State:
        """Return what blocks remember first: all of them are evaluated at the center.

        Parameters
        ----------
        extra : tuple of ndarray
            What a state of the dynamics has beside the position.
        together : int
            Blocks that are evaluated in a call, at most.
        """
        assert self.blocks is not None
        state: State = (self.blocks.center, *extra)
        for first in range(0, max(self.blocks.counts), together):
            reads = [order.in_turn(first, together) for order in self._fixed]
            nothing = np.zeros((together, self.normals), self.dtype)
            state = self(state, Plan(nothing[:, 0], nothing, reads, others)).state
        tables = state[-len(self.blocks.counts) :]
        return np.sum([table.sum(axis=0) for table in tables], axis=0), *tables

    @property
    def _fixed(self) -> list[FixedBlocks]:
        return [order for order in self.orders if isinstance(order, FixedBlocks)]

    def _places(self, reads: Sequence[Reads]) -> list[np.ndarray]:
        """Return which blocks updates read, where something is remembered of them."""
        if self.blocks is None:
            return []
        return [order.places(of) for order, of in zip(self._fixed, reads, strict=True)]

    def _nothing(self) -> list[np.ndarray]:
        """Return what blocks remember where nothing is known."""
        assert self.blocks is not None
        sizes = [(self._size,), *[(count, self._size) for count in self.blocks.counts]]
        return [np.zeros(size, self.dtype) for size in sizes]

    @property
    def normals(self) -> int:
        """Standard normal numbers of an update."""
        return self.dynamics.vectors * self._size + self.dynamics.scalars

    @property
    def _noise_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of what an update takes of them."""
        vectors = self.dynamics.vectors * (1 + self.dynamics.takes_duals)
        return [(self._size,)] * vectors + [()] * self.dynamics.scalars

    def start(
        self, rng: np.random.Generator, preconditioner: Preconditioner | None = None
    ) -> State:
        """Return what the state of a chain that starts has beside the position.

        ``preconditioner``: one that takes the place of that of all chains.
        """

        def normal() -> tuple[np.ndarray, ...]:
            z = rng.standard_normal((1, self._size), self.dtype)
            found = self._factored([z], preconditioner or self.preconditioner)
            return tuple(vector[0] for vector in found)

        return self.dynamics.start(normal, self.temperature)

    def _inputs_of(self, plan: Plan, preconditioner: Preconditioner) -> list[np.ndarray]:
        """Return what updates take of normal numbers: vectors of shape (k, d), then numbers."""
        size, vectors, noise = self._size, self.dynamics.vectors, plan.noise
        pieces = [noise[:, i * size : (i + 1) * size] for i in range(vectors)]
        if self.known is not None:
            pieces = [self.known.remaining(z, plan.step_sizes) for z in pieces]
        found = [*self._factored(pieces, preconditioner), *noise[:, vectors * size :].T]
        return [np.ascontiguousarray(z, self.dtype) for z in found]

    def _factored(
        self, vectors: Sequence[np.ndarray], preconditioner: Preconditioner
    ) -> list[np.ndarray]:
        """Return ``L z`` for rows of normal numbers, and their duals where they are taken."""
        found = [preconditioner.factor(z) for z in vectors]
        if self.dynamics.takes_duals:
            found += [preconditioner.dual(z) for z in vectors]
        return found

    @property
    def overstatement(self) -> float:
        """By which the variance of consecutive gradients' differences exceeds twice their own.

        One for independent batches; the batches of an epoch make up for each other, by about
        ``1 / (1 + n/N)``; zero where every update reads all rows.
        """
        return max((order.spread for order in self.orders), default=0.0)

    @property
    def longest(self) -> RowOrder | None:
        """The order with the longest epochs."""
        return max(self.orders, key=lambda o: o.total_size / o.batch_size, default=None)

    def outside(
        self, position: np.ndarray, reads: Sequence[Reads], others: list[np.ndarray]
    ) -> list[str]:
        """Return the terms whose density is zero or not finite, for the rows of one update."""
        data = [variable for variable, _ in self._inputs.items]
        function = self._density.function(list(self._inside.values()), extra=data)
        with np.errstate(all="ignore"):
            found = function(position, others, extra=self._inputs.batch(reads))
        return [name for name, inside in zip(self._inside, found, strict=True) if not inside]

    def missing(self, reads: Sequence[Reads]) -> list[str]:
        """Return the sources that have NaN in the rows of one update."""
        return self._inputs.missing(reads)

    def reads(
        self, rng: np.random.Generator, seed: int, first_update: int, updates: int
    ) -> list[Reads]:
        """Return what the updates read, for each of ``orders``."""
        return [
            order.reads(rng, seed + i, first_update, updates) for i, order in enumerate(self.orders)
        ]

    def check_process(self) -> None:
        """Refuse to run JAX in a process that was forked from one where it ran: it would hang."""
        if self.static and jax_process.is_lost():
            raise SettingError(
                "JAX does not survive a fork, and it has run in this program: pass "
                'mp_ctx="forkserver" (or "spawn", or cores=1) to pm.sample.'
            )

    @cached_property
    def _functions(self) -> _Functions:
        """Compile one update, what comes before the first, and the density after the last."""
        position, others, constants = (
            self._graph.position,
            self._graph.others,
            self._graph.constants,
        )
        dtype = position.type.dtype
        rows = [self._row_input(i) for i in range(len(self.orders))]
        step_sizes = pt.tensor("step_sizes", dtype=dtype, shape=(1,))
        noise = [
            pt.tensor(f"noise{i}", dtype=dtype, shape=(1, *shape))
            for i, shape in enumerate(self._noise_shapes)
        ]
        nothing = (np.zeros(self._size),) * (1 + self.dynamics.takes_duals)
        example = self.dynamics.start(lambda: nothing, self.temperature)
        state = [position] + [
            pt.tensor(f"state{i}", dtype=dtype, shape=np.shape(array))
            for i, array in enumerate(example)
        ]
        matrices = [
            pt.tensor(f"matrix{i}", dtype=dtype, shape=array.shape)
            for i, array in enumerate(self.preconditioner.arrays)
        ]
        stored = self._inputs.tensors()
        data = {
            variable: array if i is None else self._read(array, i, rows[i][0])
            for (variable, i), array in zip(self._inputs.items, stored, strict=True)
        }
        target = GraphTarget(self._graph, data, self.preconditioner, matrices)
        sequences, remembered = [*rows, step_sizes, *noise], []
        if self.blocks is not None:
            places = [pt.tensor(f"places{i}", dtype="int64", shape=(1,)) for i in range(len(rows))]
            data |= dict(zip(self.blocks.places, [place[0] for place in places], strict=True))
            sequences, remembered = (
                [*sequences, *places],
                [self.blocks.total, *self.blocks.stored],
            )
        temperature = pt.scalar("temperature", dtype=dtype)
        same = [temperature, *others, *matrices, *constants, *stored]

        def made(outputs: Sequence[Variable], inputs: Sequence[Variable]) -> Any:
            settings = self._compile_kwargs | {"mode": self._mode}

            def make() -> Any:
                function = compile(inputs, outputs, on_unused_input="ignore", **settings)
                function.trust_input = True
                return function

            return cached(inputs, outputs, (self._mode, repr(self._compile_kwargs)), make)

        def typed(arrays: Sequence[Variable], like: Sequence[Variable] = state) -> list[Variable]:
            return [
                pt.specify_shape(array, variable.type.shape).astype(dtype)
                for array, variable in zip(arrays, like, strict=True)
            ]

        first = self.dynamics.refresh(tuple(state), target)
        new, found = self.dynamics.update(
            tuple(state), target, tuple(z[0] for z in noise), step_sizes[0], temperature
        )
        after = [] if self.blocks is None else typed(target.renewed(self.blocks), remembered)
        update = made([*typed(new), *after, *found], [*sequences, *state, *remembered, *same])
        density = target.log_density(position)
        return _Functions(
            made(typed(first), [*rows, *state, *same]) if first != tuple(state) else None,
            Repeat(
                update, len(sequences), len(state) + len(remembered), max(0, len(remembered) - 1)
            ),
            made([density], [*rows, position, *same]),
        )

    def _row_input(self, i: int) -> Variable:
        shape = (1,) if self._inputs.slices(i) else (1, self.orders[i].batch_size)
        return pt.tensor(f"rows{i}", dtype="int64", shape=shape)

    def _read(self, array: Variable, i: int, row: Variable) -> Variable:
        if not self._inputs.slices(i):
            return array[row]
        size = self.orders[i].batch_size
        return pt.specify_shape(array[row : row + size], (size, *array.type.shape[1:]))
