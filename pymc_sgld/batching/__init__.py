"""In which order rows are read.

``order``    what an order of rows is, and what epochs have in common
``epochs``   batches of rows in memory: epochs in a random order, or random rows
``windows``  batches of a source: windows of random blocks, shuffled
"""
