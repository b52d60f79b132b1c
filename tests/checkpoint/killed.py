"""A program that samples with a checkpoint, and stores what it has at its end.

Run as ``python -m tests.checkpoint.killed FOLDER START_METHOD CHAINS``.
"""

import os
import pickle
import sys
from pathlib import Path

from pymc_sgld import SGLD
from pymc_sgld.checkpoint import chain, run
from tests.checkpoint.stopped import model, sample
from tests.graphs import QUICK

SETTINGS = QUICK | {"batch_size": 7, "step_size": 1e-3, "steps_per_draw": 2}
DRAWS = {"draws": 110, "tune": 30}


def main(folder, start_method, chains, of=None, step=None):
    """Commit every 20 ms; with a step that was made before, or one of its own."""
    run.EVERY, chain.SHARE = 0.02, 1.0
    of, path = of or model(), Path(folder) / "run"
    if step is None:
        step = SGLD(model=of, checkpoint=path, **SETTINGS)
    else:
        step._checkpoint = run.Checkpoint(path)
    result = sample(of, step, **DRAWS, **cores(start_method, chains))
    groups = {"posterior": result.posterior, "sample_stats": result.sample_stats}
    beside = Path(folder) / "new"
    beside.write_bytes(pickle.dumps(groups))
    os.replace(beside, Path(folder) / "result")


def cores(start_method, chains):
    """Return settings of `pm.sample`: one chain runs here."""
    return {"chains": chains, "cores": min(chains, 2), "mp_ctx": start_method}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
