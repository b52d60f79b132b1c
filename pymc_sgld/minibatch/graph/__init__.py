"""Graphs of log densities.

``rebuild``           rebuild graphs
``simplified``        graphs that are simplified before their gradients are taken
``named_dimensions``  named dimensions (``pymc.dims``) as plain tensors
``integers``          constants that must not overflow
``factors``           covariances by their Cholesky factor
``fixed``             what does not depend on the position, and its values
``sparse``            products with a sparse matrix, by dense arrays
``support``           the conditions under which the log density is not minus infinity
``dispatch``          the rule of an op for a selection of rows
"""
