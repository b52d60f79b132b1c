"""The same functions of NumPy arrays and of PyTensor variables."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable


def functions_for(*arrays: Any) -> ModuleType:
    """Return the module with ``exp``, ``sqrt``, ``where`` and others for these arrays."""
    return pt if any(isinstance(array, Variable) for array in arrays) else np
