"""What a run needs to know before it samples.

``settings``    what was asked for, and what a step runs with
``centre``      where the posterior is, and how wide
``gaussian``    the search for its Gaussian approximation
``sample``      the same from a sample of rows, made that of all rows
``shapes``      how wide a Gaussian is: a full matrix, or a diagonal and some directions
``noise``       gradient noise around the centre, measured
``estimators``  which estimate of the gradient to use, and the bias of its noise
``step_size``   the step size for a tolerated bias
``choices``     what the user left open, by all of this
"""
