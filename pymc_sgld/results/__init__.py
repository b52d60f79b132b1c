"""Use the result of a run at any number of rows: block by block, in memory of a few blocks.

``loo``             leave-one-out cross-validation of all rows, by a sample of them
``predict``         predictions for new rows
``log_likelihood``  the log-likelihood of every draw in every row
``draws``           the draws that all of these are computed from
``likelihood``      the log-likelihood of blocks of rows at draws
``difference``      the difference estimator, from running sums
``new_rows``        variables of a model as functions of new rows
``output``          arrays in memory or in zarr, written block by block
"""

from pymc_sgld.results.log_likelihood import log_likelihood
from pymc_sgld.results.loo import loo
from pymc_sgld.results.predict import predict

__all__ = ["log_likelihood", "loo", "predict"]
