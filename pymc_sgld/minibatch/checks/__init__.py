"""What is checked before sampling.

``initial_point``     is the density finite at the initial point, in every row?
``source_rows``       is it in every row of a source, too?
``audit``             do rows of a batch have the density that PyMC gives, and do batches add up?
``negative_indices``  negative indices, that read the last group
``costs``             what costs more than it need
``guard``             the model and its data are those that the step was made for
"""
