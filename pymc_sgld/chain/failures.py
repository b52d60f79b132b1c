"""A draw that went wrong: how it is told, and replayed to say which variable, where, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pymc_sgld.compiled.updates import Plan, Updates
from pymc_sgld.dynamics.base import State
from pymc_sgld.errors import DataError, NonFiniteError
from pymc_sgld.minibatch.position import Coordinates

OTHER_STEPS = (
    "Leave step_size and preconditioner out to have them chosen, or pass a smaller step_size."
)


def check_finite(coordinates: Sequence[Coordinates], position: np.ndarray, sampler: str) -> None:
    """Refuse to start a draw where a variable is not finite."""
    wrong = ~np.isfinite(position)
    if wrong.any():
        raise NonFiniteError(
            f"{sampler}: {quoted(coordinates, wrong)} is not finite where a draw starts: look at "
            "initvals of pm.sample, and at the other step methods of this run."
        )


def explain(
    run: Updates[Any],
    coordinates: Sequence[Coordinates],
    first_update: int,
    state: State,
    plan: Plan,
    attempts: int,
    sampler: str,
    remedy: str,
) -> NonFiniteError | DataError:
    """Return the error for updates that did not stay finite.

    Parameters
    ----------
    run : Updates
        Runs them again, one by one.
    coordinates : sequence of Coordinates
        The variables in the position.
    first_update : int
        Count of the first of the updates in its chain.
    state, plan
        As ``run`` takes them.
    attempts : int
        How many there were, each with half the step size of the one before.
    sampler : str
        As the user calls it.
    remedy : str
        A sentence on what to do.
    """
    for i in range(len(plan.step_sizes)):
        one = plan.at(i)
        outcome = run(state, one)
        new, [gradient] = outcome.position, outcome.gradients
        if not is_finite(new, gradient, outcome.log_density):
            break
        state = outcome.state
    missing = run.missing(one.reads)
    if missing:
        names = " and ".join(f'"{name}"' for name in missing)
        return DataError(
            f"{sampler}: the rows of {names} that update {first_update + i} read have NaN. They "
            f"had a finite density when this {sampler} was made: the data changed while sampling. "
            f"Restore them, and make a new {sampler}."
        )
    wrong = ~np.isfinite(gradient) | ~np.isfinite(new)
    concerned = wrong if wrong.any() else ~wrong
    listing = quoted(coordinates, concerned)
    if not wrong.any() or wrong.all():
        terms = run.outside(new if is_finite(new) else state[0], one.reads, one.others)
        where = f"the density of {' and '.join(terms)}" if terms else "the log density"
        what = f"{where} is zero or not finite after a move of {listing}"
    elif is_finite(gradient):
        what = f"the position of {listing} is not finite"
    else:
        what = f"the gradient of {listing} is not finite"
    advice = remedy + _gentler(coordinates, concerned)
    if attempts > 1:
        advice = (
            f"{attempts} attempts with ever smaller steps failed in the same way. Where a density "
            "ends at a parameter, as that of Uniform(0, t) at t, its gradient does not keep a "
            "chain inside: sample that parameter with another step method, "
            f"{sampler}(vars=[...]) beside it, or write a density that falls off. {remedy}"
        )
    return NonFiniteError(
        f"{sampler}: the chain diverged at update {first_update + i} "
        f"(step_size={plan.step_sizes[i]:.3g}): {what}. {advice}"
    )


def quoted(coordinates: Sequence[Coordinates], entries: np.ndarray) -> str:
    """Return the names of the variables that some entries of the position belong to."""
    names = [c.name for c in coordinates if entries[c.start : c.start + c.size].any()]
    return ", ".join(f'"{name}"' for name in names)


def is_finite(*arrays: np.ndarray) -> bool:
    """Whether all entries of all arrays are finite."""
    return all(bool(np.isfinite(array).all()) for array in arrays)


def is_stable(
    step_size: float, first: tuple[np.ndarray, np.ndarray], last: tuple[np.ndarray, np.ndarray]
) -> bool:
    """Whether the gradients did not explode in the updates of a draw.

    Steps that are too large for the curvature swing out further every time, finite for a while. In
    units of the inflation of the variance, what they then reach is absurd.

    Parameters
    ----------
    step_size : float
    first, last : tuple of (ndarray, ndarray)
        Gradients of two updates, and their products with the preconditioner, shape (d,).
    """
    with np.errstate(over="ignore"):
        unit = step_size / 4 / len(first[0])
        return bool(unit * (last[0] @ last[1]) < 1e3 * max(unit * (first[0] @ first[1]), 1.0))


def _gentler(coordinates: Sequence[Coordinates], entries: np.ndarray) -> str:
    """Return the advice for a variable that is sampled by its logarithm."""
    for c in coordinates:
        if c.value_name.endswith("_log__") and entries[c.start : c.start + c.size].any():
            return (
                f' "{c.name}" is sampled by its logarithm, and exp is steep: a gentler transform '
                "is transform=pm.distributions.transforms.log_exp_m1 in its definition."
            )
    return ""
