"""The noise of Leimkuhler and Matthews: averages of consecutive normal numbers."""

import numpy as np


def average(noise: np.ndarray, previous: np.ndarray) -> np.ndarray:
    r"""Return the noise of updates that makes the Euler–Maruyama update second order.

    .. math::

        \theta_{k+1} = \theta_k + \tfrac{\varepsilon}{2} M \hat g(\theta_k)
            + \sqrt{T \varepsilon}\, L\, \tfrac12 (z_k + z_{k+1})

    With a constant step size, and where the gradient has no noise, the variance of a Gaussian is
    exact, and the bias of other targets is of second order in :math:`\varepsilon`.

    Parameters
    ----------
    noise : ndarray, shape (k, d)
        New standard normal numbers, :math:`z_1` to :math:`z_k`.
    previous : ndarray, shape (d,)
        :math:`z_0`, the last of the updates before.

    Returns
    -------
    ndarray, shape (k, d)
        What takes the place of ``noise`` in the Euler–Maruyama update.

    References
    ----------
    Leimkuhler and Matthews (2013), Rational construction of stochastic numerical methods for
    molecular sampling, equation 6.

    Examples
    --------
    >>> import numpy as np
    >>> average(np.array([[1.0], [3.0]]), np.array([5.0]))
    array([[3.],
           [2.]])
    """
    earlier = np.concatenate([previous[None], noise[:-1]])
    return (earlier + noise) / 2
