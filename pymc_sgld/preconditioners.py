r"""Constant preconditioners :math:`M = L L^\top`: how they multiply gradients and noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
import scipy

from pymc_sgld.equality import Comparable
from pymc_sgld.errors import SettingError

_KEPT, _FLOOR = 0.99, 1e-5  # of an adaptive preconditioner: alpha and lambda


class Preconditioner(Protocol):
    """A positive definite matrix ``M`` with a factor ``L L' = M``.

    ``arrays`` are the numbers that the compiled update needs, given to ``multiply`` in order.
    """

    name: str
    arrays: tuple[np.ndarray, ...]

    def multiply(self, gradient: Any, *arrays: Any) -> Any:
        """Return ``M gradient``, for NumPy arrays or tensors of shape (d,)."""

    def factor(self, noise: np.ndarray) -> np.ndarray:
        """Return ``L z`` for every row ``z`` of ``noise``, shape (k, d)."""

    def dual(self, noise: np.ndarray) -> np.ndarray:
        """Return ``M^-1 L z`` for every row ``z`` of ``noise``, shape (k, d)."""

    def whiten_gradient(self, gradients: np.ndarray) -> np.ndarray:
        """Return ``L' g`` for every row ``g`` of ``gradients``, shape (k, d)."""


class Identity:
    """``M = I``: the textbook update."""

    name = "identity"
    arrays: tuple[np.ndarray, ...] = ()

    def multiply(self, gradient: Any) -> Any:
        """Return the gradient as it is."""
        return gradient

    def factor(self, noise: np.ndarray) -> np.ndarray:
        """Return the noise as it is."""
        return noise

    def dual(self, noise: np.ndarray) -> np.ndarray:
        """Return the noise as it is."""
        return noise

    def whiten_gradient(self, gradients: np.ndarray) -> np.ndarray:
        """Return the gradients as they are."""
        return gradients


class Diagonal:
    """``M = diag(variances)``, ``L`` its square root."""

    def __init__(self, variances: np.ndarray, name: str = "diagonal") -> None:
        self.name = name
        self.arrays: tuple[np.ndarray, ...] = (variances,)
        self._scales = np.sqrt(variances)

    def multiply(self, gradient: Any, variances: Any) -> Any:
        """Return ``variances * gradient``."""
        return variances * gradient

    def factor(self, noise: np.ndarray) -> np.ndarray:
        """Return ``sqrt(variances) * noise``."""
        return noise * self._scales

    def dual(self, noise: np.ndarray) -> np.ndarray:
        """Return ``noise / sqrt(variances)``."""
        return noise / self._scales

    def whiten_gradient(self, gradients: np.ndarray) -> np.ndarray:
        """Return ``sqrt(variances) * gradients``."""
        return gradients * self._scales


class Adaptive(Diagonal, Comparable):
    r"""A diagonal that follows the size of the gradients while a chain tunes.

    .. math::

        v \leftarrow \alpha v + (1 - \alpha)\, \hat g^2, \qquad
        M = \operatorname{diag}\left(\frac{1}{\lambda + \sqrt v}\right)

    with :math:`\alpha = 0.99` an update, and the mean of :math:`\hat g^2` over those of a draw.
    After tuning it stays as it is: an adaptation that goes on would need the derivatives of
    :math:`M`, and without them the draws are biased.

    ``squares``, shape (d,): :math:`v`; None before the first draw, where :math:`M = I`.

    References
    ----------
    Li, Chen, Carlson and Carin (2016), Preconditioned stochastic gradient Langevin dynamics for
    deep neural networks, algorithm 1.
    """

    def __init__(self, squares: np.ndarray | None, size: int, dtype: Any) -> None:
        self.squares, self._size, self._dtype = squares, size, np.dtype(dtype)
        roots = np.ones(size) if squares is None else _FLOOR + np.sqrt(squares)
        super().__init__((1 / roots).astype(dtype), "adaptive")

    def after(self, gradients: np.ndarray) -> Adaptive:
        """Return what it is after a draw with these gradients, shape (k, d)."""
        squares = np.mean(np.square(gradients, dtype=float), axis=0)
        if self.squares is not None:
            kept = _KEPT ** len(gradients)
            squares = kept * self.squares + (1 - kept) * squares
        return Adaptive(squares, self._size, self._dtype)


