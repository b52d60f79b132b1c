"""What a chain runs in compiled code.

``updates``  an estimator and a dynamics in, one function that runs k updates out
``data``     the data of a model, as inputs of compiled code
``normals``  normal numbers, by several threads
``threads``  one thread for small products
"""
