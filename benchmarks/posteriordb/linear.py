"""Linear regressions of posteriordb, whose means and standard deviations follow by quadrature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from scipy.linalg import solve_triangular

Data = Mapping[str, np.ndarray]

NODES, WIDTH = 801, 14.0  # of the quadrature over log(sigma), in its standard deviations


@dataclass(frozen=True)
class Linear:
    """Normal outcomes whose mean is linear in coefficients: ``y ~ N(sum(columns @ b), sigma)``.

    A coefficient without a prior has a flat one. ``sigma`` has a flat prior on the positive numbers
    or, with a scale, a half-normal, a half-Cauchy or a half-Student distribution of that scale;
    ``freedom`` are its degrees of freedom.
    """

    outcome: np.ndarray
    columns: Mapping[str, np.ndarray]  # of each variable: shape (rows,) for a scalar
    priors: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # mean, sd
    scale: float = np.inf
    freedom: float = np.inf
    sigma: str = "sigma"

    def model(self) -> tuple[pm.Model, list[str]]:
        """Return the model and the names of its parameters."""
        with pm.Model() as model:
            expected: object = 0.0
            for name, columns in self.columns.items():
                size = {} if columns.ndim == 1 else {"shape": columns.shape[1]}
                if name in self.priors:
                    coefficients = pm.Normal(name, *self.priors[name], **size)
                else:
                    coefficients = pm.Flat(name, **size)
                scalar = columns.ndim == 1
                expected += columns * coefficients if scalar else pt.dot(columns, coefficients)
            pm.Normal("y", expected, self._sigma(), observed=self.outcome)
        return model, [*self.columns, self.sigma]

    def _sigma(self) -> pt.TensorVariable:
        if np.isinf(self.scale):
            return pm.HalfFlat(self.sigma)
        if np.isinf(self.freedom):
            return pm.HalfNormal(self.sigma, self.scale)
        if self.freedom == 1:
            return pm.HalfCauchy(self.sigma, self.scale)
        return pm.HalfStudentT(self.sigma, nu=self.freedom, sigma=self.scale)

    def _log_prior(self, sigma: float) -> float:
        if np.isinf(self.scale):
            return 0.0
        square = (sigma / self.scale) ** 2
        if np.isinf(self.freedom):
            return -square / 2
        return -(self.freedom + 1) / 2 * np.log1p(square / self.freedom)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        r"""Return means and standard deviations of all parameters.

        Given sigma, coefficients are normal with the precision
        :math:`X^T X / \sigma^2 + \mathrm{diag}(\tau)`. What is left is an integral over
        :math:`\log \sigma`, by the trapezoidal rule.
        """
        design = np.column_stack(list(self.columns.values()))
        sizes = [1 if c.ndim == 1 else c.shape[1] for c in self.columns.values()]
        priors = [self.priors.get(name, (0.0, np.inf)) for name in self.columns]
        center, sd = np.repeat(np.array(priors, dtype=float), sizes, axis=0).T
        triangular = np.linalg.qr(np.column_stack([design, self.outcome]), mode="r")
        size, rows = design.shape[1], len(self.outcome)
        of_columns, of_outcome = triangular[:size, :size], triangular[:size, size]
        left = triangular[size, size] ** 2

        def given(log_sigma: float) -> tuple[float, np.ndarray, np.ndarray]:
            """Return the log density, and the means and variances of the coefficients."""
            sigma = np.exp(log_sigma)
            stacked = np.vstack([of_columns / sigma, np.diag(1 / sd)])
            target = np.concatenate([of_outcome / sigma, center / sd])
            orthogonal, factor = np.linalg.qr(stacked)
            mean = solve_triangular(factor, orthogonal.T @ target)
            inverse = solve_triangular(factor, np.eye(size))
            squares = ((target - stacked @ mean) ** 2).sum() + left / sigma**2
            log_determinant = np.log(np.abs(np.diag(factor))).sum()
            density = -squares / 2 - log_determinant - (rows - 1) * log_sigma
            return density + self._log_prior(sigma), mean, (inverse**2).sum(axis=1)

        middle, spread = np.log(left / rows) / 2, 1 / np.sqrt(2 * max(rows - size, 1))
        nodes = middle + spread * np.linspace(-WIDTH, WIDTH, NODES)
        found = [given(node) for node in nodes]
        logs = np.array([density for density, _, _ in found])
        weights = np.exp(logs - logs.max())
        weights /= weights.sum()
        means, variances = (np.array([each[k] for each in found]) for k in (1, 2))
        sigmas = np.exp(nodes)
        mean = np.append(weights @ means, weights @ sigmas)
        of_means = (means - mean[:-1]) ** 2
        variance = np.append(weights @ (variances + of_means), weights @ (sigmas - mean[-1]) ** 2)
        return mean, np.sqrt(variance)


def beta(outcome: np.ndarray, *columns: np.ndarray, **settings) -> Linear:
    """Return a regression with an intercept, all coefficients in one vector."""
    design = np.column_stack([np.ones(len(outcome)), *columns]).astype(float)
    return Linear(np.asarray(outcome, dtype=float), {"beta": design}, **settings)


def _centered(values: np.ndarray) -> np.ndarray:
    return values - values.mean()


def earnings(log: Callable | None, *columns: str, standard: bool = False) -> Callable:
    """Return the regression of earnings, or of a logarithm of them, on columns."""

    def build(data: Data) -> Linear:
        height = data["height"]
        if standard:
            height = _centered(height) / height.std(ddof=1)
        have = {
            "height": height,
            "log_height": np.log(data["height"]),
            "male": data["male"],
            "both": height * data["male"],
        }
        outcome = log(data["earn"]) if log else data["earn"]
        return beta(outcome, *(have[name] for name in columns))

    return build


CAUCHY = {"scale": 2.5, "freedom": 1}


def kidscore(*columns: str, prepare: Callable = lambda values, _: values, **settings) -> Callable:
    """Return the regression of test scores on columns, which are prepared with a reference."""

    def build(data: Data) -> Linear:
        school, score = prepare(data["mom_hs"], 0.5), prepare(data["mom_iq"], 100)
        have = {"mom_hs": school, "mom_iq": score, "both": school * score}
        return beta(data["kid_score"], *(have[name] for name in columns), **settings)

    return build


def mom_work(data: Data) -> Linear:
    """Test scores on four kinds of the mother's work."""
    return beta(data["kid_score"], *(data["mom_work"] == kind for kind in (2, 3, 4)))


