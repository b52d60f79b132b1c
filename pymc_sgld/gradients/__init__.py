r"""Estimators of the full-data gradient of the log posterior, as graphs, one file for each.

``base``              what all of them give
``minibatch``         the gradient of a batch, scaled
``control_variates``  the same less its expansion around a center
``svrg``              the same around a center that follows the chain
``saga``              the same with the last gradient of every block of rows

An estimator takes the log density for a batch of rows, and a center where the derivatives of all
rows are known. It returns a graph of the position, of the data of the batch, and of constant
arrays. All of them are unbiased; they differ in the variance that the batch leaves:

.. math::

    \hat g(\theta) = \nabla \log p(\theta) + \frac{N}{n} \sum_{i \in B} \nabla \ell_i(\theta)
        + \text{control variate of mean zero}

Notation: :math:`\ell_i` the log-likelihood of row :math:`i`, :math:`B` a batch of :math:`n` of
:math:`N` rows, :math:`\hat\theta` the center, :math:`\delta = \theta - \hat\theta`. Where there are
several tables of rows, each has its own sum and its own :math:`N/n`.
"""

from pymc_sgld.gradients.base import Estimator
from pymc_sgld.gradients.control_variates import control_variate, taylor
from pymc_sgld.gradients.minibatch import minibatch
from pymc_sgld.gradients.saga import saga
from pymc_sgld.gradients.svrg import svrg

ESTIMATORS: dict[str, Estimator] = {
    "minibatch": Estimator(minibatch),
    "control_variate": Estimator(control_variate),
    "taylor": Estimator(taylor),
    "svrg": Estimator(svrg, noise=2.0),
    "saga": Estimator(saga, noise=2.0, own=1.0),
}
