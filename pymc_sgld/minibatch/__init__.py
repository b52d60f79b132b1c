"""A PyMC model in, a log density whose rows can be selected out.

``graphs``  rebuild graphs
``fixed``   what does not depend on the position, and its values
``sparse``  products with a sparse matrix, by dense arrays
``support`` the conditions under which the log density is not minus infinity
``rows``    push a selection of rows through a graph, to the data
``rules``   how it passes each op
``start``   is the density finite at the initial point, in every row?
``model``   which variables are minibatched, by which data; refusals
"""
