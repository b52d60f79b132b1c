"""A run on disk: it is interrupted, resumed and extended.

``files``        what is written beside, flushed and renamed; locks
``fingerprint``  which call a folder belongs to
``found``        what was chosen before sampling
``run``          its folder, and that of each chain
``chain``        committed as it runs, and replayed
``interrupts``   wait until a draw is whole
"""

from pymc_sgld.checkpoint.found import Found
from pymc_sgld.checkpoint.run import Checkpoint, committed

__all__ = ["Checkpoint", "Found", "committed"]