class Dense:
    """``M`` a full matrix, ``L`` its lower Cholesky factor."""

    def __init__(self, matrix: np.ndarray, cholesky: np.ndarray, name: str = "dense") -> None:
        self.name = name
        self.arrays: tuple[np.ndarray, ...] = (matrix,)
        self._cholesky = cholesky

    def multiply(self, gradient: Any, matrix: Any) -> Any:
        """Return ``matrix @ gradient``."""
        return matrix @ gradient

    def factor(self, noise: np.ndarray) -> np.ndarray:
        """Return ``L z`` for every row ``z``."""
        return noise @ self._cholesky.T

    def dual(self, noise: np.ndarray) -> np.ndarray:
        """Return ``L'^-1 z`` for every row ``z``."""
        return scipy.linalg.solve_triangular(self._cholesky, noise.T, lower=True, trans=1).T

    def whiten_gradient(self, gradients: np.ndarray) -> np.ndarray:
        """Return ``L' g`` for every row ``g``."""
        return gradients @ self._cholesky


class LowRank:
    r"""A diagonal, and some directions in which it is stretched.

    .. math::

        M = S \left(I + U (\Lambda - I) U^\top\right) S, \qquad
        L = S \left(I + U (\Lambda^{1/2} - I) U^\top\right)

    Parameters
    ----------
    scales : ndarray, shape (d,)
        The diagonal of ``S``.
    directions : ndarray, shape (d, r)
        The orthonormal columns of ``U``.
    stretches : ndarray, shape (r,)
        The diagonal of ``Lambda``.
    """

    name = "laplace_low_rank"

    def __init__(self, scales: np.ndarray, directions: np.ndarray, stretches: np.ndarray) -> None:
        directions = np.ascontiguousarray(directions)  # updates read it row by row
        self.arrays: tuple[np.ndarray, ...] = (scales, directions, stretches - 1)
        self._roots = np.sqrt(stretches) - 1

    def multiply(self, gradient: Any, scales: Any, directions: Any, more: Any) -> Any:
        """Return ``M gradient``."""
        scaled = scales * gradient
        return scales * (scaled + directions @ (more * (scaled @ directions)))

    def factor(self, noise: np.ndarray) -> np.ndarray:
        """Return ``L z`` for every row ``z``."""
        return self._stretch(noise) * self.arrays[0]

    def dual(self, noise: np.ndarray) -> np.ndarray:
        """Return ``M^-1 L z`` for every row ``z``."""
        return self._shrink(noise) / self.arrays[0]

    def whiten(self, rows: np.ndarray) -> np.ndarray:
        """Return ``L^-1 x`` for every row ``x`` of ``rows``, shape (k, d)."""
        return self._shrink(rows / self.arrays[0])

    def whiten_gradient(self, gradients: np.ndarray) -> np.ndarray:
        """Return ``L' g`` for every row ``g``."""
        return self._stretch(gradients * self.arrays[0])

    def _stretch(self, rows: np.ndarray) -> np.ndarray:
        directions = self.arrays[1]
        return rows + ((rows @ directions) * self._roots) @ directions.T

    def _shrink(self, rows: np.ndarray) -> np.ndarray:
        directions, shrink = self.arrays[1], 1 / (1 + self._roots) - 1
        return rows + ((rows @ directions) * shrink) @ directions.T

    @property
    def diagonal(self) -> np.ndarray:
        """The diagonal of ``M``, shape (d,)."""
        scales, directions, more = self.arrays
        return scales**2 * (1 + directions**2 @ more)

    def astype(self, dtype: Any) -> LowRank:
        """Return the same in another precision."""
        scales, directions, more = (array.astype(dtype) for array in self.arrays)
        return LowRank(scales, directions, more + 1)


class FisherLowRank(LowRank, Comparable):
    r"""The inverse of a precision, whose diagonal and largest directions gradients tell.

    .. math::

        S^{-2} = \operatorname{diag}(P + s\, \overline{\hat g^2}), \qquad
        s\, \overline{S \hat g \hat g^\top S} \approx U \operatorname{diag}(w)\, U^\top, \qquad
        \Lambda = \operatorname{diag}(1 / w)

    for the :math:`w > 1`, at most so many as there are columns in ``U``. Other columns are zero:
    all chains share compiled code, for arrays of one shape.
    """

    name = "fisher_low_rank"

    @classmethod
    def of(
        cls, variances: np.ndarray, gradients: np.ndarray, share: float, rank: int, dtype: Any
    ) -> FisherLowRank:
        """Return it for gradients of the posterior.

        Parameters
        ----------
        variances : ndarray, shape (d,)
            The diagonal of ``S`` squared.
        gradients : ndarray, shape (k, d)
            Estimates, where the posterior has its mass.
        share : float
            :math:`s`: of the Fisher information in their products.
        rank : int
            Columns of ``U``.
        dtype : dtype-like
        """
        scales = np.sqrt(variances)
        directions, stretches = np.zeros((len(scales), rank)), np.ones(rank)
        if len(gradients):
            scaled = gradients * (scales * np.sqrt(share / len(gradients)))
            _, roots, found = np.linalg.svd(scaled, full_matrices=False)
            count = min(rank, np.count_nonzero(roots > 1))
            directions[:, :count] = found[:count].T
            stretches[:count] = roots[:count] ** -2.0
        return cls(*(array.astype(dtype) for array in (scales, directions, stretches)))


