"""The version of this package: a run stores it."""

__version__ = "0.1.0"
