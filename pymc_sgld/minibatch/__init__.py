"""A PyMC model in, a log density whose rows can be selected out.

``model``      from the model to the log density
``position``   the variables that a step moves, in one vector
``terms``      one term for every random variable and potential
``declared``   batches that the model takes itself, by ``pm.Minibatch``
``start``      is the density finite at the initial point, in every row?
``streamed``   rows that come from sources outside of the model
``blocks``     all rows, block by block
``first_pass`` are they finite, too?
``placing``    what the user said of them, as one number
``tables``     which terms share batches of rows; refusals
``rows``       push a selection of rows through a graph, to the data
``rules``      how it passes each op
``picks``      rows that the model picks by a fixed index
``density``    what comes out
``audit``      do rows of a batch have the density that PyMC gives, and do batches add up?
``reporting``  what is minibatched, and what not and why
``lower``      named dimensions (``pymc.dims``) as plain tensors
``integers``   constants that must not overflow
``indices``    negative ones, that read the last group
``fixed``      what does not depend on the position, and its values
``sparse``     products with a sparse matrix, by dense arrays
``support``    the conditions under which the log density is not minus infinity
``graphs``     rebuild graphs
"""

from pymc_sgld.minibatch.reporting import Report, report

__all__ = ["Report", "report"]
