r"""The two modes of Welling and Teh (2011), section 5.1: one row at a time, decreasing steps.

.. math::

    \theta_1 \sim N(0, 10), \quad \theta_2 \sim N(0, 1), \quad
    x_i \sim \tfrac12 N(\theta_1, 2) + \tfrac12 N(\theta_1 + \theta_2, 2)

(variances), 100 points, two modes of nearly the same mass. The script shows three things.

1. SGLD on batches of a single row, with the paper's schedule (:math:`\varepsilon` from 0.01 to
   0.0001 in 10,000 sweeps through the data), finds both modes, their mass and the moments of the
   posterior, which is known here from a sum over a grid.
2. Two phases (the paper's figure 2, left): large steps are stochastic optimisation, since the noise
   of the gradient exceeds the injected noise, and small steps are Langevin dynamics.
3. There is nothing to reject in the limit (figure 2, right): the Metropolis test that SGLD leaves
   out would have rejected a share of the updates that goes to zero with the step size. It is still
   about a fifth at 0.0001, where the schedule above ends, so the curves come from a second run with
   a schedule that falls exponentially from 1e-2 to 1e-8.

Since step sizes decrease, a draw stands for a stretch of time that is proportional to its step
size: every average here is weighted with the ``step_size`` of the draws. The first tenth of the
updates is left out, where the noise of the gradient is not small beside the injected noise.

Run it with ``python examples/welling_teh.py``.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pymc as pm
from matplotlib.lines import Line2D

from pymc_sgld import SGLD, schedules

FOLDER = Path(__file__).parent
REFERENCE = json.loads((FOLDER / "data" / "welling_teh_toy.json").read_text())
ROWS = np.array(REFERENCE["x"])
PRIOR_VARIANCE = np.array([10.0, 1.0])
VARIANCE = 2.0  # of each component
UPDATES = 10_000 * len(ROWS)
# 128 shares only the factor 4 with 100, so that draws are recorded at 25 places of a sweep: at its
# end, where the noise of all rows cancels, draws would look better than the average update is
STEPS_PER_DRAW = 128
LEFT_OUT = 0.1  # share of the updates
STRETCHES = 4  # of each chain, for standard errors
BLUE, ORANGE, RED = "#0072B2", "#E69F00", "#D55E00"  # told apart by the colour-blind too


def say(message: str) -> None:
    """Print what happens next, with the time."""
    print(f"[{time.strftime('%H:%M:%S')}] {message}", flush=True)


# The model and the two schedules


def build() -> pm.Model:
    """Return the model, as anyone would write it."""
    with pm.Model() as model:
        theta1 = pm.Normal("theta1", 0, np.sqrt(PRIOR_VARIANCE[0]))
        theta2 = pm.Normal("theta2", 0, np.sqrt(PRIOR_VARIANCE[1]))
        means = pm.math.stack([theta1, theta1 + theta2])
        pm.NormalMixture("x", w=[0.5, 0.5], mu=means, sigma=np.sqrt(VARIANCE), observed=ROWS)
    return model


def paper_schedule(updates: int = UPDATES) -> schedules.polynomial:
    """Return the polynomial schedule from 0.01 to 0.0001 with the exponent 0.55."""
    first, last, gamma = 1e-2, 1e-4, 0.55
    offset = updates / ((first / last) ** (1 / gamma) - 1)
    return schedules.polynomial(first * offset**gamma, offset, gamma)


@dataclass(frozen=True)
class Exponential:
    """Step sizes that fall exponentially from ``first`` to ``last``: any callable is a schedule."""

    first: float = 1e-2
    last: float = 1e-8
    updates: int = UPDATES

    def __call__(self, count: np.ndarray) -> np.ndarray:
        """Return the step sizes of the updates ``count``, shape (k,)."""
        return self.first * (self.last / self.first) ** (count / self.updates)


def sample(schedule, **settings) -> tuple[np.ndarray, np.ndarray]:
    """Return draws, shape (chain, draw, 2), and their step sizes, shape (draw,)."""
    settings = {"draws": UPDATES // STEPS_PER_DRAW, "tune": 0, "progressbar": False} | settings
    with build():
        step = SGLD(
            batch_size=1,
            step_size=schedule,
            gradient="minibatch",
            preconditioner="identity",
            steps_per_draw=STEPS_PER_DRAW,
        )
        # ESS and R-hat suppose draws of equal weight
        idata = pm.sample(step=step, compute_convergence_checks=False, **settings)
    draws = np.stack([idata.posterior[name].values for name in ("theta1", "theta2")], axis=-1)
    return draws, idata.sample_stats["step_size"].values[0]


# The posterior without PyMC, for all that is computed after sampling


def log_density(position: np.ndarray) -> np.ndarray:
    """Return the log posterior up to a constant; positions of shape (..., 2)."""
    first = ROWS - position[..., :1]
    second = first - position[..., 1:]
    rows = np.logaddexp(-(first**2) / (2 * VARIANCE), -(second**2) / (2 * VARIANCE))
    return rows.sum(-1) - (position**2 / (2 * PRIOR_VARIANCE)).sum(-1)


def row_gradient(position: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return the gradient of the log density of rows, shape (..., 2), at positions (..., 2)."""
    first = row - position[..., 0]
    second = first - position[..., 1]
    weight = 1 / (1 + np.exp((second**2 - first**2) / (2 * VARIANCE)))  # of the second component
    pull = weight * second
    return np.stack([(1 - weight) * first + pull, pull], axis=-1) / VARIANCE


