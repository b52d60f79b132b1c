"""A PyMC model in, a log density whose rows can be selected out.

``fixed``   what does not depend on the position, and its values
``support`` the conditions under which the log density is not minus infinity
``rows``    push a selection of rows through a graph, op by op
``model``   which variables are minibatched, by which data; refusals
"""
