"""A Gaussian approximation of the posterior: where it is, and how wide.

``search``       where to look, and what is found
``earlier``      the Gaussian of an earlier run, verified
``starts``       where the search starts
``variational``  the search for a Gaussian
``subsample``    the same from a sample of rows, made that of all rows
``covariance``   how wide it is: a full matrix, or a diagonal and some directions
``curvature``    Hessians by differences of gradients
"""
