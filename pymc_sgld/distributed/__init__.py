"""Chains on a cluster.

``chain``    a chain as a task of a worker
``sampling`` all of them, with their progress, and the result
"""

from pymc_sgld.distributed.sampling import sample_on

__all__ = ["sample_on"]
