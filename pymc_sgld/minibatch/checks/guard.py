"""What a step was made for: a model with these data and terms, and one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from pymc.model import Model
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable

from pymc_sgld.errors import SettingError


class Guard:
    """Refuses to sample a model that changed, and to run the chains of two threads.

    In another process there is no model that could change: a pickle holds nothing.
    """

    def __init__(self, model: Model, data: Mapping[SharedVariable, np.ndarray]) -> None:
        self._model: Model | None = model
        self._data, self._terms = dict(data), _terms(model)
        self._thread: int | None = None

    def check_model(self) -> None:
        """Refuse data, or terms, that are no longer those of the model."""
        for shared, value in self._data.items():
            now = shared.get_value(borrow=True)
            if now is value:
                continue
            if not _same(now, value):
                raise SettingError(
                    f'the data "{shared.name}" changed after this step was made, which still has '
                    "the old data: make a new step after pm.set_data. With settings= of this step "
                    "it need not search again."
                )
            self._data[shared] = now
        model = self._model
        if model is not None and len(_terms(model)) != len(self._terms):
            names = {v.name for v in _terms(model)} ^ {v.name for v in self._terms}
            raise SettingError(
                f"{', '.join(sorted(names))} came into the model, or left it, after this step was "
                "made: make a new step for the new model."
            )

    def enter(self) -> None:
        """Give the step to the thread that starts a chain."""
        self._thread = threading.get_ident()

    def check_thread(self) -> None:
        """Refuse another thread than that of the chain: each would go on with the other's."""
        if self._thread is None:
            self.enter()
        if self._thread == threading.get_ident():
            return
        if self._thread in {thread.ident for thread in threading.enumerate()}:
            raise SettingError(
                "this step runs a chain in another thread, and can run one at a time: make a step "
                "for each thread, or sample with cores= above 1."
            )

    def __getstate__(self) -> dict[str, Any]:
        return {"_model": None, "_data": {}, "_terms": [], "_thread": None}


def _terms(model: Model) -> list[Variable]:
    """Return what the log density of a model consists of."""
    return [*model.basic_RVs, *model.potentials]


def _same(one: Any, other: Any) -> bool:
    """Whether two values of a ``pm.Data`` are the same, entry by entry."""
    if np.shape(one) != np.shape(other) or one.dtype != other.dtype:
        return False
    if not isinstance(one, np.ndarray):  # sparse
        return (one != other).nnz == 0
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
