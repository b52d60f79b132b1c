"""What the user left open: the estimate of the gradient, the batch size, the preconditioner."""

from __future__ import annotations

import numpy as np

from pymc_sgld.arguments import choice
from pymc_sgld.dynamics import INTEGRATORS
from pymc_sgld.dynamics.base import Dynamics
from pymc_sgld.dynamics.gaussian_law import GaussianLaw, largest_step
from pymc_sgld.errors import SettingError
from pymc_sgld.gradients import ESTIMATORS
from pymc_sgld.minibatch.blocks import BLOCK
from pymc_sgld.minibatch.density import LogDensity
from pymc_sgld.minibatch.full_data import FullData
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.preconditioners import make_preconditioner
from pymc_sgld.progress import progress
from pymc_sgld.schedules import Schedule, constant
from pymc_sgld.tuning.doubts import doubts_about
from pymc_sgld.tuning.estimators import EstimatorNoise
from pymc_sgld.tuning.locate import locate
from pymc_sgld.tuning.settings import Asked, Chosen, Search, Settings
from pymc_sgld.tuning.sorted_sources import check_order

SHIFT = 0.05  # posterior standard deviations that a mean may be off by the noise of gradients
_ROUGH = 0.25  # difference from a Gaussian beyond which noise does more harm than on a Gaussian
_ALIKE = 2 / 3  # ratio of two amounts of noise
_ALL_ROWS = 0.005  # seconds for all rows by NumPy, of which compiled updates take about a tenth
_LARGEST_BATCH_SIZE = 1024
_LARGEST_OF_MANY = 8192  # where many effects move what they share: their update costs much anyway
_MOST_OF_THE_ROWS = 1 / 4  # that a larger batch may have
LARGEST_HESSIAN = 3000  # coordinates: 72 MB a matrix
_NO_CENTER = (
    "center= is where the gradient of a control variate and the covariance are computed, and these "
    'settings need neither: leave it out, or use gradient="control_variate" or '
    'preconditioner="laplace". To choose where chains start, pass initvals to pm.sample.'
)
_NO_SEARCH = (
    "settings= takes the place of a search for the posterior, and with the preconditioner and the "
    "step_size of this call there is none: leave it out."
)


def choose_integrator(integrator: str | None, schedule: Schedule | None, gradient: str) -> Dynamics:
    """Return an integrator that goes with the step size and the gradient."""
    is_constant = schedule is None or isinstance(schedule, constant)
    if integrator is None:
        second_order = is_constant and gradient != "minibatch"
        return INTEGRATORS["leimkuhler_matthews" if second_order else "euler_maruyama"]
    choice("integrator", integrator, INTEGRATORS)
    if integrator == "leimkuhler_matthews" and not is_constant:
        raise SettingError(
            'integrator="leimkuhler_matthews" is for a constant step size. Pass '
            '"euler_maruyama" with a schedule.'
        )
    return INTEGRATORS[integrator]


