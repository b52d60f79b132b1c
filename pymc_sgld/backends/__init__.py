"""How a graph is run: by compiled code, or by NumPy where compiling takes longer.

``backend``           Numba, C or JAX; or NumPy
``jax_process``       where JAX can run
``numpy_mode``        graphs that NumPy runs, without compiling
``products_as_sums``  products with vectors, as loops
``quick_operations``  sums, shapes and moved axes that Numba compiles sooner
``numba_linker``      functions that Numba compiles once
``numba_libraries``   one piece of machine code for each of them
``function_cache``    the same graph is not compiled twice
``remembered``        nor is it simplified twice, in another process either
``flat_graph``        graphs as they are kept on disk
"""
