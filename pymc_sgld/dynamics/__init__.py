"""Update maps, one file an algorithm: position, gradient, noise and step size in, position out.

An update is written with operators only, so that one function serves NumPy arrays (in tests) and
PyTensor variables (in the compiled loop). Noise is handed in, never drawn inside.
"""
