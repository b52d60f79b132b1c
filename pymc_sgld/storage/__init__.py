"""What goes to files and comes back: no code, only JSON and arrays.

``files``     written beside, flushed and renamed
``encoding``  values of known classes
``earlier``   what a step found before sampling, for another step
"""
