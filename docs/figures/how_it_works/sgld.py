"""SGLD and its two phases: gradient noise rules while steps are large, injected noise after."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from gaussian_mean import PRECISION, TEXTBOOK, build, distance, gradient_noise, sample
from picture import BLACK, BLUE, GREY, RED, save, two_panels

from pymc_sgld import SGLD, schedules

BATCH, DRAWS, STEPS_PER_DRAW = 10, 10_000, 10
SCHEDULE = schedules.polynomial(a=4 / PRECISION, b=60, gamma=0.6)


class Run(NamedTuple):
    """What a chain says, one entry a draw."""

    updates: np.ndarray
    distance: np.ndarray  # of theta from its posterior mean, posterior sd
    step_size: np.ndarray
    threshold: np.ndarray  # alpha, as read from the gradients of the draw


def run() -> Run:
    """Sample with the textbook update and a decreasing step size."""
    with build():
        step = SGLD(batch_size=BATCH, step_size=SCHEDULE, steps_per_draw=STEPS_PER_DRAW, **TEXTBOOK)
        idata = sample(step, DRAWS, start=100.0)
    stats = idata.sample_stats.sel(chain=0)
    names = ("updates", "step_size", "sampling_threshold")
    updates, step_size, threshold = (stats[name].values for name in names)
    return Run(updates, distance(idata)[0], step_size, threshold)


def transition() -> float:
    """Return the update at which alpha = epsilon V / 4 is one."""
    step_size = 4 / gradient_noise(BATCH)
    return (SCHEDULE.a / step_size) ** (1 / SCHEDULE.gamma) - SCHEDULE.b


def weighted_variance(found: Run) -> tuple[float, float]:
    """Return the variance of the draws after the transition, and what theory expects.

    Draws count by their step size, for the time that passes in an update.
    """
    late = found.updates > transition()
    step_size, alpha = found.step_size[late], found.step_size[late] * gradient_noise(BATCH) / 4
    expected = (1 + alpha) / (1 - step_size * PRECISION / 4)
    average = (np.average(x, weights=step_size) for x in (found.distance[late] ** 2, expected))
    return tuple(average)


def main(path: Path = Path(__file__).with_suffix(".svg")) -> Run:
    """Draw the figure, print what it shows and return it."""
    found, change = run(), transition()
    figure, (left, right) = two_panels(sharex=True)
    shown = np.unique(np.geomspace(1, DRAWS, 250).astype(int)) - 1
    left.semilogx(found.updates[shown], found.distance[shown], color=BLUE, lw=1, label="draws")
    left.axhspan(-2, 2, color=GREY, alpha=0.4, lw=0, label="posterior, ± 2 sd")
    few = np.unique(np.geomspace(1, DRAWS, 50).astype(int)) - 1
    injected = found.step_size * PRECISION
    noise = found.threshold * injected
    edges = np.geomspace(found.updates[0], found.updates[-1] + 1, 21)
    bins = np.digitize(found.updates, edges)
    for values, mark, colour, label in (
        (injected, "--", BLACK, "injected noise, ε"),
        (injected**2 * gradient_noise(BATCH) / PRECISION / 4, "-", RED, "gradient noise, ε²V/4"),
    ):
        right.loglog(found.updates[few], values[few], mark, color=colour, lw=1, label=label)
    means = [(found.updates[bins == b].mean(), noise[bins == b].mean()) for b in np.unique(bins)]
    right.plot(*np.transpose(means), "o", color=RED, ms=4, label="the same, as the chain reads it")
    for axes in (left, right):
        axes.axvline(change, color=BLACK, ls=":")
        place = {"transform": axes.get_xaxis_transform(), "va": "top"}
        axes.text(change / 1.2, 0.99, "optimisation", ha="right", **place)
        axes.text(change * 1.2, 0.99, "Langevin dynamics", ha="left", **place)
        axes.set_xlabel("update")
    left.set(ylabel="distance from the mean, posterior sd", ylim=(-15, 23))
    right.set(ylabel="variance in an update,\nposterior variances")
    left.legend(loc="lower right")
    right.legend(loc="lower left")
    variance, expected = weighted_variance(found)
    first, last = SCHEDULE(np.array([0, found.updates[-1] - 1])) * gradient_noise(BATCH) / 4
    print(f"α falls from {first:.1f} to {last:.2f}, through 1 at update {change:.0f}")
    print(f"variance after it: {variance:.2f} posterior variances, {expected:.2f} expected")
    save(figure, path)
    return found


if __name__ == "__main__":
    main()
