"""Two runs beside each other.

``compare``           the table and its verdict
``marginal``          means and standard deviations of one parameter
``joint``             all parameters together
``permutation_test``  how far two runs would be apart by chance
``verdict``           the words
``table``             how it prints
"""
