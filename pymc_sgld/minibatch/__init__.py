"""A PyMC model in, a log density whose rows can be selected out.

``model``            from the model to the log density
``terms``            one term for every random variable and potential
``tables``           which terms share batches of rows; refusals
``density``          what comes out
``position``         the variables that a step moves, in one vector
``placing``          what the user said of potentials and observed variables, as one number
``blocks``           all rows, block by block
``block_functions``  functions of a block: the log density and its derivatives
``full_data``        passes over all rows with them
``reporting``        what is minibatched, and what not and why
``groups``           effects of groups, integrated out
``graph``            rebuild and simplify graphs
``selection``        push a selection of rows through a graph, to the data
``checks``           what is checked before sampling
"""

from pymc_sgld.minibatch.reporting import Report, report

__all__ = ["Report", "report"]
