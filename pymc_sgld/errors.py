"""Every exception of the package.

A message names the object, the value received, what is allowed, and the next action. Each class
takes that message as its only argument, so that it survives pickling on its way out of a worker.
"""

from __future__ import annotations

import os
import warnings

_PACKAGE = os.path.dirname(__file__) + os.sep


class SettingError(ValueError):
    """An argument that cannot be used: wrong type, sign, shape or name."""


class DataError(ValueError):
    """Data that no likelihood can use: NaN, or no rows at all."""


class MinibatchError(ValueError):
    """A model whose likelihood cannot be minibatched correctly."""


class NonFiniteError(RuntimeError):
    """A gradient or position that stopped being finite while sampling."""


class SGLDWarning(UserWarning):
    """A result that should not be believed without a second look."""


def warn(text: str) -> None:
    """Warn the user, at the line outside of this package that called it."""
    warnings.warn(text, SGLDWarning, skip_file_prefixes=(_PACKAGE,))
