"""Evaluate the graphs of a log density in tests, without machine code."""

from itertools import product

import numpy as np
import pytensor
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.xtensor.type import XTensorType
from scipy.special import logsumexp

from pymc_sgld.batching.epochs import make_order
from pymc_sgld.compiled.updates import Plan, Updates
from pymc_sgld.dynamics.euler_maruyama import EulerMaruyama
from pymc_sgld.gradients.minibatch import minibatch
from pymc_sgld.minibatch.model import Minibatcher
from pymc_sgld.preconditioners import Identity
from pymc_sgld.sources.bind import bind
from tests.zoo.data import ROWS

SIZES = (1, 4)
TEXTBOOK = {"gradient": "minibatch", "preconditioner": "identity"}  # and a step size
QUICK = TEXTBOOK | {"compile_kwargs": {"mode": "FAST_COMPILE"}}


class Twice(Op):
    """An operation of a user, which only Python runs."""

    __props__ = ()

    def make_node(self, x):
        return Apply(self, [x], [x.type()])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = 2 * inputs[0]


def log_density(model, vars, point, batch_size=None, **settings):
    """Return the log density of a model for batches of a size."""
    return Minibatcher(model, vars, point, **settings).density(batch_size)


def random_point(model, seed=3):
    """Return a point near the model's initial point."""
    rng = np.random.default_rng(seed)
    return {
        name: np.asarray(value + 0.1 * rng.normal(size=np.shape(value)), dtype=value.dtype)
        for name, value in model.initial_point().items()
    }


def position_of(density, point):
    """Return the position of a point."""
    return np.concatenate([np.ravel(point[c.value_name]) for c in density.coordinates])


def evaluator(density, outputs):
    """Return a function of the position, the other variables and the data."""
    inputs = [density.position, *density.others.values(), *[d.variable for d in density.data]]
    return pytensor.function(inputs, outputs, mode="FAST_COMPILE", on_unused_input="ignore")


def batch(density, rows):
    """Return the data of some rows."""
    return [d.array[rows] if d.by_row else d.array for d in density.data]


def updates_of(model, batch_size, data=None, audit=False, **settings):
    """Return updates of a model."""
    point = model.initial_point()
    rows = Minibatcher(model, model.value_vars, point, sources=bind(data), **settings)
    return updates_with(rows.density(batch_size, audit))


def updates_with(density):
    """Return updates of a density with the minibatch gradient."""
    orders = [
        None if table.full else make_order("reshuffle", table.total_size, table.batch_size)
        for table in density.tables
    ]
    kwargs = {"mode": "FAST_COMPILE"}
    return Updates(density, minibatch(density), EulerMaruyama(), Identity(), 1.0, orders, kwargs)


def mean_gradient(updates, position, number, together=100):
    """Return the mean gradient of so many updates from the first, some of them in a call."""
    sums = np.zeros(len(position))
    for first in range(0, number, together):
        count = min(together, number - first)
        reads = updates.reads(np.random.default_rng(0), 3, first, count)
        plan = Plan(np.full(count, 1e-300), np.zeros((count, updates.normals)), reads, [])
        sums += updates((position,), plan).gradients.sum(axis=0)
    return sums / number


def plain(term):
    """Return a tensor, also of what has named dimensions."""
    return term.values if isinstance(term.type, XTensorType) else term


