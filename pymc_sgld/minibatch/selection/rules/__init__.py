"""How a selection of rows passes an op: one rule an op, found by the op's class.

``dispatch``     the function that the rules are registered with
``elementwise``  ops that work on every entry, or on every row, for itself
``shape``        ops that move, add, join and split axes
``indexing``     ops that read and write entries by index
``linalg``       products, solves, and ops that are batched over leading axes
"""

from pymc_sgld.minibatch.graph.dispatch import RowsMixed, has_rule, select_through
from pymc_sgld.minibatch.selection.rules import elementwise, indexing, linalg, shape

__all__ = ["RowsMixed", "elementwise", "has_rule", "indexing", "linalg", "select_through", "shape"]
