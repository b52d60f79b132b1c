"""A chain: from draw to draw, and what it measures of its own bias.

``state``          what a chain carries from draw to draw
``draw``           the updates of a draw
``warm_start``     chains that look for a mode first, as networks need it
``coupled``        a part of the chain beside itself with half the step size: means and variances
``noise_monitor``  gradient noise: the variance that it adds, and Welling and Teh's threshold
``mixing``         effective sample size, and the width of the draws
``judge``          from the readings of a chain to words
``verdict``        all that is said of a chain at its end
``stats``          the stats of a draw
``effects``        effects of groups that are integrated out, drawn for each draw
``failures``       what is not finite, explained
``parameters``     the parameters of the model at a position
"""
