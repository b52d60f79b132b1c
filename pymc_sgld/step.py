"""SGLD as a PyMC step method: the only file that knows PyMC's step-method contract."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from pymc.blocking import PointType, StatsType
from pymc.model import Model, modelcontext
from pymc.stats.convergence import SamplerWarning, WarningType
from pymc.step_methods.arraystep import BlockedStep
from pymc.step_methods.compound import Competence, StepMethodState
from pymc.step_methods.state import dataclass_state
from pymc.util import RandomGenerator, get_random_generator
from pytensor.graph.basic import Variable
from rich.progress import TextColumn
from rich.table import Column

from pymc_sgld.arguments import (
    choice,
    complete_point,
    flag,
    names,
    number,
    placed,
    positive,
    value_variables,
    whole_number,
)
from pymc_sgld.batching import ORDERS, independent, make_order
from pymc_sgld.compile import Updates
from pymc_sgld.dynamics import leimkuhler_matthews
from pymc_sgld.errors import NonFiniteError, SettingError
from pymc_sgld.failures import explain, is_finite, quoted
from pymc_sgld.gradients import ESTIMATORS
from pymc_sgld.minibatch.declared import check_all_sampled
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.monitor.contrast import TUNING_SHARE, Contrast, shadowed
from pymc_sgld.monitor.noise import NoiseMonitor, Reading
from pymc_sgld.monitor.verdict import Judge
from pymc_sgld.parameters import ParameterValues
from pymc_sgld.schedules import Schedule, check_horizon, cycle_of, evaluate, make_schedule
from pymc_sgld.sources.bind import bind
from pymc_sgld.threads import one_thread
from pymc_sgld.tuning.choices import Asked, Search, choose, choose_integrator, refine

DEFAULT_STEPS_PER_DRAW = 10
MOST_STEPS_PER_DRAW = 1000
TUNE = 200  # draws before those that count, where everything was chosen
OVERDISPERSION = 1.5  # of starting points, in posterior standard deviations
ATTEMPTS = 12  # to start, or to go on while tuning, each with half the step size


@dataclass_state
class SGLDState(StepMethodState):
    """What the next draw needs: with it restored, the same draw comes out."""

    draw: int
    updates: int
    row_seed: int
    previous_noise: np.ndarray
    refinement: float
    last_step_size: float
    noise_monitor: NoiseMonitor
    reading: Reading
    contrast: Contrast
    batch_size: int = field(metadata={"frozen": True})
    total_size: int = field(metadata={"frozen": True})
    steps_per_draw: int = field(metadata={"frozen": True})
    batching: str = field(metadata={"frozen": True})
    temperature: float = field(metadata={"frozen": True})
    gradient: str = field(metadata={"frozen": True})
    preconditioner: str = field(metadata={"frozen": True})
    integrator: str = field(metadata={"frozen": True})


class SGLD(BlockedStep):
    r"""Stochastic gradient Langevin dynamics.

    The model is not changed: the log-likelihood of its observed variables is evaluated on batches
    of rows. Each draw runs ``steps_per_draw`` updates

    .. math::

        \theta \leftarrow \theta + \tfrac{\varepsilon}{2} M \hat g(\theta) + \eta, \qquad
        \eta \sim N(0, T \varepsilon M),

    in compiled code, in PyMC's unconstrained space, where :math:`\hat g` estimates the gradient of
    the full-data log posterior from ``batch_size`` of the rows.

    Without arguments, what these formulas leave open is chosen when the instance is made: the
    centre of the posterior and its covariance, a control variate at the centre, the covariance as
    :math:`M`, the step size for a tolerated bias, and as many updates of a draw as make draws
    nearly independent. This takes some passes over the data.

    There is no accept step: the draws follow the posterior up to a bias that grows with
    :math:`\varepsilon` and with the variance of :math:`\hat g`, and R-hat and ESS cannot see it. A
    chain measures it, by its gradients and by what half the step size changes. One that is beyond
    the tolerance says so at its end, with the parameter and the remedy, and sets the stat
    ``untrusted``. Compare with a NUTS run where you can (:func:`~pymc_sgld.compare`).

    Parameters
    ----------
    vars : variable or sequence of variables, optional
        Random variables to sample. By default all continuous free variables of the model.
    batch_size : int, optional
        Rows of a batch. The number of all rows gives full-gradient Langevin dynamics, as does a
        model without observed variables. By default 128, or up to 1024 (or 2 d) where gradient
        noise is what keeps a chosen step size small. Observed variables of one length share
        their rows; those of another length have batches of their own, and where there are no more
        rows than in a batch, all of them are read. See :func:`pymc_sgld.minibatch.report`.
    step_size : float or callable, optional
        :math:`\varepsilon` (drift :math:`\varepsilon / 2`, noise variance :math:`T\varepsilon M`),
        in squared units of the unconstrained coordinates, or without unit where :math:`M` is a
        covariance matrix. A callable is a schedule: it is called with the count of updates since
        the start of the chain, tuning included, an integer array of shape (k,), and returns step
        sizes of shape (k,), as a pure function. See :mod:`pymc_sgld.schedules`. By default chosen
        for ``bias_target``, and made smaller while tuning if need be.
    gradient : {"control_variate", "taylor", "minibatch"}
        The estimate :math:`\hat g`. ``"minibatch"`` is the prior gradient plus N/n times the
        batch's. The others subtract an expansion of it around the centre, of order zero
        (``"control_variate"``) or one (``"taylor"``), and add that of all rows: the same mean, and
        far less variance near the centre. Where they have more, the first takes their place.
    preconditioner : "laplace", "laplace_diagonal", "identity" or array, shape (d,) or (d, d)
        :math:`M`, or its diagonal. ``"laplace"`` is the covariance of a Gaussian approximation of
        the posterior, with more than 500 coordinates a diagonal that is stretched along the
        directions it misses; ``"laplace_diagonal"`` the variances of each coordinate given the
        others.
        The d coordinates are the variables in the order of ``vars``, each raveled;
        :attr:`coordinate_names` lists them.
    temperature : float
        :math:`T`. 1 samples the posterior, 0 is stochastic gradient ascent.
    steps_per_draw : int, optional
        Updates of a draw; the last one is recorded. By default as many as the slowest direction
        needs to forget all but a fifth of where it was (at most 1000), or 10 with a step size of
        your own.
    batching : {"reshuffle", "with_replacement", "without_replacement"}
        How batches are drawn: epochs in a new random order each, independent rows, or independent
        random subsets.
    integrator : {"leimkuhler_matthews", "euler_maruyama"}, optional
        Average consecutive noises, which makes the update one of second order, or do not, as in
        the textbook. By default the former, but for a schedule or ``gradient="minibatch"``.
    bias_target : float
        Tolerated relative inflation of the posterior variance in the worst direction: what a
        ``step_size`` is chosen for, and half of what a chain may measure without saying so.
    center : dict, optional
        Values of value variables, by name, around which the control variate expands and where the
        covariance is taken; by default the mean of a Gaussian approximation of the posterior.
    potentials : dict, optional
        For each ``pm.Potential`` of the model, by name, ``"prior"``: it is added once, whole, at
        every update, or ``"rows"``: its entries belong to the rows of the data, and those of the
        batch count N/n times.
    full : str or collection of str
        Names of observed variables that every update evaluates in full, on all of their data.
    audit : bool, optional
        Whether to compare the batches of one epoch with the full log-likelihood and gradient, row
        by row, before sampling. By default where that takes about a second at most. That the
        density is finite in every row is always checked.
    data : dict, optional
        Sources of rows that do not fit into memory, by the names of the ``pm.Data`` or observed
        variables whose place they take: anything with a shape, a dtype and rows by slices, such as
        a memory map, a zarr array or an HDF5 dataset, or a :class:`pymc_sgld.sources.Source`. The
        model is built with a few rows as a template. Only for ``batching="reshuffle"``, which
        shuffles the rows of random blocks together. See the page on large data.
    model : Model, optional
        By default the model of the context.
    rng : int, Generator or None
        Seed of a step that is used without ``pm.sample``, which sets one for every chain.
    blocked : bool
        Whether one instance samples all ``vars``; else one each.
    initial_point : dict, optional
        Values of value variables, by name, where the log density is finite; by default, and for
        those not named, the initial point of the model. It is where the model is checked before
        sampling, not where chains start: that is ``initvals`` of ``pm.sample``.
    compile_kwargs : dict, optional
        Passed to PyMC's ``compile``, for instance ``{"mode": "JAX"}``. JAX does not survive a
        fork: with several cores, pass ``mp_ctx="forkserver"`` to ``pm.sample``.

    Raises
    ------
    SettingError
        For an argument that cannot be used.
    SGLDWarning
        Where the search for the centre did not settle, or a control variate is not used.
    MinibatchError
        For a model that cannot be minibatched, with the reason and the way out.
    DataError
        If the density is zero or NaN at the initial point, with the variable and the row.
    NonFiniteError
        When the gradient or the position stops being finite, here or while sampling.

    References
    ----------
    Welling and Teh (2011), Bayesian learning via stochastic gradient Langevin dynamics, equation 4.
    Baker, Fearnhead, Fox and Nemeth (2019), Control variates for stochastic gradient MCMC.
    Leimkuhler and Matthews (2013), Rational construction of stochastic numerical methods for
    molecular sampling.
    Giles, Nagapetyan, Szpruch, Vollmer and Zygalakis (2020), Multilevel Monte Carlo for scalable
    Bayesian computations.

    Examples
    --------
    >>> import numpy as np
    >>> import pymc as pm
    >>> from pymc_sgld import SGLD
    >>> with pm.Model():
    ...     mean = pm.Normal("mean", 0, 10)
    ...     x = pm.Normal("x", mean, 1, observed=np.random.default_rng(1).normal(3, 1, 1000))
    ...     step = SGLD(batch_size=50, compile_kwargs={"mode": "FAST_COMPILE"})
    >>> step
    SGLD(vars=[mean], batch_size=50 of 1000 rows, step_size=constant(step_size=0.3),
         gradient='control_variate', preconditioner='laplace', temperature=1.0, steps_per_draw=10,
         batching='reshuffle', integrator='leimkuhler_matthews')
    """

    name = "sgld"
    default_blocked = True
    stats_dtypes_shapes: ClassVar[dict[str, Any]] = {
        "step_size": (np.float64, []),
        "gradient_norm": (np.float64, []),
        "rows_seen": (np.int64, []),
        "updates": (np.int64, []),
        "cycle": (np.int64, []),
        "cycle_position": (np.float64, []),
        "variance_inflation": (np.float64, []),
        "sampling_threshold": (np.float64, []),
        "untrusted": (np.int64, []),
        "batch_size": (np.int64, []),
        "total_size": (np.int64, []),
        "steps_per_draw": (np.int64, []),
        "temperature": (np.float64, []),
        "bias_target": (np.float64, []),
        "gradient": (np.dtype("<U32"), []),
        "preconditioner": (np.dtype("<U32"), []),
        "batching": (np.dtype("<U32"), []),
        "integrator": (np.dtype("<U32"), []),
        "warning": (SamplerWarning, None),
    }
    _state_class = SGLDState

    def __new__(cls, vars: Any = None, **kwargs: Any) -> Any:
        """Check the variables, and make a step for each of them where ``blocked=False``."""
        model = modelcontext(kwargs.get("model"))
        vars = value_variables(vars, model)
        check_all_sampled(vars, model)
        return super().__new__(cls, vars, **kwargs)

    def __init__(
        self,
        vars: Variable | Sequence[Variable] | None = None,
        *,
        batch_size: int | None = None,
        step_size: float | Schedule | None = None,
        gradient: str = "control_variate",
        preconditioner: str | ArrayLike = "laplace",
        temperature: float = 1.0,
        steps_per_draw: int | None = None,
        batching: str = "reshuffle",
        integrator: str | None = None,
        bias_target: float = 0.05,
        center: PointType | None = None,
        potentials: Mapping[str, str] | None = None,
        full: str | Collection[str] = (),
        audit: bool | None = None,
        data: Mapping[str, Any] | None = None,
        model: Model | None = None,
        rng: RandomGenerator = None,
        blocked: bool = True,
        initial_point: PointType | None = None,
        compile_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        model = modelcontext(model)
        self.vars = value_variables(vars, model)
        self.blocked = blocked
        self.rng = get_random_generator(rng)
        self.temperature = number("temperature", temperature, 0)
        self.gradient = choice("gradient", gradient, ESTIMATORS)
        self.batching = choice("batching", batching, ORDERS)
        if compile_kwargs is not None and not isinstance(compile_kwargs, Mapping):
            raise SettingError(
                f"compile_kwargs={compile_kwargs!r} must be a dictionary, such as "
                '{"mode": "JAX"}.'
            )
        if step_size is None and not self.temperature:
            raise SettingError(
                "step_size=None is chosen for samples of the posterior. With temperature=0 pass a "
                "step size, such as 0.5 or a decreasing schedule."
            )
        schedule = None if step_size is None else make_schedule(step_size)
        self.integrator = choose_integrator(integrator, schedule, self.gradient)
        self.bias_target = target = positive("bias_target", bias_target)
        self.steps_per_draw = DEFAULT_STEPS_PER_DRAW
        if steps_per_draw is not None:  # checked before the work begins
            self.steps_per_draw = whole_number("steps_per_draw", steps_per_draw)
        size = None if batch_size is None else whole_number("batch_size", batch_size)

        sources = bind(data)
        if sources and self.batching != "reshuffle":
            raise SettingError(
                f'batching="{self.batching}" picks single rows, and data= is read in blocks of '
                'them: use batching="reshuffle", or put the data into the model.'
            )
        point = complete_point(initial_point, model)
        rows = Minibatcher(
            model, self.vars, point, placed(potentials), names("full", full), sources
        )
        density = rows.density(size, flag("audit", audit))
        rows.check_sources()
        self.coordinates = density.coordinates
        self._others = {name: v.type.dtype for name, v in density.others.items()}
        self._sources = density.sources
        self._dtype = np.dtype(density.position.type.dtype)
        self._chosen = schedule is None
        averaged = self.integrator == "leimkuhler_matthews"
        asked = Asked(self.gradient, preconditioner, batching, averaged, target)
        position, others = self._inputs(point)
        place = None
        if center is not None:
            place, others = self._inputs(complete_point(center, model, "center"))
        search = Search(position, others, place, self.coordinate_names)
        with one_thread():
            settings = choose(rows, density, asked, search, schedule is None, size is None)
        density, self.gradient = settings.density, settings.gradient
        self._prediction = settings.prediction
        matrix, self._gaussian = settings.preconditioner, settings.gaussian
        self.preconditioner = matrix.name
        if schedule is None:
            schedule = make_schedule(settings.step_size)
            self.default_tune_steps = TUNE
            if steps_per_draw is None:
                self.steps_per_draw = min(settings.updates_apart, MOST_STEPS_PER_DRAW)
        self.schedule = schedule
        self.tables = {tuple(t.likelihoods): (t.batch_size, t.total_size) for t in density.tables}
        self.batch_size = sum(t.batch_size for t in density.tables)
        self.total_size = sum(t.total_size for t in density.tables)
        self._values = ParameterValues(model, self.vars, point)
        self._run = Updates(
            density,
            settings.estimate,
            matrix,
            self.temperature,
            [
                None if t.full else make_order(batching, t.total_size, t.batch_size)
                for t in density.tables
            ],
            {} if compile_kwargs is None else compile_kwargs,
        )
        self._variances = np.diag(matrix.arrays[0]) if matrix.name == "laplace" else None
        self._default_start = self._inputs(model.initial_point())[0]
        self._start_chain(0, 0)
        self._check_start(point)

    @property
    def coordinate_names(self) -> list[str]:
        """Names of the d entries of the position, in the order of ``preconditioner``."""
        return [c.label(c.start + i) for c in self.coordinates for i in range(c.size)]

    def setup_chain(self, rng: RandomGenerator, tune: int, draws: int) -> None:
        """Start a new chain: its own random numbers, no updates yet."""
        self._check_sources()
        self._run.check_process()
        check_horizon(self.schedule, (tune + draws) * self.steps_per_draw)
        super().setup_chain(rng, tune, draws)
        self._start_chain(tune, draws)

    def _start_chain(self, tune: int, draws: int) -> None:
        self.draw = self.updates = 0
        self._tune, self._draws = tune, draws
        self.row_seed = int(self.rng.integers(2**62))
        self.refinement, self.last_step_size = 1.0, np.nan
        size, averaged = len(self._default_start), self.integrator == "leimkuhler_matthews"
        self.previous_noise = np.zeros(0)
        if averaged:
            self.previous_noise = self.rng.standard_normal(size, dtype=self._dtype)
        matched = self._variances is not None
        share = self._run.overstatement
        self.noise_monitor = NoiseMonitor(averaged, self.temperature, share, matched)
        self.reading = Reading.none(size)
        self.contrast = self._new_contrast(shadowed(tune, TUNING_SHARE) if self._chosen else 0)

    def _new_contrast(self, length: int) -> Contrast:
        second_order = self.integrator == "leimkuhler_matthews" and not self._run.orders
        return Contrast(len(self._values.names), length, 2 if second_order else 1)

    def step(self, point: PointType) -> tuple[PointType, StatsType]:
        """Run the updates of one draw."""
        self._check_sources()
        start, others = self._inputs(point)
        self._tune_step_size()
        for attempt in range(ATTEMPTS):
            position = start if self.draw else self._disperse(start, 0.5**attempt)
            with one_thread():
                new, reading, gradient = self._run_draw(position, others, point)
            if reading is not None:
                break
            self.refinement /= 2
        else:
            raise NonFiniteError(
                "SGLD: found no step size at which the gradient stays finite. Pass initvals to "
                "pm.sample, or center= at a point where the density is finite all around."
            )
        self.reading.include(reading)
        self.draw += 1
        return self._point(new, point), [self._stats(gradient, reading)]

    def _point(self, position: np.ndarray, point: PointType) -> PointType:
        """Return a point of the model with the variables of the step at a position."""
        new_point = dict(point)
        for c in self.coordinates:
            piece = position[c.start : c.start + c.size].reshape(c.shape)
            new_point[c.value_name] = np.asarray(piece, dtype=c.dtype)
        return new_point

    def _disperse(self, position: np.ndarray, scale: float) -> np.ndarray:
        """Return where a chain starts: coordinates without a value of the user's own are drawn."""
        if self._gaussian is None:
            return position
        z = self.rng.standard_normal(len(position))
        drawn = self._gaussian.mean + scale * OVERDISPERSION * self._gaussian.shape.away(z)
        return np.where(position == self._default_start, drawn, position).astype(self._dtype)

    def _tune_step_size(self) -> None:
        """Forget the readings of the way to the posterior; then take smaller steps if need be."""
        if self.draw == self._tune // 2:
            self.reading = Reading.none(len(self._default_start))
        if self.draw == self._tune:
            if self._chosen and self.reading.draws:
                judge, bias = self._judge, self.contrast.bias()
                self.refinement *= refine(judge, self.reading, bias, self.last_step_size)
            self.reading = Reading.none(len(self._default_start))
            self.contrast = self._new_contrast(shadowed(self._draws) if self.temperature else 0)

    @property
    def _judge(self) -> Judge:
        averaged = self.integrator == "leimkuhler_matthews"
        accumulated = self._run.longest.accumulated if self._run.longest else independent
        return Judge(
            self.coordinate_names,
            self._values.names,
            self.bias_target,
            averaged,
            self._variances,
            self._chosen,
            accumulated,
            self._prediction,
        )

    @property
    def _updates_of_draw(self) -> int:
        """As many more as the steps are smaller than they were meant to be."""
        if self.refinement == 1 or self._run.static:
            return self.steps_per_draw
        return min(round(self.steps_per_draw / self.refinement), MOST_STEPS_PER_DRAW)

    def _run_draw(
        self, position: np.ndarray, others: list[np.ndarray], point: PointType
    ) -> tuple[np.ndarray, Reading | None, np.ndarray]:
        """Run the updates of a draw, and those of its shadow; no reading if it failed."""
        count = np.arange(self.updates, self.updates + self._updates_of_draw)
        step_sizes = evaluate(self.schedule, count) * self.refinement
        left = self._tune + (self._draws if self.draw >= self._tune else 0) - self.draw
        pair = 0 < left <= self.contrast.length and not self.contrast.failed
        fine = self.rng.standard_normal(((1 + pair) * len(count), len(position)), dtype=self._dtype)
        fresh = (fine[::2] + fine[1::2]) / np.sqrt(2, dtype=self._dtype) if pair else fine
        noise = fresh
        if self.previous_noise.size:
            noise = leimkuhler_matthews.average(fresh, self.previous_noise)
        if len(count) == 1:  # an update that moves nothing: the noise of gradients needs two
            step_sizes = np.append(step_sizes, 0)
            noise = np.concatenate([noise, np.zeros_like(noise)])
        starts = self._run.starts(self.rng, self.row_seed, self.updates, len(step_sizes))
        new, gradients, products, density = self._run(position, step_sizes, noise, starts, others)
        gradient = gradients[len(count) - 1]
        tunes = self._chosen and self.draw < self._tune
        fine_so_far = is_finite(new, gradients, density)
        if tunes and not (fine_so_far and _is_stable(step_sizes[0], gradients, products)):
            return new, None, gradient
        if not fine_so_far:
            run, coordinates, first = self._run, self.coordinates, self.updates
            raise explain(run, coordinates, first, position, step_sizes, noise, starts, others)
        if pair:
            shadow = self._run_shadow(position, step_sizes[: len(count)], fine, others)
            places = (self._point(place, point) for place in (new, shadow))
            self.contrast.compare(*map(self._values, places))
        self.updates += len(count)
        self.last_step_size = float(step_sizes[len(count) - 1])
        if self.previous_noise.size:
            self.previous_noise = fresh[-1]
        return new, self.noise_monitor.read(step_sizes, gradients, products), gradient

    def _run_shadow(
        self,
        position: np.ndarray,
        step_sizes: np.ndarray,
        fine: np.ndarray,
        others: list[np.ndarray],
    ) -> np.ndarray:
        """Run what the draw did with half the step size, on the same Brownian path."""
        contrast = self.contrast
        if not contrast.position.size:
            contrast.position, contrast.previous_noise = position, self.previous_noise
        noise = fine
        if self.previous_noise.size:
            noise = leimkuhler_matthews.average(fine, contrast.previous_noise)
            contrast.previous_noise = fine[-1]
        halves = np.repeat(step_sizes / 2, 2)
        shadow = contrast.position
        for part in (slice(None, len(step_sizes)), slice(len(step_sizes), None)):
            starts = self._run.starts(
                self.rng, self.row_seed ^ 1 << 61, contrast.updates, len(step_sizes)
            )
            shadow, gradients, _, density = self._run(
                shadow, halves[part], noise[part], starts, others
            )
            contrast.updates += len(step_sizes)
            contrast.failed |= not is_finite(shadow, gradients, density)
        contrast.position = shadow
        return shadow

    def _inputs(self, point: PointType) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the position of a point, and the values of the variables of other steps."""
        position = np.concatenate([np.ravel(point[c.value_name]) for c in self.coordinates])
        others = [np.asarray(point[name], dtype=dtype) for name, dtype in self._others.items()]
        return position, others

    def _stats(self, gradient: np.ndarray, reading: Reading) -> dict[str, Any]:
        messages = []
        if self.draw == self._tune + self._draws and self.temperature:
            messages = self._judge.messages(
                self.reading, self.contrast.bias(), self.last_step_size, self.contrast.failed
            )
        warning = SamplerWarning(WarningType.BAD_PARAMS, "\n".join(messages), "warn")
        cycle, cycle_position = cycle_of(self.schedule, self.updates - 1)
        return {
            "step_size": self.last_step_size,
            "gradient_norm": float(np.linalg.norm(gradient)),
            "variance_inflation": reading.inflation,
            "sampling_threshold": reading.threshold,
            "untrusted": int(bool(messages)),
            "rows_seen": self.updates * self.batch_size,
            "updates": self.updates,
            "cycle": cycle,
            "cycle_position": cycle_position,
            "batch_size": self.batch_size,
            "total_size": self.total_size,
            "steps_per_draw": self._updates_of_draw,
            "temperature": self.temperature,
            "bias_target": self.bias_target,
            "gradient": self.gradient,
            "preconditioner": self.preconditioner,
            "batching": self.batching,
            "integrator": self.integrator,
            "warning": warning if messages else None,
        }

    def _check_start(self, point: PointType) -> None:
        """Compile, by a call that moves nothing, where all chains profit from it."""
        position, others = self._inputs(point)
        updates = self.steps_per_draw if self._run.static else 1
        starts = self._run.starts(np.random.default_rng(0), 0, 0, updates)
        nothing = np.zeros((updates, len(position)), dtype=self._dtype)
        _, gradient, _, _ = self._run(position, nothing[:, 0], nothing, starts, others)
        if not is_finite(gradient):
            names = quoted(self.coordinates, ~np.isfinite(gradient[-1]))
            raise NonFiniteError(
                f"SGLD: the gradient of {names} is not finite at the initial point: see "
                "model.debug(), or pass another initial_point."
            )

    def _check_sources(self) -> None:
        """Refuse to sample with data that are no longer those of the model."""
        for shared, value in self._sources.items():
            if shared.get_value(borrow=True) is not value:
                raise SettingError(
                    f'the data "{shared.name}" changed since this SGLD was made, which holds them '
                    "as they were: make a new SGLD after pm.set_data."
                )

    def __repr__(self) -> str:
        """Return the settings as they were resolved."""
        names = ", ".join(c.name for c in self.coordinates)
        rows = " + ".join(f"{n} of {total} rows" for n, total in self.tables.values()) or "no rows"
        return (
            f"{type(self).__name__}(vars=[{names}], batch_size={rows}, "
            f"step_size={self.schedule!r},\n     gradient={self.gradient!r}, "
            f"preconditioner={self.preconditioner!r}, temperature={self.temperature}, "
            f"steps_per_draw={self.steps_per_draw},\n     batching={self.batching!r}, "
            f"integrator={self.integrator!r})"
        )

    def __reduce__(self) -> Any:
        """Pickle the instance as it is, not the arguments (and the model) that made it."""
        self._check_sources()
        state = {k: v for k, v in self.__dict__.items() if k != "_BlockedStep__newargs"}
        return object.__new__, (type(self),), state | {"_sources": {}}

    @staticmethod
    def competence(var: Variable, has_grad: bool) -> Competence:
        """Never assigned automatically: SGLD is a choice."""
        return Competence.INCOMPATIBLE

    def _progressbar_config(self, n_chains: int = 1) -> tuple[list, dict]:
        def column(field: str, form: str, header: str) -> TextColumn:
            place = Column(header, ratio=1, no_wrap=True, min_width=6)
            return TextColumn(f"{{task.fields[{field}]:{form}}}", table_column=place)

        columns = [
            column("sgld_step_size", ".3g", "ε"),
            column("sgld_epochs", ".1f", "Epochs"),
        ]
        return columns, {name: [0.0] * n_chains for name in ("sgld_step_size", "sgld_epochs")}

    def _make_progressbar_update_functions(self) -> tuple[Any, ...]:
        def update_stats(stats: dict[str, Any]) -> dict[str, Any]:
            return {
                "sgld_step_size": stats["step_size"],
                "sgld_epochs": stats["rows_seen"] / max(1, stats["total_size"]),
            }

        return (update_stats,)


def _is_stable(step_size: float, gradients: np.ndarray, products: np.ndarray) -> bool:
    """Whether the gradients did not explode in the updates of a draw.

    Steps that are too large for the curvature swing out further every time, finite for a while. In
    units of the inflation of the variance, what they then reach is absurd.
    """
    with np.errstate(over="ignore"):
        first, last = np.einsum("kd,kd->k", gradients[[0, -1]], products[[0, -1]])
        unit = step_size / 4 / gradients.shape[1]
        return bool(unit * last < 1e3 * max(unit * first, 1.0))


# ``__new__`` would hide the arguments from ``help`` and from editors
SGLD.__signature__ = inspect.signature(SGLD.__init__).replace(
    parameters=list(inspect.signature(SGLD.__init__).parameters.values())[1:],
    return_annotation=inspect.Signature.empty,
)
