"""Where the user placed the terms of a model, as one number that a result can store."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pymc.model import Model

UNKNOWN = -1
"""Of more terms than an integer has bits."""


def number_of(model: Model, potentials: Mapping[str, str], full: Collection[str]) -> int:
    """Return the number of ``potentials=`` and ``full=``.

    It has a bit for every potential of the model, 1 by rows, then one for every observed variable,
    1 in full.
    """
    bits = [potentials.get(one.name) == "rows" for one in model.potentials]
    bits += [one.name in full for one in model.observed_RVs]
    number = sum(bit << place for place, bit in enumerate(bits))
    return number if number < 2**63 else UNKNOWN


def places_of(model: Model, number: int) -> tuple[dict[str, str], list[str]]:
    """Return ``potentials=``, all of them, and ``full=``."""
    if number == UNKNOWN:
        number = 0
    places = {
        one.name: "rows" if number >> place & 1 else "prior"
        for place, one in enumerate(model.potentials)
    }
    number >>= len(places)
    return places, [one.name for i, one in enumerate(model.observed_RVs) if number >> i & 1]