def nes(data: Data) -> Linear:
    """Party identification in an election study."""
    ages = [data["age_discrete"] == age for age in (2, 3, 4)]
    others = [data[name] for name in ("educ1", "gender", "income")]
    return beta(data["partyid7"], data["real_ideo"], data["race_adj"], *ages, *others)


def mesquite(data: Data) -> Linear:
    """Weights of bushes on their sizes."""
    names = ("diam1", "diam2", "canopy_height", "total_height", "density", "group")
    return beta(data["weight"], *(data[name] for name in names))


def logmesquite(*columns: str) -> Callable:
    """Return the regression of log weights on logarithms of sizes."""

    def build(data: Data) -> Linear:
        logs = {name: np.log(data[name]) for name in data if name not in ("N", "group")}
        area = logs["diam1"] + logs["diam2"]
        have = logs | {
            "volume": area + logs["canopy_height"],
            "area": area,
            "shape": logs["diam1"] - logs["diam2"],
            "group": data["group"],
        }
        return beta(logs["weight"], *(have[name] for name in columns))

    return build


def kilpisjarvi(data: Data) -> Linear:
    """Summer temperatures on the year, which is not centered."""
    columns = {"alpha": np.ones(len(data["x"])), "beta": data["x"].astype(float)}
    priors = {name: (float(data[f"pmu{name}"]), float(data[f"ps{name}"])) for name in columns}
    return Linear(data["y"].astype(float), columns, priors)


def radon_pooled(data: Data) -> Linear:
    """Radon on the floor."""
    columns = {
        "alpha": np.ones(len(data["log_radon"])),
        "beta": data["floor_measure"].astype(float),
    }
    priors = {"alpha": (0.0, 10.0), "beta": (0.0, 10.0)}
    return Linear(data["log_radon"], columns, priors, scale=1.0, sigma="sigma_y")


def blr(data: Data) -> Linear:
    """A regression with priors of width 10."""
    return Linear(data["y"], {"beta": data["X"].astype(float)}, {"beta": (0.0, 10.0)}, scale=10.0)


def sesame(data: Data) -> Linear:
    """Who watched a programme, on who was encouraged to."""
    return beta(data["watched"], data["encouraged"])


def autoregression(data: Data) -> Linear:
    """A time series on its own past: given the past, steps are independent rows."""
    order, series = int(data["K"]), data["y"].astype(float)
    steps = len(series) - order
    past = [series[order - lag : order - lag + steps] for lag in range(1, order + 1)]
    columns = {"alpha": np.ones(steps), "beta": np.column_stack(past)}
    priors = {"alpha": (0.0, 10.0), "beta": (0.0, 10.0)}
    return Linear(series[order:], columns, priors, **CAUCHY)
