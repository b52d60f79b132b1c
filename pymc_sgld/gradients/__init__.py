"""Estimators of the gradient of the log density of all rows.

``estimators``  the minibatch gradient, and control variates for it
"""
