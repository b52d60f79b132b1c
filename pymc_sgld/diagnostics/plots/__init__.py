"""Plots, by ArviZ.

``comparison``    densities and traces of two runs
``inflation``     standard deviations over those of the posterior
``panels``        densities and traces
``shared``        backends, colors, legends
``short_labels``  labels that fit
"""