def batch_gradients(position: np.ndarray) -> np.ndarray:
    """Return the estimates of all batches of one row: positions (..., 2) to (..., 100, 2)."""
    rows = len(ROWS) * row_gradient(position[..., None, :], ROWS)
    return rows - (position / PRIOR_VARIANCE)[..., None, :]


class Grid(NamedTuple):
    """The posterior on a grid."""

    theta1: np.ndarray
    theta2: np.ndarray
    mass: np.ndarray  # of each cell, shape (theta1, theta2)


def grid_posterior() -> Grid:
    """Return the posterior on the grid of the reference, which holds all but 1e-16 of it."""
    theta1, theta2 = (np.linspace(*REFERENCE["grid"][name]) for name in ("theta1", "theta2"))
    log_mass = np.stack(
        [log_density(np.stack([np.full_like(theta2, a), theta2], axis=-1)) for a in theta1]
    )
    mass = np.exp(log_mass - log_mass.max())
    return Grid(theta1, theta2, mass / mass.sum())


# Weighted averages


def functions(theta1: np.ndarray, theta2: np.ndarray) -> dict[str, np.ndarray]:
    """Return what is averaged.

    The mean of the mixture is the same in both modes, so it is known far better than the others.
    """
    return {"theta1": theta1, "theta2": theta2, "mixture mean": theta1 + theta2 / 2}


def exact_summary(grid: Grid) -> pd.Series:
    """Return the means, standard deviations and the mass at theta2 > 0 of the grid."""
    theta1, theta2 = np.meshgrid(grid.theta1, grid.theta2, indexing="ij")
    found = {}
    for name, value in functions(theta1, theta2).items():
        mean = (grid.mass * value).sum()
        found[f"mean of {name}"] = mean
        found[f"sd of {name}"] = np.sqrt((grid.mass * (value - mean) ** 2).sum())
    found["mass at theta2 > 0"] = grid.mass[theta2 > 0].sum()
    return pd.Series(found).sort_index()


def weighted_mean(values: np.ndarray, step_sizes: np.ndarray) -> tuple[float, float]:
    r"""Return an average over all chains, weighted with the step sizes, and its standard error.

    Every chain is cut into stretches with the same sum of step sizes, long beside the time between
    two moves from mode to mode. The standard error is that of the mean of the stretches' averages:
    it holds the differences between chains and within them.

    Parameters
    ----------
    values : ndarray, shape (chain, draw)
    step_sizes : ndarray, shape (draw,)
    """
    time_passed = np.cumsum(step_sizes) / step_sizes.sum()
    cuts = np.searchsorted(time_passed, np.arange(1, STRETCHES) / STRETCHES, side="right")
    averages = np.stack(
        [
            np.average(values[:, part], axis=1, weights=step_sizes[part])
            for part in np.split(np.arange(len(step_sizes)), cuts)
        ]
    )
    error = averages.std(ddof=1) / np.sqrt(averages.size)
    return np.average(values, axis=1, weights=step_sizes).mean(), error


def weighted_summary(draws: np.ndarray, step_sizes: np.ndarray) -> pd.DataFrame:
    """Return estimates and standard errors of what ``exact_summary`` returns."""
    found = {}
    for name, value in functions(draws[..., 0], draws[..., 1]).items():
        mean, error = weighted_mean(value, step_sizes)
        variance, variance_error = weighted_mean((value - mean) ** 2, step_sizes)
        found[f"mean of {name}"] = mean, error
        found[f"sd of {name}"] = np.sqrt(variance), variance_error / (2 * np.sqrt(variance))
    above = (draws[..., 1] > 0).astype(float)
    found["mass at theta2 > 0"] = weighted_mean(above, step_sizes)
    return pd.DataFrame(found, index=["SGLD", "standard error"]).T.sort_index()


