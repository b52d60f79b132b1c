"""In which order rows are read.

``epochs``   batches of rows in memory: epochs in a random order, or random rows
``windows``  batches of a source: windows of random blocks, shuffled
"""
