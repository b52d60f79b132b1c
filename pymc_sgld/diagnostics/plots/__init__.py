"""Plots, by ArviZ.

``comparison``    densities and traces of two runs
``bias``          means and standard deviations of one run, as far as they are off
``panels``        densities and traces
``shared``        colors, and panels without a frame
``short_labels``  labels that fit
"""
