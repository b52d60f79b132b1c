"""SGLD as a PyMC step method: the only file that knows PyMC's step-method contract."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from pymc.blocking import PointType, StatsType
from pymc.model import Model, modelcontext
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
from pymc_sgld.batching import ORDERS, make_order
from pymc_sgld.compile import Updates
from pymc_sgld.dynamics import leimkuhler_matthews
from pymc_sgld.errors import NonFiniteError, SettingError, SGLDWarning
from pymc_sgld.full_data import BLOCK, FullData
from pymc_sgld.gradients import ESTIMATORS
from pymc_sgld.minibatch.declared import check_all_sampled
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.preconditioners import LAPLACE, Preconditioner, laplace, make_preconditioner
from pymc_sgld.schedules import Schedule, check_horizon, constant, evaluate, make_schedule
from pymc_sgld.tuning.centre import Gaussian, find_gaussian, gaussian_at
from pymc_sgld.tuning.step_size import Prediction, noise_covariance

DEFAULT_STEPS_PER_DRAW = 10
MOST_STEPS_PER_DRAW = 1000
LARGEST_SIZE = 3000  # coordinates whose covariance is computed: 72 MB a matrix
OVERDISPERSION = 1.5  # of starting points, in posterior standard deviations
INTEGRATORS = ("euler_maruyama", "leimkuhler_matthews")


@dataclass_state
class SGLDState(StepMethodState):
    """What the next draw needs: with it restored, the same draw comes out."""

    updates: int
    row_seed: int
    previous_noise: np.ndarray
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
    :math:`\varepsilon` and with the variance of :math:`\hat g`, and R-hat and ESS cannot see it.
    Compare with a NUTS run (:func:`~pymc_sgld.compare`).

    Parameters
    ----------
    vars : variable or sequence of variables, optional
        Random variables to sample. By default all continuous free variables of the model.
    batch_size : int, optional
        Rows of a batch. The number of all rows gives full-gradient Langevin dynamics, as does a
        model without observed variables. By default 128. Observed variables of one length share
        their rows; those of another length have batches of their own, and where there are no more
        rows than in a batch, all of them are read. See :func:`pymc_sgld.minibatch.report`.
    step_size : float or callable, optional
        :math:`\varepsilon` (drift :math:`\varepsilon / 2`, noise variance :math:`T\varepsilon M`),
        in squared units of the unconstrained coordinates, or without unit where :math:`M` is a
        covariance matrix. A callable is a schedule: it is called with the count of updates since
        the start of the chain, tuning included, an integer array of shape (k,), and returns step
        sizes of shape (k,), as a pure function. See :mod:`pymc_sgld.schedules`. By default chosen
        for ``bias_target``.
    gradient : {"control_variate", "taylor", "minibatch"}
        The estimate :math:`\hat g`. ``"minibatch"`` is the prior gradient plus N/n times the
        batch's. The others subtract an expansion of it around the centre, of order zero
        (``"control_variate"``) or one (``"taylor"``), and add that of all rows: the same mean, and
        far less variance near the centre.
    preconditioner : "laplace", "laplace_diagonal", "identity" or array, shape (d,) or (d, d)
        :math:`M`, or its diagonal. ``"laplace"`` is the covariance of a Gaussian approximation of
        the posterior, ``"laplace_diagonal"`` the variances of each coordinate given the others.
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
        Tolerated relative inflation of the posterior variance in the worst direction, for a
        ``step_size`` that is chosen.
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
        Where the search for the centre did not settle.
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
        "batch_size": (np.int64, []),
        "total_size": (np.int64, []),
        "steps_per_draw": (np.int64, []),
        "temperature": (np.float64, []),
        "gradient": (np.dtype("<U32"), []),
        "preconditioner": (np.dtype("<U32"), []),
        "batching": (np.dtype("<U32"), []),
        "integrator": (np.dtype("<U32"), []),
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
        target = positive("bias_target", bias_target)
        self.steps_per_draw = DEFAULT_STEPS_PER_DRAW
        if steps_per_draw is not None:  # checked before the work begins
            self.steps_per_draw = whole_number("steps_per_draw", steps_per_draw)

        point = complete_point(initial_point, model)
        rows = Minibatcher(model, self.vars, point, placed(potentials), names("full", full))
        size = None if batch_size is None else whole_number("batch_size", batch_size)
        density = rows.density(size, flag("audit", audit))
        self.tables = {tuple(t.likelihoods): (t.batch_size, t.total_size) for t in density.tables}
        self.batch_size = sum(t.batch_size for t in density.tables)
        self.total_size = sum(t.total_size for t in density.tables)
        self.coordinates = density.coordinates
        self._others = {name: v.type.dtype for name, v in density.others.items()}
        self._sources = density.sources
        self._dtype = np.dtype(density.position.type.dtype)

        by_laplace = isinstance(preconditioner, str) and preconditioner in LAPLACE
        self._gaussian: Gaussian | None = None
        centre = None
        if schedule is None or by_laplace or (gradient != "minibatch" and not density.full):
            _check_size(density.position.type.shape[0])
            data = FullData(density if density.full else rows.blocks(BLOCK))
            place = None if center is None else complete_point(center, model, "center")
            self._gaussian = self._approximate(data, point, place)
            if gradient != "minibatch" and not density.full:
                centre = data.centre(
                    self._gaussian.mean.astype(self._dtype), self._inputs(place or point)[1]
                )
        if by_laplace and self._gaussian is not None:
            matrix = laplace(str(preconditioner), self._gaussian.precision, self._dtype)
        else:
            matrix = make_preconditioner(preconditioner, self.coordinate_names, self._dtype)
        self.preconditioner = matrix.name
        self._run = Updates(
            density,
            ESTIMATORS[gradient](density, centre),
            matrix,
            self.temperature,
            [
                None if t.full else make_order(batching, t.total_size, t.batch_size)
                for t in density.tables
            ],
            {} if compile_kwargs is None else compile_kwargs,
        )
        if schedule is None:
            assert self._gaussian is not None
            prediction = self._predict(self._gaussian, matrix, point)
            chosen = float(f"{prediction.step_size(target):.3g}")
            schedule = make_schedule(chosen)
            if steps_per_draw is None:
                self.steps_per_draw = min(prediction.updates_apart(chosen), MOST_STEPS_PER_DRAW)
        self.schedule = schedule
        self._default_start = self._inputs(model.initial_point())[0]
        self._start_chain()
        self._check_start(point)

    def _approximate(self, data: FullData, point: PointType, center: PointType | None) -> Gaussian:
        """Return where the posterior is and how wide, in one pass or in many."""
        if center is not None:
            position, others = self._inputs(center)
            return gaussian_at(data, position, others)
        position, others = self._inputs(point)
        found = find_gaussian(data, position, others)
        if not found.settled:
            warnings.warn(
                "SGLD: the search for the centre of the posterior did not settle: step size and "
                "preconditioner may be poor. Reparametrise the model (a non-centred or a centred "
                "parametrisation of group effects), or pass a point as center=.",
                SGLDWarning,
                stacklevel=4,
            )
        return found

    def _predict(self, gaussian: Gaussian, matrix: Preconditioner, point: PointType) -> Prediction:
        """Return the prediction of the bias, by gradients at points of the posterior."""
        size = len(gaussian.mean)
        noise = np.zeros((size, size))
        if self._run.orders:
            rng = np.random.default_rng(0)
            others = self._inputs(point)[1]
            still = np.zeros((1, size), dtype=self._dtype)

            def gradients(position: np.ndarray, batches: int) -> np.ndarray:
                seed = int(rng.integers(2**62))
                found = []
                for batch in range(batches):
                    starts = self._run.starts(rng, seed, batch, 1)
                    found.append(self._run(position, still[:, 0], still, starts, others)[1])
                return np.array(found)

            noise = noise_covariance(gradients, gaussian.mean, gaussian.whitener)
        factor = np.asarray(matrix.factor(np.eye(size))).T
        averaged = self.integrator == "leimkuhler_matthews"
        return Prediction(gaussian.precision, noise, factor, averaged)

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
        self._start_chain()

    def _start_chain(self) -> None:
        self.updates = 0
        self.row_seed = int(self.rng.integers(2**63))
        self.previous_noise = np.zeros(0)
        if self.integrator == "leimkuhler_matthews":
            size = len(self._default_start)
            self.previous_noise = self.rng.standard_normal(size, dtype=self._dtype)

    def _disperse(self, position: np.ndarray) -> np.ndarray:
        """Return where a chain starts: coordinates without a value of the user's own are drawn."""
        if self.updates or self._gaussian is None:
            return position
        z = self.rng.standard_normal(len(position))
        drawn = self._gaussian.mean + OVERDISPERSION * self._gaussian.whitener @ z
        return np.where(position == self._default_start, drawn, position).astype(self._dtype)

    def step(self, point: PointType) -> tuple[PointType, StatsType]:
        """Run the updates of one draw."""
        self._check_sources()
        position, others = self._inputs(point)
        position = self._disperse(position)
        count = np.arange(self.updates, self.updates + self.steps_per_draw)
        step_sizes = evaluate(self.schedule, count)
        fresh = self.rng.standard_normal((len(count), len(position)), dtype=self._dtype)
        noise = fresh
        if self.integrator == "leimkuhler_matthews":
            noise = leimkuhler_matthews.average(fresh, self.previous_noise)
        starts = self._run.starts(self.rng, self.row_seed, self.updates, len(count))
        new, gradient, log_density = self._run(position, step_sizes, noise, starts, others)
        if not _finite(new, gradient, log_density):
            raise self._explain(position, step_sizes, noise, starts, others)
        self.updates += self.steps_per_draw
        if self.previous_noise.size:
            self.previous_noise = fresh[-1]
        new_point = dict(point)
        for c in self.coordinates:
            piece = new[c.start : c.start + c.size].reshape(c.shape)
            new_point[c.value_name] = np.asarray(piece, dtype=c.dtype)
        return new_point, [self._stats(step_sizes[-1], gradient)]

    def _inputs(self, point: PointType) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the position of a point, and the values of the variables of other steps."""
        position = np.concatenate([np.ravel(point[c.value_name]) for c in self.coordinates])
        others = [np.asarray(point[name], dtype=dtype) for name, dtype in self._others.items()]
        return position, others

    def _label(self, entries: np.ndarray) -> str:
        """Return the names of the variables that the given entries of the position belong to."""
        names = [c.name for c in self.coordinates if entries[c.start : c.start + c.size].any()]
        return ", ".join(f'"{name}"' for name in names)

    def _stats(self, step_size: float, gradient: np.ndarray) -> dict[str, Any]:
        return {
            "step_size": step_size,
            "gradient_norm": float(np.linalg.norm(gradient)),
            "rows_seen": self.updates * self.batch_size,
            "updates": self.updates,
            "batch_size": self.batch_size,
            "total_size": self.total_size,
            "steps_per_draw": self.steps_per_draw,
            "temperature": self.temperature,
            "gradient": self.gradient,
            "preconditioner": self.preconditioner,
            "batching": self.batching,
            "integrator": self.integrator,
        }

    def _check_start(self, point: PointType) -> None:
        """Compile, by a call that moves nothing, where all chains profit from it."""
        position, others = self._inputs(point)
        updates = self.steps_per_draw if self._run.static else 1
        starts = self._run.starts(np.random.default_rng(0), 0, 0, updates)
        nothing = np.zeros((updates, len(position)), dtype=self._dtype)
        _, gradient, _ = self._run(position, nothing[:, 0], nothing, starts, others)
        if not _finite(gradient):
            raise NonFiniteError(
                f"SGLD: the gradient of {self._label(~np.isfinite(gradient))} is not finite at the "
                "initial point: see model.debug(), or pass another initial_point."
            )

    def _check_sources(self) -> None:
        """Refuse to sample with data that are no longer those of the model."""
        for shared, value in self._sources.items():
            if shared.get_value(borrow=True) is not value:
                raise SettingError(
                    f'the data "{shared.name}" changed since this SGLD was made, which holds them '
                    "as they were: make a new SGLD after pm.set_data."
                )

    def _explain(
        self,
        position: np.ndarray,
        step_sizes: np.ndarray,
        noise: np.ndarray,
        starts: list[np.ndarray],
        others: list[np.ndarray],
    ) -> NonFiniteError:
        """Return the error for a draw that went wrong: replay it update by update."""
        for i in range(len(step_sizes)):
            one = slice(i, i + 1)
            rows = [of_order[one] for of_order in starts]
            new, gradient, density = self._run(position, step_sizes[one], noise[one], rows, others)
            if not _finite(new, gradient, density):
                break
            position = new
        wrong = ~np.isfinite(gradient) | ~np.isfinite(new)
        listing = self._label(wrong if wrong.any() else ~wrong)
        if not wrong.any() or wrong.all():
            terms = self._run.outside(new if _finite(new) else position, rows, others)
            where = f"the density of {', '.join(terms)}" if terms else "a density"
            what = f"{where} ended or overflowed: a parameter ({listing}) left the support,"
        elif _finite(gradient):
            what = f"the position of {listing} is not finite"
        else:
            what = f"the gradient of {listing} is not finite"
        return NonFiniteError(
            f"SGLD: {what} at update {self.updates + i} (step_size={step_sizes[i]:.3g}). Two "
            "things to try: a smaller step_size, or a preconditioner that fits the scales of the "
            "parameters. A positive parameter may need a gentler transform, "
            "pm.distributions.transforms.log_exp_m1."
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


def choose_integrator(integrator: str | None, schedule: Schedule | None, gradient: str) -> str:
    """Return the name of an integrator that goes with the step size and the gradient."""
    is_constant = schedule is None or isinstance(schedule, constant)
    if integrator is None:
        averaged = is_constant and gradient != "minibatch"
        return "leimkuhler_matthews" if averaged else "euler_maruyama"
    choice("integrator", integrator, INTEGRATORS)
    if integrator == "leimkuhler_matthews" and not is_constant:
        raise SettingError(
            'integrator="leimkuhler_matthews" is for a constant step size. Pass '
            '"euler_maruyama" with a schedule.'
        )
    return integrator


def _check_size(size: int) -> None:
    """Refuse to hold the covariance of very many coordinates."""
    if size > LARGEST_SIZE:
        raise SettingError(
            f"the model has {size} unconstrained coordinates, and the covariance of more than "
            f'{LARGEST_SIZE} is not computed. Pass gradient="minibatch", a step_size, and '
            'preconditioner="identity" or an array.'
        )


def _finite(*arrays: np.ndarray) -> bool:
    return all(bool(np.isfinite(array).all()) for array in arrays)


# ``__new__`` would hide the arguments from ``help`` and from editors
SGLD.__signature__ = inspect.signature(SGLD.__init__).replace(
    parameters=list(inspect.signature(SGLD.__init__).parameters.values())[1:],
    return_annotation=inspect.Signature.empty,
)