LAPLACE = ("laplace", "laplace_diagonal")


def laplace(name: str, precision: np.ndarray, dtype: Any) -> Preconditioner:
    """Return the preconditioner of an approximate posterior of that precision.

    ``"laplace"`` is its covariance: in its coordinates the posterior is round, and a step size has
    no unit. ``"laplace_diagonal"`` has the variances of each coordinate given the others.
    """
    if name == "laplace_diagonal":
        return Diagonal((1 / np.diag(precision)).astype(dtype), name)
    inverse = np.linalg.inv(np.linalg.cholesky(precision))
    covariance = (inverse.T @ inverse).astype(dtype)
    return Dense(covariance, np.linalg.cholesky(covariance), name)


def make_preconditioner(
    value: Any, names: Sequence[str], dtype: Any = np.float64
) -> Preconditioner:
    """Check what the user gave as ``preconditioner`` and wrap it.

    ``value``, shape (d,) or (d, d): the diagonal of ``M``, or ``M``.
    """
    size = len(names)
    allowed = (
        '"laplace", "laplace_diagonal", "adaptive", "identity", an array of shape '
        f"({size},), or one of shape ({size}, {size})"
    )
    if isinstance(value, str):
        if value == "identity":
            return Identity()
        if value == "adaptive":
            return Adaptive(None, size, dtype)
        raise SettingError(f"preconditioner={value!r} is not known: pass {allowed}.")
    try:
        array = np.asarray(value)
    except ValueError:  # rows of several lengths
        array = np.asarray(value, object)
    if array.dtype.kind not in "iuf" or isinstance(value, np.ma.MaskedArray):
        raise SettingError(
            f"preconditioner is a {type(value).__name__} of {array.dtype}, not an array of real "
            f"numbers: pass {allowed}."
        )
    index = getattr(value, "index", None)
    if isinstance(index, pd.Index) and list(index) not in (list(names), list(range(size))):
        raise SettingError(
            "preconditioner has labels that are not those of the coordinates in their order, "
            f"{_listing(names)}: reorder it by the "
            "coordinate_names of a step, or pass plain numbers."
        )
    array = array.astype(dtype)
    if array.shape == (size,):
        right = np.isfinite(array) & (array >= np.finfo(array.dtype).tiny)
        if not right.all():
            worst = int(np.flatnonzero(~right)[0])
            raise SettingError(
                f"preconditioner[{worst}] is {array[worst]}: every entry of a diagonal must be "
                f"finite and positive (a variance), and not below {np.finfo(array.dtype).tiny:.2g}."
            )
        return Diagonal(array)
    if array.shape == (size, size):
        return Dense(array, _cholesky(array))
    raise SettingError(
        f"preconditioner has shape {array.shape}, but the step moves {size} unconstrained "
        f"coordinates ({_listing(names)}): pass {allowed}. With blocked=False each variable has a "
        "step of its own."
    )


def _listing(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")


def _cholesky(matrix: np.ndarray) -> np.ndarray:
    """Return the lower factor, or say what is wrong with the matrix."""
    if not np.isfinite(matrix).all():
        raise SettingError("preconditioner has entries that are not finite.")
    asymmetry = float(np.abs(matrix - matrix.T).max())
    if asymmetry > 100 * np.finfo(matrix.dtype).eps * np.abs(matrix).max():
        raise SettingError(
            f"preconditioner is not symmetric: entries differ from their mirror image by up to "
            f"{asymmetry:.3g}. Pass (M + M.T) / 2."
        )
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        smallest = float(np.linalg.eigvalsh(matrix)[0])
        raise SettingError(
            f"preconditioner is not positive definite: its smallest eigenvalue is {smallest:.3g}. "
            "Pass a covariance matrix of full rank."
        ) from None