def count_moves(theta2: np.ndarray) -> np.ndarray:
    """Return how often each chain moved from one mode to the other: past 0.5 on either side."""
    moves = []
    for chain in theta2:
        side = np.sign(chain[abs(chain) > 0.5])
        moves.append(np.count_nonzero(np.diff(side)))
    return np.array(moves)


def expected_inflation(step_sizes: np.ndarray, draws: np.ndarray, exact: pd.Series) -> float:
    r"""Return the relative error of the variance of the mixture mean to first order.

    .. math::

        \frac{\langle \varepsilon^2 \rangle \, V (N + 1)}{24 \, \sigma^2}
            + \frac{5 \langle \varepsilon \rangle}{16 \, \sigma^2}

    with the averages over the updates, weighted like the draws, and the posterior variance
    :math:`\sigma^2`. First term: in the midst of a sweep of N single rows in random order, the sum
    of the first k gradients, of variance V each, has the variance :math:`V k (N - k) / (N - 1)`
    around k times their mean, on average over k :math:`V (N + 1) / 6`, and moves the chain by
    :math:`\varepsilon / 2` times that sum. Second term: :math:`\varepsilon A / 4`, the
    discretisation with exact gradients, where :math:`A = 5 / (4 \sigma^2)` is the precision along
    the unit vector :math:`(2, 1) / \sqrt 5`.
    """
    thinned = draws[:, :: max(1, draws.shape[1] // 200)]
    gradients = batch_gradients(thinned.reshape(-1, 2))
    noise = (gradients[..., 0] + gradients[..., 1] / 2).var(axis=1).mean()
    mean_square = np.average(step_sizes**2, weights=step_sizes)
    mean = np.average(step_sizes, weights=step_sizes)
    variance = exact["sd of mixture mean"] ** 2
    return (mean_square * noise * (len(ROWS) + 1) / 24 + 5 * mean / 16) / variance


# The two curves


def rejection(position: np.ndarray, step_size: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    r"""Return the probability that a Metropolis test rejects an update, one random batch each.

    .. math::

        1 - \min\left(1, \frac{p(\theta')\, q_i(\theta \mid \theta')}
            {p(\theta)\, q_i(\theta' \mid \theta)}\right), \qquad
        q_i(\theta' \mid \theta) = N(\theta + \tfrac{\varepsilon}{2} \hat g_i(\theta), \varepsilon)

    with the full posterior p and the gradient estimate of the same row i in both directions. The
    paper does not say which proposal density it uses. This is the one that makes the test exact:
    the row is drawn whatever the position is, and given the row the update is a Langevin proposal
    with a known density, so that the accepted chain has the posterior as its stationary law.

    Parameters
    ----------
    position : ndarray, shape (k, 2)
    step_size : ndarray, shape (k,)
    rng : Generator
    """
    row = ROWS[rng.integers(len(ROWS), size=len(position))]
    half_step = step_size[:, None] / 2

    def drift(at: np.ndarray) -> np.ndarray:
        return half_step * (len(ROWS) * row_gradient(at, row) - at / PRIOR_VARIANCE)

    noise = np.sqrt(step_size)[:, None] * rng.standard_normal(position.shape)
    proposed = position + drift(position) + noise
    forward = (noise**2).sum(-1)
    backward = ((position - proposed - drift(proposed)) ** 2).sum(-1)
    log_ratio = log_density(proposed) - log_density(position)
    log_ratio += (forward - backward) / (2 * step_size)
    return -np.expm1(np.minimum(log_ratio, 0))


def curves(
    draws: np.ndarray, step_sizes: np.ndarray, bins: int = 24, repeats: int = 8, seed: int = 1
) -> pd.DataFrame:
    r"""Return averages over the positions of the chains while a range of step sizes was in force.

    The columns: the step size, which is the variance of the injected noise; ``noise of theta1``
    and ``noise of theta2``, the variance of :math:`(\varepsilon / 2) \hat g` over the 100 batches
    of one row, exactly; ``rejection``, of ``repeats`` proposals a position; and its limit for small
    steps ``limit``, :math:`\sqrt{\varepsilon / 2 \pi}` times the mean of :math:`\|\hat g - g\|`
    (then the log of the ratio is normal with mean 0 and variance
    :math:`\varepsilon \|\hat g - g\|^2`).
    """
    rng = np.random.default_rng(seed)
    edges = np.geomspace(step_sizes.max(), step_sizes.min(), bins + 1)
    rows = []
    for upper, lower in pairwise(edges):
        inside = (step_sizes <= upper) & (step_sizes >= lower)
        positions = draws[:, inside].reshape(-1, 2)
        step_size = np.tile(step_sizes[inside], len(draws))
        gradients = batch_gradients(positions)
        noise = gradients - gradients.mean(axis=1, keepdims=True)
        variance = (step_size[:, None] ** 2 / 4 * (noise**2).mean(axis=1)).mean(axis=0)
        length = np.linalg.norm(noise, axis=-1).mean(axis=1)
        rejected = [rejection(positions, step_size, rng).mean() for _ in range(repeats)]
        rows.append(
            {
                "step size": step_size.mean(),
                "noise of theta1": variance[0],
                "noise of theta2": variance[1],
                "rejection": np.mean(rejected),
                "limit": (np.sqrt(step_size / (2 * np.pi)) * length).mean(),
            }
        )
    return pd.DataFrame(rows)


def transition(table: pd.DataFrame, name: str) -> float:
    """Return the step size below which the noise of the gradient stays below the injected noise."""
    ratio = np.log(table[f"noise of {name}"] / table["step size"]).to_numpy()
    log_step = np.log(table["step size"]).to_numpy()
    last = np.flatnonzero(ratio > 0)[-1]
    return float(np.exp(np.interp(0, ratio[[last + 1, last]], log_step[[last + 1, last]])))


# The picture


def plot_posterior(axes, draws: np.ndarray, step_sizes: np.ndarray, grid: Grid) -> None:
    """Plot draws, weighted with the step size, under the contours of the grid posterior."""
    weights = np.broadcast_to(step_sizes, draws.shape[:2]).ravel()
    count, theta1, theta2 = np.histogram2d(
        *draws.reshape(-1, 2).T, bins=(100, 140), range=[[-1.2, 2.7], [-3, 3]], weights=weights
    )
    count /= weights.sum() * np.diff(theta1)[0] * np.diff(theta2)[0]
    mesh = axes.pcolormesh(theta1, theta2, count.T, cmap="Blues", rasterized=True)
    axes.figure.colorbar(mesh, ax=axes, label="density of the draws", fraction=0.05, pad=0.03)
    ordered = np.sort(grid.mass.ravel())
    levels = [ordered[np.searchsorted(np.cumsum(ordered), 1 - p)] for p in (0.95, 0.8, 0.5)]
    axes.contour(grid.theta1, grid.theta2, grid.mass.T, levels, colors=RED, linewidths=1.3)
    line = Line2D([], [], color=RED, label="grid: 50, 80, 95 % of the mass")
    axes.legend(handles=[line], loc="upper right")
    axes.set(
        xlim=(-1.2, 2.7),
        ylim=(-3, 3),
        xlabel=r"$\theta_1$",
        ylabel=r"$\theta_2$",
        title="Both modes, batches of one row",
    )


def _mark_first_run(axes) -> None:
    axes.axvspan(1e-4, 1e-2, color="0.92", zorder=0, label="steps of the first run")
    axes.set_xlim(8e-9, 1.6e-2)


def plot_noise(axes, table: pd.DataFrame) -> None:
    """Plot the variances of the two noises against the step size."""
    _mark_first_run(axes)
    step_size = table["step size"]
    axes.loglog(step_size, step_size, "k--", label=r"injected noise, $\varepsilon$")
    for name, color, marker, label in (
        ("theta1", BLUE, "o", r"gradient noise of $\theta_1$"),
        ("theta2", ORANGE, "s", r"gradient noise of $\theta_2$"),
    ):
        axes.loglog(
            step_size, table[f"noise of {name}"], marker, color=color, ls="-", ms=4, label=label
        )
        axes.axvline(transition(table, name), color=color, lw=1, ls=":")
    place = {"transform": axes.get_xaxis_transform(), "rotation": 90, "va": "bottom"}
    axes.text(transition(table, "theta1") / 1.2, 0.04, "Langevin dynamics", ha="right", **place)
    axes.text(transition(table, "theta2") * 1.2, 0.04, "optimisation", ha="left", **place)
    axes.legend(loc="upper left")
    axes.set(
        xlabel=r"step size $\varepsilon$",
        ylabel="variance of the noise in an update",
        title="Two phases",
    )


def plot_rejection(axes, table: pd.DataFrame) -> None:
    """Plot the average probability of rejection against the step size."""
    _mark_first_run(axes)
    axes.loglog(
        table["step size"],
        table["rejection"],
        "o-",
        color=BLUE,
        ms=4,
        label="average over the chain",
    )
    axes.loglog(
        table["step size"],
        table["limit"].where(table["limit"] < 1),
        "k--",
        label=r"$\sqrt{\varepsilon / 2\pi}\; E\|\hat{g} - g\|$",
    )
    axes.legend(loc="upper left")
    axes.set(
        ylim=(1e-3, 2),
        xlabel=r"step size $\varepsilon$",
        ylabel="probability that a Metropolis test rejects",
        title="Rejections vanish with the step size",
    )


def plot(path: Path, draws: np.ndarray, step_sizes: np.ndarray, grid: Grid, table) -> None:
    """Save the picture."""
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.8), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12)
    plot_posterior(axes[0], draws, step_sizes, grid)
    plot_noise(axes[1], table)
    plot_rejection(axes[2], table)
    path.parent.mkdir(exist_ok=True, parents=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


# The report


def settled(draws: np.ndarray, step_sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return draws and step sizes without those of the first updates."""
    first = int(LEFT_OUT * len(step_sizes))
    return draws[:, first:], step_sizes[first:]


def report(table: pd.DataFrame, moves: np.ndarray, inflation: float) -> None:
    """Print the estimates beside the exact values."""
    print("\nSGLD, weighted with the step size, against the sum over the grid")
    print(table.to_string(float_format="{:.4f}".format))
    spread = table.loc["sd of mixture mean"]
    ratio, error = spread["SGLD"] / spread["grid"], spread["standard error"] / spread["grid"]
    print(f"\nMoves between the modes: {moves.min()} to {moves.max()} a chain.")
    print(
        "The last steps are not infinitely small: to first order, theory expects the sd of the\n"
        f"mixture mean to be {100 * (np.sqrt(1 + inflation) - 1):.1f} % too large. It is found "
        f"{100 * (ratio - 1):.1f} % too large, with a standard error of {100 * error:.1f} %.\n"
        "(The mixture mean is the same in both modes, so it is known far better than the rest.)"
    )


def report_curves(table: pd.DataFrame) -> None:
    """Print the two curves."""
    print("\nVariances of the noise, and the rejections, against the step size")
    print(table[::3].to_string(index=False, float_format="{:.2e}".format))
    first, second = transition(table, "theta1"), transition(table, "theta2")
    print(
        "\nThe noise of the gradient falls below the injected noise at a step size of\n"
        f"{first:.1e} (theta1), {second:.1e} (theta2)."
    )
    largest, last, smallest = (_near(table, step_size) for step_size in (1e-2, 1e-4, 1e-8))
    print(
        f"A Metropolis test would have rejected {100 * largest:.0f} % of the updates at the\n"
        f"largest steps, {100 * last:.0f} % near 1e-4 and {100 * smallest:.1f} % at the smallest."
    )


def _near(table: pd.DataFrame, step_size: float) -> float:
    return float(table["rejection"][abs(np.log(table["step size"] / step_size)).idxmin()])


def main(chains: int = 8, seed: int = 2011, path: Path | None = None, **settings) -> dict:
    """Run the example and return what it found; ``settings`` go to ``pm.sample``."""
    settings = {"cores": 2} | settings
    say("Summing the posterior over a grid.")
    grid = grid_posterior()
    exact = exact_summary(grid)
    say(f"Compiling SGLD, then {chains} chains of {UPDATES:,} updates with the paper's schedule.")
    run = sample(paper_schedule(), chains=chains, random_seed=seed, **settings)
    draws, step_sizes = settled(*run)
    table = weighted_summary(draws, step_sizes)
    table.insert(0, "grid", exact)
    table["errors off"] = (table["SGLD"] - table["grid"]) / table["standard error"]
    moves = count_moves(draws[..., 1])
    inflation = expected_inflation(step_sizes, draws, exact)
    report(table, moves, inflation)
    say("Two chains with step sizes from 1e-2 to 1e-8, for the two curves.")
    wide = curves(*sample(Exponential(), chains=2, random_seed=seed + 1, **settings))
    report_curves(wide)
    path = FOLDER / "output" / "welling_teh.png" if path is None else path
    plot(path, draws, step_sizes, grid, wide)
    say(f"The posterior, the two phases and the rejections: {path}")
    return {"table": table, "moves": moves, "inflation": inflation, "curves": wide}


if __name__ == "__main__":
    main()
