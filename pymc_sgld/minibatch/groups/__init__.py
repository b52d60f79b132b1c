"""Effects of groups of rows, integrated out: a group with all of its rows is a row of a table.

``find``         which effects can be integrated out, and why others cannot
``choose``       which of them are
``levels``       the group of each row
``layout``       classes of groups of about one size, their rows padded
``selection``    the selection of groups, and of their rows
``quadrature``   the integral over the effects of a group
``groups``       the terms of the log density that are made of these
``block``        the effects of a block of groups given the other variables
``conditional``  the effects of all groups given the other variables
"""
