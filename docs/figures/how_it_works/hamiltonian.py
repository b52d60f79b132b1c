"""Hamiltonian dynamics: the leapfrog method, and how well it keeps the energy."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from gaussian_mean import MEAN, PRECISION, SD, build
from picture import BLACK, BLUE, RED, save, two_panels

M = 1 / PRECISION  # the inverse of the mass
START, TIME = 2.0, 2 * np.pi  # posterior sd; one turn
TIME_STEPS = TIME / np.array([12, 24, 48, 96, 192])
State = tuple[float, float]  # position and momentum


def leapfrog(state: State, gradient: Callable, s: float) -> State:
    """Half a step of the momentum, a step of the position, half a step of the momentum."""
    theta, momentum = state
    momentum = momentum + s / 2 * gradient(theta)
    theta = theta + s * M * momentum
    return theta, momentum + s / 2 * gradient(theta)


def explicit_euler(state: State, gradient: Callable, s: float) -> State:
    """Both at once, from where they were: for comparison."""
    theta, momentum = state
    return theta + s * M * momentum, momentum + s * gradient(theta)


def trajectory(method: Callable, s: float, turns: int = 1) -> np.ndarray:
    """Return distance and momentum in units of their sd, shape (steps + 1, 2), from the model."""
    compiled = build().compile_dlogp()

    def gradient(theta: float) -> float:
        return float(compiled({"theta": theta})[0])

    states = [(MEAN + START * SD, 0.0)]
    for _ in range(round(turns * TIME / s)):
        states.append(method(states[-1], gradient, s))
    return (np.array(states) - [MEAN, 0]) / [SD, M**-0.5]


def energy_error(states: np.ndarray) -> float:
    """Return the largest change of the energy along a trajectory."""
    energy = (states**2).sum(axis=1) / 2  # U + K
    return abs(energy - energy[0]).max()


def main(path: Path = Path(__file__).with_suffix(".svg")) -> dict[str, np.ndarray]:
    """Draw the figure, print what it shows and return it."""
    figure, (left, right) = two_panels()
    turn = np.linspace(0, TIME, 200)
    left.plot(START * np.cos(turn), START * np.sin(turn), color=BLACK, lw=1, label="exact")
    found = {}
    for method, colour, style in ((leapfrog, BLUE, "o-"), (explicit_euler, RED, "^--")):
        name = method.__name__.replace("_e", " E")
        left.plot(*trajectory(method, TIME_STEPS[0]).T, style, color=colour, ms=4, label=name)
        errors = np.array([energy_error(trajectory(method, s)) for s in TIME_STEPS])
        right.loglog(TIME_STEPS, errors, style, color=colour, ms=5, label=name)
        change = 100 * errors[0] / (START**2 / 2)
        print(f"{name}, 12 steps a turn: the energy changes by up to {change:,.0f} %")
        found[name] = errors
    slope = np.polyfit(np.log(TIME_STEPS), np.log(found["leapfrog"]), 1)[0]
    print(f"leapfrog: the error goes with the power {slope:.2f} of the time step")
    limit = START**2 / 8 * TIME_STEPS**2
    right.loglog(TIME_STEPS, limit, ":", color=BLACK, label="s²/4 of the energy")
    left.set(xlabel="position, posterior sd", ylabel="momentum, sd", aspect="equal", xlim=(-5, 9))
    right.set_xticks([0.03, 0.1, 0.3])
    right.set(xlabel="time step s, radians", ylabel="largest energy error in a turn")
    left.legend(loc="lower right")
    right.legend(loc="lower right")
    save(figure, path)
    return found


if __name__ == "__main__":
    main()
