"""The Euler–Maruyama update of stochastic gradient Langevin dynamics."""

from typing import Any


def update(
    position: Any,
    preconditioned_gradient: Any,
    preconditioned_noise: Any,
    step_size: Any,
    temperature: Any,
) -> Any:
    r"""One SGLD update.

    .. math::

        \theta' = \theta + \tfrac{\varepsilon}{2} M \hat g(\theta)
            + \sqrt{T \varepsilon}\, L z, \qquad z \sim N(0, I), \quad L L^\top = M

    with step size :math:`\varepsilon` (drift :math:`\varepsilon / 2`, noise variance
    :math:`T \varepsilon M`), preconditioner :math:`M`, temperature :math:`T` and :math:`\hat g`
    an estimate of the full-data gradient of the log posterior. :math:`T = 0` is preconditioned
    stochastic gradient ascent.

    Parameters
    ----------
    position : array or tensor, shape (d,)
        :math:`\theta`, in the unconstrained space.
    preconditioned_gradient : array or tensor, shape (d,)
        :math:`M \hat g(\theta)`.
    preconditioned_noise : array or tensor, shape (d,)
        :math:`L z`.
    step_size : float or scalar tensor
        :math:`\varepsilon`.
    temperature : float or scalar tensor
        :math:`T`; 1 samples the posterior.

    Returns
    -------
    array or tensor, shape (d,)
        :math:`\theta'`.

    References
    ----------
    Welling and Teh (2011), Bayesian learning via stochastic gradient Langevin dynamics,
    equation 4; with a constant preconditioner as in Girolami and Calderhead (2011), section 5.

    Examples
    --------
    >>> import numpy as np
    >>> update(np.array([1.0]), np.array([-1.0]), np.array([2.0]), 0.25, 1.0)
    array([1.875])
    """
    drift = (step_size / 2) * preconditioned_gradient
    noise = (temperature * step_size) ** 0.5 * preconditioned_noise
    return position + drift + noise
