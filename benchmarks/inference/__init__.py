"""What a PyMC user would pick instead of SGLD: how each is run, and how its runs are measured."""
