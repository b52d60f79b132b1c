"""A posterior by importance weights: points near it, the likelihood from a few of the rows.

``rows``       which rows stand for the others, and how often each counts
``expansion``  the log density of all rows, by an expansion and what some rows add to it
``points``     where points come from, their weights, and means and standard deviations with errors
``weighted``   as many points, and rows, as an error asks for
"""