def choose(
    rows: Minibatcher,
    density: LogDensity,
    asked: Asked,
    search: Search,
    tunes_step: bool,
    tunes_batch: bool,
) -> Settings:
    """Return the settings of a step: what was asked for, and what was left open.

    A control variate that has more noise than the plain minibatch gradient is not used. Where the
    noise is what makes a chosen step small, batches are larger than ``density`` has them.

    Parameters
    ----------
    rows : Minibatcher
        The model.
    density : LogDensity
        With the batches that the user asked for, or with the smallest.
    asked : Asked
        What the user asked for.
    search : Search
        Where to look for the posterior.
    tunes_step, tunes_batch : bool
        Whether to choose the step size, and the size of a batch.

    Warns
    -----
    SGLDWarning
        Where no center was found, or the plain gradient takes the place of a control variate.
    """
    dtype = np.dtype(density.position.type.dtype)
    given = None
    if not asked.by_laplace:  # checked before the work begins
        given = make_preconditioner(asked.preconditioner, search.names, dtype)
    expands = asked.gradient != "minibatch" and not density.full
    measures = tunes_step or expands or asked.subtract_noise
    if given is not None and not measures and rows.effects is None:
        if search.center is not None:
            raise SettingError(_NO_CENTER)
        if search.earlier is not None:
            raise SettingError(_NO_SEARCH)
        estimate = ESTIMATORS["minibatch"](density, None)
        check_order(rows, density, "minibatch", None, search.others, search.start, asked)
        return Settings(density, asked.gradient, estimate, given)
    size = len(search.start)
    if asked.gradient == "taylor" and size > LARGEST_HESSIAN:
        raise SettingError(
            f'gradient="taylor" holds a Hessian, and the model has {size} unconstrained '
            f"coordinates: more than {LARGEST_HESSIAN} would take too much memory. Use the "
            'default, gradient="control_variate".'
        )
    data = FullData(density if density.full else rows.blocks(BLOCK), rows.backend)
    nodes = _nodes(rows)
    data, gaussian = locate(rows, data, BLOCK, search, asked.sampler)
    if _nodes(rows) != nodes:
        density = rows.density(density.batch_size)
    parents = set().union(*rows.parents.values())
    doubts = doubts_about(gaussian, data.coordinates, search, parents, asked)
    matrix = given or gaussian.shape.preconditioner(asked.preconditioner, dtype)
    if asked.subtract_noise and matrix.name != "laplace":
        raise SettingError(
            "subtract_noise=True needs the covariance matrix of the posterior as the "
            f'preconditioner, which is "{matrix.name}" here: use the default, '
            'preconditioner="laplace", with 500 coordinates at most, or leave subtract_noise out.'
        )
    noise = EstimatorNoise(data, gaussian, asked, search, matrix)
    rough = max(gaussian.fisher_divergence, gaussian.worst)
    is_open = tunes_step, tunes_batch
    call = _in_words(asked, is_open, density)
    prediction, chosen = None, search.chosen
    before = None
    if chosen is not None and chosen.call == call and matrix.name == "laplace":
        before = _as_before(rows, density, noise, chosen, rough, asked.bias_target)
    if before is not None:
        density = before
    else:
        density, prediction, chosen = _chosen(
            rows, density, data, noise, asked, rough, call, is_open
        )
    assert chosen is not None
    gradient = chosen.gradient
    if not density.full:
        noise.check_rare_rows(gradient, density)
        check_order(rows, density, gradient, noise.center, search.others, gaussian, asked)
        density = noise.with_rows_at_center(gradient, density)
    estimate = noise.estimate(gradient, density)
    errors = noise.errors(gradient, density) if asked.subtract_noise and not density.full else ()
    return Settings(
        density,
        gradient,
        estimate,
        matrix,
        gaussian,
        chosen.step_size,
        chosen.updates_apart,
        None if matrix.name == "laplace" else prediction,
        doubts,
        errors,
        None if density.full or gradient == "minibatch" else noise.center,
        chosen,
    )


def _nodes(rows: Minibatcher) -> tuple[int, int] | None:
    """Return by how many nodes effects of groups are integrated out, and steps to their modes."""
    return None if rows.groups is None else (rows.groups.nodes_each, rows.groups.newton)


def _in_words(asked: Asked, is_open: tuple[bool, bool], density: LogDensity) -> str:
    """Return what noise was measured for, so that it is told from another call."""
    size = None if is_open[1] else density.batch_size
    of_dynamics = asked.dynamics.name, *vars(asked.dynamics).items()
    settings = asked.gradient, asked.preconditioner, asked.batching, asked.bias_target
    return f"{asked.sampler} {settings} {of_dynamics} {size} {is_open}"


