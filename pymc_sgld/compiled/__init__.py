"""What a chain runs in compiled code.

``updates``  an estimator and a dynamics in, one function that runs k updates out
``target``   the posterior as graphs of a position
``repeat``   a function of one update, run any number of times
``data``     the data of a model, as inputs of compiled code
``normals``  normal numbers: of NumPy, or many at once of compiled code
``philox``   that code: a counter, a key, and numbers of vector instructions
``threads``  one thread for small products
``garbage``  fewer searches for garbage while graphs are made
"""
