"""What a run needs to know before it samples.

``centre``     where the posterior is, and how wide
``step_size``  the step size for a tolerated bias
"""