def _as_before(
    rows: Minibatcher,
    density: LogDensity,
    noise: EstimatorNoise,
    chosen: Chosen,
    rough: float,
    target: float,
) -> LogDensity | None:
    """Return the density with the batches of an earlier step, where they have the same noise.

    It is measured at a few positions, that of all coordinates together, and what it does to the
    worst direction, which may be one of many. None for noise to be measured at many of them.
    """
    if density.full or not chosen.noise or chosen.batch_size >= rows.largest:
        return None
    if chosen.batch_size != density.batch_size:
        density = rows.density(chosen.batch_size)
    largest = [largest_step(each) for each in (rough, chosen.rough)]
    alike = max(_ROUGH, chosen.rough) >= rough and largest[0] > _ALIKE * largest[1]
    with progress("comparing the noise of gradients with that of settings="):
        ratio = noise.size_where_known(chosen.gradient, density) / chosen.noise if alike else 0.0
        if not _ALIKE < ratio < 1 / _ALIKE:
            return None
        inflation = noise.inflation_where_known(chosen.gradient, density, chosen.step_size)
    return density if inflation < 1 + target / _ALIKE else None


def _chosen(
    rows: Minibatcher,
    density: LogDensity,
    data: FullData,
    noise: EstimatorNoise,
    asked: Asked,
    rough: float,
    call: str,
    is_open: tuple[bool, bool],
) -> tuple[LogDensity, GaussianLaw, Chosen]:
    """Return what is chosen by the noise of gradients, which is measured."""
    tunes_step, tunes_batch = is_open
    open_size = tunes_step and tunes_batch and not any(term.declared for term in rows.terms)
    few = open_size and not density.sources and data.seconds <= _ALL_ROWS
    # a function for a batch of a few groups takes longer to compile than all groups to read
    if few and (rough > _ROUGH or rows.effects is not None) and not density.full:
        density = rows.density(rows.largest)
    with progress("measuring the noise of gradients"):
        gradient = asked.gradient if density.full else noise.better_estimator(density)
        prediction = noise.predict(gradient, density)
    largest = largest_step(rough)
    target = asked.bias_target * min(1.0, _ROUGH / max(rough, _ROUGH))
    rate, steady = float(np.exp(np.mean(np.log(prediction.rates)))), np.inf
    if tunes_step and not density.full:
        shift = noise.mean_shift(prediction, prediction.step_size(target, largest))
        target *= min(1.0, SHIFT / max(shift, SHIFT))
        steady = noise.steady_step(gradient, density, rate, SHIFT)
    if open_size and not density.full:
        step_size = prediction.step_size(target, largest)
        limit = asked.dynamics.limit(largest, float(prediction.rates[-1]))
        short = limit / min(steady, step_size)
        most = _LARGEST_BATCH_SIZE if steady >= step_size else _LARGEST_OF_MANY
        size = _batch_size(density, prediction, short, few, most)
        if size > density.batch_size:
            density = rows.density(size)
            prediction = noise.predict(gradient, density)
            steady = noise.steady_step(gradient, density, rate, SHIFT)
    # a control variate has more noise where draws are spread wider: b becomes b / (1 - b)
    step_size = min(steady, prediction.step_size(target / (1 + target), largest))
    step_size = float(f"{step_size:.3g}")
    chosen = Chosen(
        call,
        gradient,
        density.batch_size,
        step_size,
        prediction.updates_apart(step_size),
        0.0 if density.full else noise.size(gradient, density),
        rough,
    )
    return density, prediction, chosen


def _batch_size(
    density: LogDensity, prediction: GaussianLaw, short: float, few: bool, most: int
) -> int:
    """Return the batch size whose noise no longer limits the step, or the largest.

    As long as it does, the step is about proportional to the size: the rows that a draw reads stay
    the same, and the updates become fewer. All of them are the largest where that is less work, or
    little.

    Parameters
    ----------
    density, prediction
        For batches as they are.
    short : float
        How many times smaller the step is than without noise.
    few : bool
        Whether to read all rows would cost little.
    most : int
        The largest, if there are few coordinates.
    """
    batch_size = density.batch_size
    rows = density.rows
    size = prediction.size  # as many rows as coordinates cost no more than the coordinates do
    most = min(max(most, 2 * size), int(rows * _MOST_OF_THE_ROWS))
    while short > 1.5 and 2 * batch_size <= most:
        batch_size, short = 2 * batch_size, short / 2
    # all rows take that many times longer, and fewer updates
    longer = 1.5 if few else np.inf if density.sources else rows / batch_size
    return rows if short > longer else batch_size
