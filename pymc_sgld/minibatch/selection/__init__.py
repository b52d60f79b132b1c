"""Which rows of the data a batch reads.

``rows``          push a selection of rows through a graph, to the data
``rules``         how it passes each op
``fixed_index``   rows that the model picks by a fixed index
``pm_minibatch``  batches that the model takes itself, by ``pm.Minibatch``
``from_sources``  rows that come from sources outside of the model
"""
