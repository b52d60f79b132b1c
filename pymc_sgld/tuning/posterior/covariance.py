r"""How wide a Gaussian is: a full precision matrix, or a diagonal and the directions it misses.

A full matrix costs :math:`d` products with a Hessian to find and :math:`d^2` numbers at every
update. With very many coordinates that is most of the time, and a diagonal with a few directions
along which the posterior is far wider or narrower serves as well: the hyperparameters that many
group effects share, for instance.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import scipy

from pymc_sgld.preconditioners import Diagonal, LowRank, Preconditioner, laplace
from pymc_sgld.tuning.posterior.curvature import Curvature

FULL_SIZE = 500  # coordinates up to which the matrix is full
_PRODUCTS = 60  # with a Hessian, to find the directions
_PROBES = 6  # of the diagonal, to begin with, three times
_PLACES = 4  # of the Gaussian, where the curvature is averaged
_STANDS_OUT = 1.3  # by which factor a direction is wider or narrower than the diagonal has it
_FLOOR = 1e-10  # least eigenvalue of a precision matrix, relative to the greatest
_SEED = 20190704  # fixed: what is found is a property of the model, not of a chain


class Full:
    """A Gaussian of any covariance ``W W'``."""

    def __init__(self, precision: np.ndarray) -> None:
        self.precision = precision
        self.whitener = np.linalg.inv(self._factor).T

    @cached_property
    def _factor(self) -> np.ndarray:
        return np.linalg.cholesky(self.precision)

    @classmethod
    def at(cls, curvature: Curvature, position: np.ndarray) -> Full:
        """Return the shape of Laplace's approximation; negative curvature changes its sign."""
        return cls(_positive(curvature.matrix(position)))

    def unwhiten(self, z: np.ndarray) -> np.ndarray:
        """Return displacements of that covariance, ``W z`` for rows of standard normal numbers."""
        return z @ self.whitener.T

    def whiten_gradient(self, gradients: np.ndarray) -> np.ndarray:
        """Return gradients by the coordinates ``z``, ``W' g``, row by row."""
        return gradients @ self.whitener

    def whiten(self, displacement: np.ndarray) -> np.ndarray:
        """Return the ``z`` that a displacement belongs to, ``W^-1 x``."""
        return self._factor.T @ displacement

    @property
    def variances(self) -> np.ndarray:
        """The diagonal of the covariance."""
        return (self.whitener**2).sum(axis=1)

    @property
    def half_log_determinant(self) -> float:
        """Logarithm of the determinant of the covariance, halved: that of ``W``."""
        return float(np.linalg.slogdet(self.whitener)[1])

    def narrower(self) -> Full:
        """Return twice the precision."""
        return Full(2 * self.precision)

    def updated(self, bend: np.ndarray) -> Full:
        """Return more precision along each ``z``, by a share: ``W'^-1 (I + D) W^-1``."""
        return Full((self._factor * (1 + bend)) @ self._factor.T)

    def rescaled(
        self, curvature: Curvature, position: np.ndarray, rate: float, rng: np.random.Generator
    ) -> Full:
        r"""Return :math:`P^{1/2} (I + \rho X + \rho^2 X^2 / 2) P^{1/2}`, X the difference.

        Lin, Schmidt and Khan (2020), Handling the positive-definite constraint in the Bayesian
        learning rule, equation 9.
        """
        new = curvature.matrix(position, 1 / np.sqrt(np.diag(self.precision)))
        if not np.isfinite(new).all():
            return self
        difference = rate * (new - self.precision)
        half = self.whitener.T @ difference
        turned = self.precision + difference + half.T @ half / 2
        turned = (turned + turned.T) / 2
        try:
            return Full(turned)
        except np.linalg.LinAlgError:  # by rounding
            return Full(_positive(turned))

    def aligned(self, curvature: Curvature, mean: np.ndarray) -> Full:
        """Return the shape as it is: it has all directions."""
        return self

    def preconditioner(self, name: str, dtype: Any) -> Preconditioner:
        """Return a dense matrix, or a diagonal."""
        return laplace(name, self.precision, dtype)


