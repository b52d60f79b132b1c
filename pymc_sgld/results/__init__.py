"""Use the result of a run at any number of rows: block by block, in memory of a few blocks.

``loo``             leave-one-out cross-validation of all rows, by a sample of them
``predict``         predictions for new rows
``predictive``      whether a run knows its predictions
``log_likelihood``  the log-likelihood of every draw in every row
``likelihood``      the log-likelihood of blocks of rows at draws
``difference``      the difference estimator, from running sums
``new_rows``        variables of a model as functions of new rows
``output``          arrays in memory or in zarr, written block by block
"""

from pymc_sgld.results.log_likelihood import log_likelihood
from pymc_sgld.results.loo import loo
from pymc_sgld.results.predict import predict
from pymc_sgld.results.predictive import PredictiveReport, diagnose_predictions

__all__ = ["PredictiveReport", "diagnose_predictions", "log_likelihood", "loo", "predict"]
