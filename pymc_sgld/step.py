"""SGLD as a PyMC step method: the only file that knows PyMC's step-method contract."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from pymc.blocking import PointType, StatsType
from pymc.model import Model
from pymc.step_methods.arraystep import BlockedStep
from pymc.step_methods.compound import Competence, StepMethodState
from pymc.step_methods.state import dataclass_state
from pymc.util import RandomGenerator
from pytensor.graph.basic import Variable

from pymc_sgld.arguments import flag, generator, model_of, value_variables
from pymc_sgld.chain.failures import check_finite
from pymc_sgld.chain.state import Chain, Draw
from pymc_sgld.chain.stats import judged, measured
from pymc_sgld.checkpoint import Checkpoint, Found
from pymc_sgld.dynamics.base import Dynamics
from pymc_sgld.errors import SettingError
from pymc_sgld.messages import install
from pymc_sgld.minibatch.position import labels, moved, position_of
from pymc_sgld.minibatch.selection.from_sources import check_moved
from pymc_sgld.minibatch.selection.pm_minibatch import check_all_sampled
from pymc_sgld.orphans import end_with_parent
from pymc_sgld.schedules import Schedule, check_horizon
from pymc_sgld.setup.call import Call, Traits, checked
from pymc_sgld.setup.prepare import Prepared, prepare
from pymc_sgld.stats import MEASURED, SETTINGS, progress_config, progress_of, settings_of
from pymc_sgld.storage.earlier import Earlier

TUNE = 200  # draws before those that count, where everything was chosen

install()


@dataclass_state
class SGLDState(StepMethodState):
    """What the next draw needs: with it restored, the same draw comes out."""

    chain: Chain
    batch_size: int = field(metadata={"frozen": True})
    total_size: int = field(metadata={"frozen": True})
    steps_per_draw: int = field(metadata={"frozen": True})
    batching: str = field(metadata={"frozen": True})
    temperature: float = field(metadata={"frozen": True})
    gradient: str = field(metadata={"frozen": True})
    preconditioner: str = field(metadata={"frozen": True})
    integrator: str = field(metadata={"frozen": True})
    subtract_noise: bool = field(metadata={"frozen": True})


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
    center of the posterior and its covariance, a control variate at the center, the covariance as
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
        model without observed variables. Of groups whose effects are integrated out, a batch has as
        many as have about so many rows, and all rows of each. By default 128, or up to 1024 (or
        2 d) where gradient noise is what keeps a chosen step size small. Observed variables of one
        length share their rows; those of another length have batches of their own, and where there
        are no more rows than in a batch, all of them are read: see
        :func:`pymc_sgld.minibatch.report`.
    step_size : float or callable, optional
        :math:`\varepsilon` (drift :math:`\varepsilon / 2`, noise variance :math:`T\varepsilon M`),
        in squared units of the unconstrained coordinates, or without unit where :math:`M` is a
        covariance matrix. A callable is a schedule: it is called with the count of updates since
        the start of the chain, tuning included, an integer array of shape (k,), and returns step
        sizes of shape (k,), as a pure function. See :mod:`pymc_sgld.schedules`. By default chosen
        for ``bias_target``, and made smaller while tuning if need be.
    gradient : {"control_variate", "taylor", "svrg", "saga", "minibatch"}
        The estimate :math:`\hat g`. ``"minibatch"`` is the prior gradient plus N/n times the
        batch's. The others subtract an expansion of it around the center, of order zero
        (``"control_variate"``) or one (``"taylor"``), and add that of all rows: the same mean, and
        far less variance near the center. Where they have more, the first takes their place.
        ``"svrg"`` is a control variate whose center is a recent position of the chain, for one more
        pass over all rows in every epoch; ``"saga"`` remembers the last gradient of every batch,
        and takes no such pass.
    preconditioner : "laplace", "laplace_diagonal", "adaptive", "identity" or array
        :math:`M`, shape (d, d), or its diagonal, shape (d,). ``"laplace"`` is the covariance of a
        Gaussian approximation of the posterior, with more than 500 coordinates a diagonal that is
        stretched along the directions it misses; ``"laplace_diagonal"`` the variances of each
        coordinate given the others. ``"adaptive"`` is a diagonal that follows the size of the
        gradients while a chain tunes: it needs no Hessian, but a ``step_size`` of your own.
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
        random subsets. With ``gradient="saga"``, fixed blocks of rows, independently.
    integrator : {"leimkuhler_matthews", "euler_maruyama"}, optional
        Average consecutive noises, which makes the update one of second order, or do not, as in
        the textbook. By default the former, but for a schedule or ``gradient="minibatch"``.
    bias_target : float
        Tolerated relative inflation of the posterior variance in the worst direction: what a
        ``step_size`` is chosen for, and half of what a chain may measure without saying so.
    subtract_noise : bool
        Whether to inject as much less noise as gradients have of their own, whose covariance
        :math:`V` is measured when the instance is made: with ``integrator="euler_maruyama"``,
        :math:`\eta \sim N(0, T \varepsilon M - \tfrac{\varepsilon^2}{4} M V M)`. Then steps may be
        some times larger than ``bias_target`` has them. Only for ``preconditioner="laplace"``.
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
        density is finite in every row, and in the rows of one batch that of PyMC, is always
        checked.
    data : dict, optional
        Sources of rows that do not fit into memory, by the names of the ``pm.Data`` or observed
        variables whose place they take: anything with a shape, a dtype and rows by slices, such as
        a memory map, a zarr array or an HDF5 dataset, or a :class:`pymc_sgld.sources.Source`. The
        model is built with a few rows as a template, which is all that other steps see: the
        variables that these rows depend on directly must be among ``vars``. Only for
        ``batching="reshuffle"``, which shuffles the rows of random blocks together. See the page on
        large data.
    marginalize : str, collection of str or bool, optional
        Effects of groups to integrate out, by the names of their variables: intercepts and slopes
        of counties, customers or items, one or two numbers for each group. The other variables are
        then sampled from their marginal posterior, whose size and whose cost do not grow with the
        number of groups, and the effects are drawn exactly given these, where the run records
        them. True for those with the most groups, False for none. By default those with the most
        groups if that helps: of data of more than 2000 rows if there are 30 groups, and if a group
        of each size has no large part of the rows. Not where ``temperature`` is not 1, where
        ``preconditioner`` is an array, or where it is ``"identity"`` or ``"adaptive"`` and
        ``step_size`` is given. :func:`pymc_sgld.minibatch.report` says what is integrated
        out, and why others are not.
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
        fork: with several cores, pass ``mp_ctx="forkserver"`` to ``pm.sample``. By default Numba
        compiles all, but for updates that have more than a million multiplications in products of
        matrices, and a thousand for each coordinate, as those of a network: JAX compiles them, if
        it is installed, in the processes of the chains, and no ``mp_ctx`` is needed. A printed
        step says so.
    progressbar : bool
        Whether to show what is being done before sampling, in a terminal or a notebook.
    checkpoint : path, optional
        A folder, which is made, where the run is kept: what is chosen here, and every five seconds
        the draws of each chain. The same call goes on from there after an interrupt, or with more
        ``draws``, and gives what it would have given undisturbed, to the bit. Another model, other
        data, settings or versions are refused. See the page on checkpoints.
    settings : path or step method, optional
        What an earlier step found before sampling, as :meth:`save` stored it, or that step itself,
        of the same parameters; of any sampler here. Its Gaussian approximation takes the place of a
        search where it fits these data: one pass over all rows verifies it, and makes it that of
        these data, which may have become more. Where it does not fit, there is a warning and a
        search. The noise of gradients is measured anew. See the page on reuse.
    executor : dask.distributed.Client or concurrent.futures.Executor, optional
        Whose processes share the passes over all rows before sampling. They read the sources of
        ``data`` themselves, and are sent data in memory (1 GB at most). What is found is the same
        to the bit for any number of them, and without. See the page on distributed runs.

    Raises
    ------
    SettingError
        For an argument that cannot be used; when a run starts that would record more effects of
        groups than can be drawn, with the ``var_names`` to pass; for a ``checkpoint`` of another
        call, or one where another run is at work; for ``settings`` of another model.
    SGLDWarning
        Where the search for the center did not settle, ``settings`` do not fit the data, a control
        variate is not used, or chunks of a source are missing; where every update reads very much
        of a likelihood, or every draw stores a Deterministic with an entry for each row; where the
        index of a row is negative.
    MinibatchError
        For a model that cannot be minibatched, with the reason and the way out.
    DataError
        If the density is zero or NaN at the initial point, with the variable and the row; where a
        ``checkpoint`` is damaged or cannot be written, or ``settings`` cannot be read.
    NonFiniteError
        When the gradient or the position stops being finite, here or while sampling.

    References
    ----------
    Welling and Teh (2011), Bayesian learning via stochastic gradient Langevin dynamics, equation 4.
    Baker, Fearnhead, Fox and Nemeth (2019), Control variates for stochastic gradient MCMC.
    Leimkuhler and Matthews (2013), Rational construction of stochastic numerical methods for
    molecular sampling.
    Giles, Majka, Szpruch, Vollmer and Zygalakis (2020), Multi-level Monte Carlo methods for the
    approximation of invariant measures of stochastic differential equations.

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
    near a Gaussian (Fisher divergence below 0.001): certify(idata, model) gives exact moments
    """

    name = "sgld"
    default_blocked = True
    _traits: ClassVar[Traits] = Traits()
    stats_dtypes_shapes: ClassVar[dict[str, Any]] = MEASURED | SETTINGS
    _state_class = SGLDState

    def __new__(cls, vars: Any = None, **kwargs: Any) -> Self:
        """Check the variables, and make a step for each of them where ``blocked=False``."""
        cls._traits.refuse(cls, kwargs)
        flag("blocked", kwargs.get("blocked"))
        model = model_of(kwargs.get("model"))
        vars = value_variables(vars, model)
        check_all_sampled(vars, model)
        check_moved(vars, model, kwargs.get("data"))
        if kwargs.get("checkpoint") is not None and not kwargs.get("blocked", True) and vars[1:]:
            raise SettingError(
                "checkpoint is the folder of one step method, and blocked=False makes several: "
                "leave blocked=False out, or make a step for each variable, with a folder each."
            )
        return super().__new__(cls, vars, **kwargs)

    def __init_subclass__(cls) -> None:
        """Show the arguments that a sampler passes on to SGLD, for `help` and editors."""
        super().__init_subclass__()
        cls.__signature__ = cls._traits.signature(cls.__init__, SGLD.__init__)

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
        subtract_noise: bool = False,
        center: PointType | None = None,
        potentials: Mapping[str, str] | None = None,
        full: str | Collection[str] = (),
        audit: bool | None = None,
        data: Mapping[str, Any] | None = None,
        marginalize: str | Collection[str] | bool | None = None,
        model: Model | None = None,
        rng: RandomGenerator = None,
        blocked: bool = True,
        initial_point: PointType | None = None,
        compile_kwargs: Mapping[str, Any] | None = None,
        progressbar: bool = True,
        checkpoint: str | os.PathLike[str] | None = None,
        settings: str | os.PathLike[str] | SGLD | None = None,
        executor: Any = None,
    ) -> None:
        arguments = locals()
        if isinstance(settings, SGLD):
            arguments = arguments | {"settings": settings._found}
        call = checked(arguments, self._called, self._traits, self._dynamics())
        self.vars, self.blocked = list(call.vars), blocked
        self.rng = generator(rng)
        self._is_alone = set(self.vars) == set(call.model.value_vars)  # in its run
        self._checkpoint = None if checkpoint is None else Checkpoint(checkpoint)
        made = prepare(call, self._open(arguments, call))
        self._found: Earlier = made.found
        self._transition, self._guard = made.transition, made.guard
        self._values, self._effects, self._others = made.values, made.effects, made.others
        self.coordinates = self._transition.coordinates
        self.chain = self._transition.start(self.rng, 0, 0)
        self._describe(call, made)
        if call.schedule is None:
            self.default_tune_steps = TUNE

    @property
    def _called(self) -> str:
        """The name by which the user knows this sampler."""
        return type(self).__name__

    @property
    def schedule(self) -> Schedule:
        """The step sizes, by the count of updates: what was given, or what was chosen."""
        return self._transition.schedule

    @property
    def steps_per_draw(self) -> int:
        """Updates of a draw; more where a chain made its steps smaller while tuning."""
        return self._transition.steps_per_draw

    @property
    def coordinate_names(self) -> list[str]:
        """Names of the d entries of the position, in the order of ``preconditioner``."""
        return labels(self.coordinates)

    def setup_chain(self, rng: RandomGenerator, tune: int, draws: int) -> None:
        """Start a new chain: its own random numbers, no updates yet."""
        self._guard.check_model()
        self._transition.run.check_process()
        end_with_parent()
        self._guard.enter()
        if self._effects is not None:
            self._effects.begin()
        check_horizon(self.schedule, (tune + draws) * self.steps_per_draw)
        super().setup_chain(rng, tune, draws)
        self._start(tune, draws)
        if self._checkpoint is not None:
            self._checkpoint.begin(self, tune, draws)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save what was found before sampling: ``settings=path`` of another step takes it over.

        It may be of another sampler, of the same model with other data, or with more of them. What
        is at ``path`` is replaced, whole: an error leaves it as it was.

        Raises
        ------
        SettingError
            Where nothing was looked for, because ``preconditioner`` and ``step_size`` were given.
        DataError
            Where it cannot be written.
        """
        self._found.write(path)

    def step(self, point: PointType) -> tuple[PointType, StatsType]:
        """Run the updates of one draw, or give one that was committed."""
        self._guard.check_model()
        self._guard.check_thread()
        if self._checkpoint is not None:
            return self._checkpoint.step(self, point)
        return self._advance(point)

    def _start(self, tune: int, draws: int) -> None:
        self.chain = self._transition.start(self.rng, tune, draws)

    def _extend(self, draws: int, positions: np.ndarray) -> None:
        """Let a chain that has come to some positions have another number of draws."""
        self._transition.extend(self.chain, draws, positions)

    def _open(self, arguments: Mapping[str, Any], call: Call) -> AbstractContextManager[Found]:
        """Return what was found when this call was made before, if it is known."""
        if self._checkpoint is None:
            return nullcontext(Found())
        names = ", ".join(value.name for value in self.vars)
        described = {"the sampler": f"{self._called}{self._more()}", "vars": names}
        return self._checkpoint.setup(described, arguments, call.model, call.sources)

    @property
    def _recorded(self) -> list[str]:
        """Names of the values that the step gives: of the effects of groups, if they are drawn."""
        drawn = [] if self._effects is None else self._effects.drawn_values
        return [*[c.value_name for c in self.coordinates], *drawn]

    def _advance(self, point: PointType) -> tuple[PointType, StatsType]:
        def parameters(position: np.ndarray) -> np.ndarray:
            return self._values(moved(point, self.coordinates, position))

        position, others = self._inputs(point)
        check_finite(self.coordinates, position, self._called)
        draw = self._draw(position, others, parameters)
        new = moved(point, self.coordinates, draw.position)
        if self._effects is not None:
            new = self._effects.drawn(self.chain, draw.position, others, new)
        return new, [self._stats(draw)]

    def _draw(
        self,
        position: np.ndarray,
        others: list[np.ndarray],
        parameters: Callable[[np.ndarray], np.ndarray],
    ) -> Draw:
        return self._transition.draw(self.chain, self.rng, position, others, parameters)

    def _dynamics(self) -> Dynamics | None:
        """Return the update of a sampler that has only one."""
        return None

    def _describe(self, call: Call, made: Prepared) -> None:
        """Keep what was asked for and chosen, for stats and `repr`."""
        settings, tables = made.settings, made.settings.density.tables
        self.batch_size = round(sum(t.batch_size * t.rows_each for t in tables))
        self.total_size = round(sum(t.total_size * t.rows_each for t in tables))
        self.temperature, self.bias_target = call.temperature, call.bias_target
        self.batching, self.integrator = call.batching, call.dynamics.name
        self.subtract_noise, self.placing = call.subtract_noise, call.placing
        self.gradient, self.preconditioner = settings.gradient, settings.preconditioner.name
        self.fisher_divergence = settings.fisher_divergence
        self.integrated_out = 0 if made.groups is None else len(made.groups.effects)
        self.setup_seconds = made.seconds
        self._batches = " + ".join(map(str, tables)) or "no rows"
        self._notes = "".join(f"\n{sentence}" for sentence in made.notes)
        self._settings = settings_of(self)

    def _inputs(self, point: PointType) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the position of a point, and the values of the variables of other steps."""
        return position_of(point, self.coordinates, self._others)

    def _verdict(self) -> dict[str, Any]:
        return judged(self._transition, self.chain)

    def _stats(self, draw: Draw) -> dict[str, Any]:
        rows = {"rows_seen": self.chain.batches * self.batch_size}
        return self._settings | measured(self._transition, self.chain, draw) | rows

    def __repr__(self) -> str:
        """Return the settings as they were resolved."""
        names = ", ".join(c.name for c in self.coordinates)
        backend = ", backend='JAX'" if self._transition.run.static else ""
        return (
            f"{self._called}(vars=[{names}], batch_size={self._batches}, "
            f"step_size={self._steps},\n     gradient={self.gradient!r}, "
            f"preconditioner={self.preconditioner!r}, temperature={self.temperature}, "
            f"steps_per_draw={self.steps_per_draw},\n     batching={self.batching!r}, "
            f"integrator={self.integrator!r}{self._more()}{backend}){self._notes}"
        )

    @property
    def _steps(self) -> str:
        """What a `repr` says of the step size."""
        return repr(self.schedule)

    def _more(self) -> str:
        """Return what a `repr` says of settings that only this class has."""
        return ""

    def __reduce__(self) -> Any:
        """Pickle the instance as it is, not the arguments (and the model) that made it."""
        self._guard.check_model()
        state = {k: v for k, v in self.__dict__.items() if k != "_BlockedStep__newargs"}
        return object.__new__, (type(self),), state

    @staticmethod
    def competence(var: Variable, has_grad: bool) -> Competence:
        """Never assigned automatically: SGLD is a choice."""
        return Competence.INCOMPATIBLE

    @staticmethod
    def _progressbar_config(n_chains: int = 1) -> tuple[list, dict]:
        return progress_config(n_chains)

    @staticmethod
    def _make_progressbar_update_functions() -> tuple[Any, ...]:
        return (progress_of,)


SGLD.__signature__ = SGLD._traits.signature(SGLD.__init__)  # ``__new__`` would hide it