class Stretched:
    """A Gaussian whose covariance is a diagonal, stretched along some directions: as `Full`.

    Parameters
    ----------
    precisions : ndarray, shape (d,)
        Of each coordinate given the others: the diagonal of the precision matrix.
    directions : ndarray, shape (d, r)
        Orthonormal, in units of that diagonal.
    rates : ndarray, shape (r,)
        Precision along them, in the same units.
    """

    def __init__(self, precisions: np.ndarray, directions: np.ndarray, rates: np.ndarray) -> None:
        self.precisions, self.directions, self.rates = precisions, directions, rates
        self.covariance = LowRank(precisions**-0.5, directions, 1 / rates)

    @classmethod
    def at(cls, curvature: Curvature, position: np.ndarray) -> Stretched:
        """Return the shape at a point, its diagonal by Hutchinson's estimate."""
        rng = np.random.default_rng(_SEED)
        precisions = np.ones(len(position))
        for _ in range(3):  # coordinates of similar scale disturb each other least
            probes = rng.choice([-1.0, 1.0], size=(_PROBES, len(position))) / np.sqrt(precisions)
            estimates = [probe * curvature.product(position, probe) for probe in probes]
            relative = np.abs(np.mean(estimates, axis=0))
            precisions = precisions * np.maximum(relative, 1e-3 * np.median(relative) + 1e-300)
        alone = cls(precisions, np.zeros((len(position), 0)), np.zeros(0))
        return alone.aligned(curvature, position)

    def aligned(self, curvature: Curvature, mean: np.ndarray) -> Stretched:
        """Return the directions in which the average curvature is not the diagonal."""
        values, vectors = self.spectrum(curvature, mean, Diagonal(1 / self.precisions))
        rates = np.maximum(np.abs(values), 1e-6)
        far = np.abs(np.log(rates)) > np.log(_STANDS_OUT)
        return Stretched(self.precisions, vectors[:, far], rates[far])

    def spectrum(
        self, curvature: Curvature, mean: np.ndarray, preconditioner: Preconditioner
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return eigenvalues and vectors of ``L' P L``, the extreme ones first of all.

        ``P`` is the average curvature at some places that this shape has around a mean.
        """
        z = np.random.default_rng(_SEED).standard_normal((_PLACES // 2, len(mean)))
        places = mean + np.concatenate([self.unwhiten(z), self.unwhiten(-z)])

        def product(vector: np.ndarray) -> np.ndarray:
            along = preconditioner.factor(vector[None])[0]
            found = [curvature.product(place, along) for place in places]
            return preconditioner.whiten_gradient(np.mean(found, axis=0)[None])[0]

        return lanczos(product, len(mean), _PRODUCTS)

    def unwhiten(self, z: np.ndarray) -> np.ndarray:
        """Return ``L z``."""
        return self.covariance.factor(z)

    def whiten_gradient(self, gradients: np.ndarray) -> np.ndarray:
        """Return ``L' g``."""
        return self.covariance.whiten_gradient(gradients)

    def whiten(self, displacement: np.ndarray) -> np.ndarray:
        """Return ``L^-1 x``."""
        scaled = displacement * self.precisions**0.5
        return scaled + self.directions @ ((self.rates**0.5 - 1) * (self.directions.T @ scaled))

    @property
    def variances(self) -> np.ndarray:
        """The diagonal of the covariance."""
        return self.covariance.diagonal

    @property
    def half_log_determinant(self) -> float:
        """Logarithm of the determinant of ``L``."""
        return float(-np.log(self.precisions).sum() - np.log(self.rates).sum()) / 2

    def narrower(self) -> Stretched:
        """Return twice the precision."""
        return Stretched(2 * self.precisions, self.directions, self.rates)

    def updated(self, bend: np.ndarray) -> Stretched:
        """Return the same directions with another diagonal."""
        return Stretched(self.precisions * (1 + bend), self.directions, self.rates)

    def rescaled(
        self, curvature: Curvature, position: np.ndarray, rate: float, rng: np.random.Generator
    ) -> Stretched:
        """Return the same directions with a diagonal that is nearer to that of the curvature."""
        probe = rng.choice([-1.0, 1.0], size=len(position)) / np.sqrt(self.precisions)
        difference = rate * (probe * curvature.product(position, probe) - 1)
        if not np.isfinite(difference).all():
            return self
        difference = np.clip(difference, -1, 1)
        turned = self.precisions * (1 + difference + difference**2 / 2)
        return Stretched(turned, self.directions, self.rates)

    def preconditioner(self, name: str, dtype: Any) -> Preconditioner:
        """Return the covariance, or the diagonal without the directions."""
        if name == "laplace_diagonal":
            return Diagonal((1 / self.precisions).astype(dtype), name)
        return self.covariance.astype(dtype)


Shape = Full | Stretched
"""The covariance of a Gaussian."""


def lanczos(
    product: Callable[[np.ndarray], np.ndarray], size: int, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return Ritz values, shape (k,), and vectors, shape (size, k), of a symmetric matrix.

    The extreme ones are eigenvalues first, after fewer products than the matrix has rows. Golub
    and Van Loan (2013), Matrix Computations, section 10.1; with full reorthogonalization.
    """
    rng = np.random.default_rng(_SEED)
    most = min(most, size)
    basis = np.zeros((size, most))
    diagonal, beside = np.zeros(most), np.zeros(most)
    vector = rng.standard_normal(size)
    for k in range(most):
        norm = np.linalg.norm(vector)
        if k:
            beside[k - 1] = norm
        if not norm > 1e-10 * np.abs(diagonal).max(initial=1e-300):
            most = k
            break
        basis[:, k] = vector / norm
        vector = product(basis[:, k])
        diagonal[k] = basis[:, k] @ vector
        for _ in range(2):
            vector = vector - basis[:, : k + 1] @ (basis[:, : k + 1].T @ vector)
    values, turn = scipy.linalg.eigh_tridiagonal(diagonal[:most], beside[: most - 1])
    return values, basis[:, :most] @ turn


def _positive(precision: np.ndarray) -> np.ndarray:
    """Return a positive definite matrix: negative eigenvalues change their sign."""
    size = np.sqrt(np.abs(np.diag(precision)))
    scale = np.outer(*2 * [np.where(size > 0, size, 1.0)])  # columns may differ by many powers
    values, vectors = np.linalg.eigh((precision + precision.T) / 2 / scale)
    values = np.maximum(np.abs(values), _FLOOR * np.abs(values).max() + np.finfo(float).tiny)
    return (vectors * values) @ vectors.T * scale
