"""Draws of unequal step sizes.

``weights``     what a draw counts
``thinning``    draws that count alike
``summary``     a weighted table
``statistics``  its figures
"""
