"""SGLD of ``posteriors``: a log posterior in PyTorch, and a Python loop around its update.

Batches are contiguous blocks, the cheapest that a loader could give it.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch.nn.functional import log_softmax, softplus

from speed.models import Problem
from speed.peers import Sampler

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # of what it imports
    import posteriors


def _logistic(p, batch):
    X, y = batch
    eta = X @ p["beta"]
    return -0.5 * (p["beta"] ** 2).sum(), y * eta - softplus(eta)


def _hierarchical(p, batch):
    X, group, outcome = batch
    spread, noise = p["log_spread"].exp(), p["log_noise"].exp()
    prior = p["log_spread"] + p["log_noise"] - 0.5 * (spread**2 + noise**2)
    prior = prior - 0.5 * ((p["intercept"] / spread) ** 2).sum() - 400 * p["log_spread"]
    error = (outcome - p["intercept"][group] - X @ p["beta"]) / noise
    return prior - 0.5 * (p["beta"] ** 2).sum(), -0.5 * error**2 - p["log_noise"]


def _network(p, batch):
    X, label = batch
    hidden = torch.tanh(X @ p["first"] + p["first_bias"])
    log_p = log_softmax(hidden @ p["second"] + p["second_bias"], dim=1)
    prior = -0.5 * sum((part**2).sum() for part in p.values()) / 0.1**2
    return prior, log_p.gather(1, label[:, None])[:, 0]


DENSITIES = {"logistic": _logistic, "hierarchical": _hierarchical, "network": _network}


def samplers(problem: Problem, batch_size: int) -> dict[str, Sampler]:
    """Return the sampler, in eager mode and on one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = tuple(torch.from_numpy(array) for array in problem.data)
    blocks, rng = problem.rows // batch_size, np.random.default_rng(0)

    def log_posterior(p, batch):
        prior, of_rows = DENSITIES[problem.name](p, batch)
        return prior + problem.rows / len(of_rows) * of_rows.sum(), torch.empty(0)

    def split(position: np.ndarray) -> dict[str, torch.Tensor]:
        return {n: torch.from_numpy(part.copy()) for n, part in problem.split(position).items()}

    def flat(parts: dict[str, torch.Tensor]) -> np.ndarray:
        return np.concatenate([parts[name].numpy().ravel() for name in problem.shapes])

    def gradient(position: np.ndarray) -> np.ndarray:
        return flat(torch.func.grad(log_posterior, has_aux=True)(split(position), data)[0])

    def run(position: np.ndarray, step_size: float) -> np.ndarray:
        # its learning rate is half of our step size: drift lr, noise variance 2 lr
        sgld = posteriors.sgmcmc.sgld.build(log_posterior, lr=step_size / 2)
        state = sgld.init(split(position))
        for start in rng.integers(blocks, size=problem.updates) * batch_size:
            batch = tuple(array[start : start + batch_size] for array in data)
            state, _ = sgld.update(state, batch)
        return flat(state.params)

    return {"posteriors (PyTorch)": Sampler(run, gradient)}
