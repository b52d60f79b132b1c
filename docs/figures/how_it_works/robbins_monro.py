"""Stochastic gradient descent: a constant step keeps its noise, a decreasing one loses it."""

from pathlib import Path

import numpy as np
from gaussian_mean import PRECISION, SD, TEXTBOOK, build, distance, gradient_noise, sample
from picture import BLUE, GREY, RED, save, two_panels

from pymc_sgld import SGLD, schedules

BATCH, START, UPDATES = 10, 8.0, 2000
SCHEDULES = {
    "constant": schedules.constant(0.4 / PRECISION),
    "decreasing": schedules.polynomial(a=4 / PRECISION, b=10, gamma=1),
}


def optimise(schedule: schedules.Schedule) -> np.ndarray:
    """Return the distances from the mode after each update."""
    with build():
        step = SGLD(
            batch_size=BATCH, temperature=0, step_size=schedule, steps_per_draw=1, **TEXTBOOK
        )
        return distance(sample(step, UPDATES, START))[0]


def theory(schedule: schedules.Schedule) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of those distances, from the recursion of the update."""
    mean, variance, found = START, 0.0, []
    for step_size in schedule(np.arange(UPDATES)):
        left = 1 - step_size * PRECISION / 2
        added = (step_size / 2 / SD) ** 2 * gradient_noise(BATCH)
        mean, variance = left * mean, left**2 * variance + added
        found.append((mean, variance**0.5))
    mean, sd = np.array(found).T
    return mean, sd


def main(path: Path = Path(__file__).with_suffix(".svg")) -> dict[str, np.ndarray]:
    """Draw the figure, print what it shows and return it."""
    paths = {name: optimise(schedule) for name, schedule in SCHEDULES.items()}
    figure, panels = two_panels(sharey=True)
    shown = np.unique(np.geomspace(1, UPDATES, 200).astype(int))
    for axes, (name, found) in zip(panels, paths.items(), strict=True):
        mean, sd = theory(SCHEDULES[name])
        band = mean[shown - 1] + 2 * sd[shown - 1] * np.array([[-1], [1]])
        axes.fill_between(shown, *band, color=BLUE, alpha=0.18, lw=0, label="theory, ± 2 sd")
        axes.semilogx(shown, found[shown - 1], color=BLUE, lw=1, label="stochastic gradients")
        axes.axhspan(-1, 1, color=GREY, alpha=0.45, lw=0, label="posterior, ± 1 sd")
        axes.axhline(0, color=RED, ls="--", lw=1, label="mode")
        axes.set(xlabel="update", title=f"{name} step size")
        rms, expected = (found[1000:] ** 2).mean() ** 0.5, (sd[1000:] ** 2).mean() ** 0.5
        print(f"{name} step, after update 1,000: {rms:.2f} sd off, {expected:.2f} expected")
        if name == "decreasing":
            first = int(np.argmax(mean**2 + sd**2 < 1)) + 1
            print(f"less than 1 sd off expected from update {first} on ({first * BATCH:,} rows)")
    panels[0].set_ylabel("distance from the mode, posterior sd")
    panels[1].legend(loc="upper right")
    save(figure, path)
    return paths


if __name__ == "__main__":
    main()