def log_marginal(model, axes, index, point, line):
    """Return a log density with the effects of groups integrated out, by sums over a grid.

    PyMC evaluates it, at one value of the effects for all groups after the other. Of the groups,
    that is one number each; the rest of the log density is the other result.

    Parameters
    ----------
    axes : dict
        By the name of a variable with effects, where it has the groups.
    index : dict
        By the name of an observed variable, the group of each of its rows.
    line : ndarray
        Evenly spaced values of each effect.
    """
    own = [model[name] for name in axes]
    outcomes = [model[name] for name in index]
    others = {*model.free_RVs, *model.potentials, *model.observed_RVs} - {*own, *outcomes}
    evaluate = model.compile_fn(
        [plain(term) for term in model.logp(vars=[*own, *outcomes, *others], sum=False)],
        inputs=model.value_vars,
        mode="FAST_COMPILE",
        point_fn=True,
        on_unused_input="ignore",
    )
    names = [model.rvs_to_values[variable].name for variable in own]
    first = [np.moveaxis(point[name], a, 0) for name, a in zip(names, axes.values(), strict=True)]
    groups, sizes = len(first[0]), [value[0].size for value in first]
    found = []
    for effects in product(line, repeat=sum(sizes)):
        at = dict(point)
        parts = np.split(np.array(effects), np.cumsum(sizes)[:-1])
        for name, axis, value, part in zip(names, axes.values(), first, parts, strict=True):
            same = np.broadcast_to(part.reshape(value[:1].shape), value.shape)
            at[name] = np.moveaxis(same, 0, axis).astype(point[name].dtype)
        values = iter(evaluate(at))
        total = np.zeros(groups)
        for axis in axes.values():
            total += np.moveaxis(next(values), axis, 0).reshape((groups, -1)).sum(axis=1)
        for of_rows in index.values():
            rows = next(values).reshape((len(of_rows), -1)).sum(axis=1)
            total += np.bincount(of_rows, rows, groups)
        found.append(total)
    rest = sum(float(np.sum(value)) for value in values)
    return logsumexp(found, axis=0) + sum(sizes) * np.log(line[1] - line[0]), rest


def by_group(rows, point):
    """Return the log-likelihood of each group of a minibatcher, and the rest of its density."""
    density = rows.blocks(4096)
    place = position_of(density, point), [point[name] for name in density.others]
    members = {each.name: each.members for each in rows.groups.classes}
    values = np.empty(rows.groups.count)
    rest = float(density.function([density.log_prior])(*place)[0])
    for table in density.tables:
        evaluate = density.function(list(table.likelihoods.values()), table)
        found = evaluate(*place, [item.whole for item in table.data])
        for name, value in zip(table.likelihoods, found, strict=True):
            if name in members:
                values[members[name]] = value
            else:
                rest += float(value.sum())
    return values, rest


def likelihood_of_rows(model, point):
    """Return the log-likelihood of every row, shape (ROWS,), as PyMC computes it."""
    terms = []
    for term in model.logp(vars=model.observed_RVs, sum=False):
        if isinstance(term.type, XTensorType):
            term = term.transpose("row", ...)
        terms.append(plain(term).reshape((ROWS, -1)).sum(axis=1))
    evaluate = model.compile_fn(
        terms,
        inputs=model.value_vars,
        mode="FAST_COMPILE",
        point_fn=True,
        on_unused_input="ignore",
    )
    return np.sum(evaluate(point), axis=0)


def compile_batches(model, sizes=SIZES):
    """Return densities of batches, and functions of their log-likelihood and gradient."""
    rows = Minibatcher(model, model.value_vars, model.initial_point())
    densities = [rows.density(size) for size in sizes]
    return [(d, evaluator(d, [sum(d.log_likelihoods), minibatch(d).gradient])) for d in densities]


def check_rows_and_gradients(model, batches, sizes=SIZES):
    """The batch's log-likelihood is that of its rows; a batch gradient averages to the full one."""
    point = random_point(model)
    full_rows = likelihood_of_rows(model, point)
    full_gradient = model.compile_dlogp(mode="FAST_COMPILE")(point)
    tolerance = 1e-4 if any("float32" in str(value.dtype) for value in point.values()) else 1e-9
    for size, (density, evaluate) in zip(sizes, batches, strict=True):
        position = position_of(density, point)
        gradients = []
        for rows in np.random.default_rng(size).permutation(ROWS).reshape(-1, size):
            likelihood, gradient = evaluate(position, *batch(density, rows))
            np.testing.assert_allclose(likelihood, full_rows[rows].sum(), rtol=tolerance)
            gradients.append(gradient)
        np.testing.assert_allclose(
            np.mean(gradients, axis=0), full_gradient, rtol=tolerance, atol=10 * tolerance
        )


def lengths_in(batches):
    """Return the lengths of all axes of what an update of a batch reads and computes."""
    density, function = batches[-1]
    assert all(len(d.array) == ROWS for d in density.data if d.by_row)
    return {
        length
        for node in function.maker.fgraph.toposort()
        for variable in (*node.inputs, *node.outputs)
        for length in getattr(variable.type, "shape", ())
    }


def check_model(model):
    """Check the rows and gradients of a model, and that an update does not touch all rows."""
    batches = compile_batches(model)
    check_rows_and_gradients(model, batches)
    assert ROWS not in lengths_in(batches)
