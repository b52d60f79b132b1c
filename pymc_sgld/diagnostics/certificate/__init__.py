"""Exact moments of a posterior, and how far a run is from them.

``certify``  a run and its model in, a certificate out
``located``  where the posterior is, from where the draws of the run are
``exact``    weighted points of the posterior, and the run beside them
``values``   parameters and Deterministics at points of a posterior
``report``   the certificate: a table, a verdict, and draws
"""
