"""From the arguments of a step method to what runs its draws.

``call``        the arguments, checked
``prepare``     rows, density and settings for them, in this order, and what follows from these
``transition``  what takes a chain from draw to draw with these settings
"""
