"""The list of models that minibatch themselves."""

import functools

import pymc as pm

from tests.zoo.data import coords

SELECTABLE = []
WITH_PARAMETERS_BY_THE_ROW = []


def selectable(body, catalogue=SELECTABLE):
    """Enter into the catalogue a function that returns the model which ``body`` writes."""

    @functools.wraps(body)
    def build():
        with pm.Model(coords=coords) as model:
            body()
        return model

    catalogue.append(build)
    return build


def with_parameters_by_the_row(body):
    """Enter a model that keeps as many parameters as there are rows, or arrays of that length."""
    return selectable(body, WITH_PARAMETERS_BY_THE_ROW)
