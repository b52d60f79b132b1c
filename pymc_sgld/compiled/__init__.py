"""What runs in compiled code, and how it is compiled.

``updates``           an estimator and a dynamics in, one function that runs k updates out
``data``              the data of a model, as inputs of compiled code
``backend``           Numba, C or JAX
``numpy_mode``        passes over all rows by NumPy, without compiling
``products_as_sums``  products with vectors, as loops
``function_cache``    the same graph is not compiled twice
``normals``           normal numbers, by several threads
``threads``           one thread for small products
"""
