"""A catalogue of models that minibatch themselves, each of ``ROWS`` rows.

``regression``    one outcome, one linear or other predictor
``families``      every univariate distribution as an outcome
``hierarchical``  effects of groups, of people, of items, of times
``multivariate``  rows that are vectors or matrices
``mixtures``      mixtures, inflated, censored, truncated and custom distributions
``arrays``        ways to write the same arithmetic and indexing
``gallery``       models that people fit, by their usual names
"""

from tests.zoo import arrays, families, gallery, hierarchical, mixtures, multivariate, regression
from tests.zoo.catalogue import SELECTABLE, WITH_PARAMETERS_BY_THE_ROW
from tests.zoo.data import ROWS

__all__ = [
    "ROWS",
    "SELECTABLE",
    "WITH_PARAMETERS_BY_THE_ROW",
    "arrays",
    "families",
    "gallery",
    "hierarchical",
    "mixtures",
    "multivariate",
    "regression",
]
