"""Whether to believe a run, without a reference.

``diagnose``             the report
``by_gradients``         what gradients at the draws say
``gradient_regression``  means and standard deviations, by a regression of gradients on draws
``stein_identities``     what would be zero in the posterior
``kernel_stein``         the kernel Stein discrepancy
``gradients``            gradients of all rows at the draws
``mixing``               R-hat and effective sample sizes
``unconstrained``        draws in unconstrained coordinates, and gradients there
``whitened``             draws in coordinates of variance one
``doubts``               what speaks against a run
``report``               how it prints
"""
