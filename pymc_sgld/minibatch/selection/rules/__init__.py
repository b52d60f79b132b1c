"""How a selection of rows passes an op: one rule an op, found by the op's class.

To import this registers the rules with ``select_through`` of ``minibatch.graph.dispatch``.

``elementwise``  ops that work on every entry, or on every row, for itself
``shape``        ops that move, add, join and split axes
``indexing``     ops that read and write entries by index
``linalg``       products, solves, and ops that are batched over leading axes
"""

from pymc_sgld.minibatch.selection.rules import elementwise, indexing, linalg, shape

__all__ = ["elementwise", "indexing", "linalg", "shape"]
