"""BlackJAX's SGLD in ``lax.scan``: log densities in JAX, rows that it reads by two ways.

Random rows are drawn and gathered at every update, as its users write it. Contiguous blocks are
what this package reads too.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import blackjax
import jax
import jax.numpy as jnp
import numpy as np

from speed.models import Problem
from speed.peers import Sampler

# of one thread, as everything else; JAX reads it when it is first used
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"


def _logistic_prior(p):
    return -0.5 * jnp.sum(p["beta"] ** 2)


def _logistic(p, row):
    x, y = row
    eta = x @ p["beta"]
    return y * eta - jnp.logaddexp(0.0, eta)


def _hierarchical_prior(p):
    spread, noise = jnp.exp(p["log_spread"]), jnp.exp(p["log_noise"])
    scales = p["log_spread"] + p["log_noise"] - 0.5 * (spread**2 + noise**2)
    intercept = -0.5 * jnp.sum((p["intercept"] / spread) ** 2) - 400 * p["log_spread"]
    return scales + intercept - 0.5 * jnp.sum(p["beta"] ** 2)


def _hierarchical(p, row):
    x, group, outcome = row
    error = (outcome - p["intercept"][group] - x @ p["beta"]) / jnp.exp(p["log_noise"])
    return -0.5 * error**2 - p["log_noise"]


def _network_prior(p):
    return -0.5 * sum(jnp.sum(part**2) for part in p.values()) / 0.1**2


def _network(p, row):
    x, label = row
    hidden = jnp.tanh(x @ p["first"] + p["first_bias"])
    return jax.nn.log_softmax(hidden @ p["second"] + p["second_bias"])[label]


DENSITIES = {
    "logistic": (_logistic_prior, _logistic),
    "hierarchical": (_hierarchical_prior, _hierarchical),
    "network": (_network_prior, _network),
}


def samplers(problem: Problem, batch_size: int) -> dict[str, Sampler]:
    """Return the samplers of both ways to read rows."""
    in_double = problem.dtype == "float64"  # other code in this process may change it
    jax.config.update("jax_enable_x64", in_double)
    data, rows = tuple(jnp.asarray(array) for array in problem.data), problem.rows
    estimate = blackjax.sgmcmc.gradients.grad_estimator(*DENSITIES[problem.name], rows)
    sgld = blackjax.sgld(estimate)

    def random_rows(key, data):
        picked = jax.random.randint(key, (batch_size,), 0, rows)
        return tuple(array[picked] for array in data)

    def block(key, data):
        start = jax.random.randint(key, (), 0, rows // batch_size) * batch_size
        return tuple(jax.lax.dynamic_slice_in_dim(array, start, batch_size) for array in data)

    def split(position: np.ndarray) -> dict:
        return {name: jnp.asarray(part) for name, part in problem.split(position).items()}

    def gradient(position: np.ndarray) -> np.ndarray:
        with jax.enable_x64(in_double):
            return flat(jax.jit(estimate)(split(position), data), problem)

    def sampler(read: Callable, seed: int) -> Sampler:
        @jax.jit
        def scan(key, position, data, step_size):
            def update(position, key):
                row_key, noise_key = jax.random.split(key)
                # its step size h is half of ours: drift h, noise variance 2 h
                new = sgld.step(noise_key, position, read(row_key, data), step_size / 2)
                return new, None

            return jax.lax.scan(update, position, jax.random.split(key, problem.updates))[0]

        keys = iter(jax.random.split(jax.random.key(seed), 10_000))

        def run(position: np.ndarray, step_size: float) -> np.ndarray:
            with jax.enable_x64(in_double):
                size = jnp.asarray(step_size, problem.dtype)
                return flat(scan(next(keys), split(position), data, size), problem)

        return Sampler(run, gradient)

    return {
        "BlackJAX, random rows": sampler(random_rows, 0),
        "BlackJAX, contiguous blocks": sampler(block, 1),
    }


def flat(parts: dict, problem: Problem) -> np.ndarray:
    """Return a position; the order of JAX's dictionaries is another."""
    return np.concatenate([np.ravel(parts[name]) for name in problem.shapes])
