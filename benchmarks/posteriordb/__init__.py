"""Posteriors of posteriordb, written for PyMC, with their data and references.

Data and references are those of posteriordb, BSD-3-Clause: ``data/posteriordb_LICENCE.md``.
"""

from .database import POSTERIORS, Checkout, Database, Problem, Shipped

__all__ = ["POSTERIORS", "Checkout", "Database", "Problem", "Shipped"]
