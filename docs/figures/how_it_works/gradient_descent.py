"""Gradient descent: the exact gradient, no noise, and what the step size does."""

from pathlib import Path

import numpy as np
from gaussian_mean import PRECISION, ROWS, TEXTBOOK, build, distance, sample
from picture import BLACK, BLUE, GREEN, RED, save, two_panels

from pymc_sgld import SGLD

START, UPDATES = 8.0, 15
STEPS = {0.6: (BLUE, "o-"), 3.0: (GREEN, "s--"), 4.2: (RED, "^:")}  # step sizes times A


def descend(step: float) -> np.ndarray:
    """Return the distances from the mode, before and after each update."""
    with build():
        ascent = SGLD(
            batch_size=ROWS,  # all rows: no gradient noise
            temperature=0,  # no injected noise
            step_size=step / PRECISION,
            steps_per_draw=1,
            **TEXTBOOK,
        )
        return np.append(START, distance(sample(ascent, UPDATES, START)))


def main(path: Path = Path(__file__).with_suffix(".svg")) -> dict[float, np.ndarray]:
    """Draw the figure, print what it shows and return it."""
    paths = {step: descend(step) for step in STEPS}
    figure, (left, right) = two_panels()
    grid = np.linspace(-9, 9, 101)
    left.plot(grid, grid**2 / 2, color=BLACK, lw=1)
    for step, (colour, style) in STEPS.items():
        position, settings = paths[step], {"color": colour, "ms": 4, "label": f"εA = {step:g}"}
        if step < 4:
            left.plot(position, position**2 / 2, style, **settings)
        right.semilogy(abs(position), style, **settings)
        factor = (position[1:] / position[:-1]).mean()
        print(f"εA = {step:g}: an update multiplies the distance by {factor:.2f}")
    left.set(xlabel="distance from the mode, posterior sd", ylabel="U(θ) less its minimum")
    right.set(xlabel="update", ylabel="|distance|, posterior sd")
    left.legend(loc="upper center")
    right.legend(loc="lower left")
    save(figure, path)
    return paths


if __name__ == "__main__":
    main()
