"""Exact moments of a posterior, and how far a run is from them.

``certify``  a run and its model in, a certificate out
``values``   parameters and Deterministics at points of a posterior
``report``   the certificate: a table, a verdict, and draws
"""
