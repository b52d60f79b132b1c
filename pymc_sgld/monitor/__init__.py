"""What a chain measures of its own bias while it runs, in plain NumPy.

``noise``     gradient noise: the variance that it adds, and Welling and Teh's threshold
``contrast``  a part of the chain beside itself with half the step size: means and variances
``verdict``   from the readings of a chain to words
``mixing``    effective sample size, and the width of the draws
``messages``  the words of all chains of a run, said once
"""
