"""What a run needs to know before it samples.

``settings``        what was asked for, and what a step runs with
``posterior``       a Gaussian approximation of the posterior
``locate``          that, and the nodes of integrals over effects
``quadrature``      how many nodes these need
``importance``      the posterior by weighted points
``batch_noise``     gradient noise around the center, measured
``estimators``      which estimate of the gradient to use, and the bias of its noise
``sorted_sources``  what the order of rows on disk adds to the noise
``prior``           how narrow the prior is
``doubts``          what is to be said of every chain
``choices``         what the user left open, by all of this
"""
