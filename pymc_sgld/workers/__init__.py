"""Passes over rows that other processes share.

``executor``  the processes that the user named, and what they are sent
``parts``     what one of them does of a pass
"""
