"""The chains of a run on a cluster, with their progress, and what they give together."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from pymc.model import Model
from pymc.sampling.mcmc import get_default_tune_steps
from pymc.stats.convergence import log_warnings, run_convergence_checks
from pymc.util import drop_warning_stat

from pymc_sgld.arguments import flag, model_of, whole_number
from pymc_sgld.checkpoint import Checkpoint, committed
from pymc_sgld.distributed.chain import run_chain
from pymc_sgld.errors import SettingError
from pymc_sgld.messages import CHAIN, LastWords, in_one_voice
from pymc_sgld.progress import progress
from pymc_sgld.step import SGLD
from pymc_sgld.workers.executor import check_client, kept, results, sent

_OWN = {"callback", "compute_convergence_checks", "cores", "keep_warning_stat", "mp_ctx", "quiet"}
_OWN |= {"return_inferencedata", "trace", "nuts_sampler", "blas_cores"}
_LOOK = 0.5  # seconds between two looks at what is committed
_FEW = 6  # chains whose draws are shown, each


def sample_on(
    client: Any,
    model: Model | None = None,
    *,
    draws: int = 1000,
    tune: int | None = None,
    chains: int = 4,
    random_seed: int | Sequence[int] | None = None,
    step: SGLD | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progressbar: bool = True,
    **arguments: Any,
) -> xr.DataTree:
    """Sample with :func:`pymc.sample` on the workers of a Dask cluster, a chain each.

    Each chain commits its draws and its state to the folder of a checkpoint every five seconds. If
    a worker is lost, another one goes on with its chain from there. The draws are those that
    ``pm.sample(draws, step=step, random_seed=random_seed)`` gives on one machine, to the bit,
    whatever was lost; and the same call, made again, goes on with what is in the folder.

    Parameters
    ----------
    client : dask.distributed.Client
        Workers need this package, and must see the folder of the checkpoint. They read the sources
        of ``data`` themselves; data in memory are sent to them (1 GB at most).
    model : Model, optional
        By default the model of the context.
    draws, tune, chains, random_seed
        As in :func:`pymc.sample`.
    step : SGLD, SGHMC, ..., optional
        With a ``checkpoint``. By default ``SGLD(checkpoint=checkpoint, executor=client)``.
    checkpoint : path, optional
        A folder on storage that all workers share, if there is no ``step``.
    progressbar : bool
        Whether to show how many draws are committed, in a terminal or a notebook.
    **arguments
        Others of :func:`pymc.sample`, such as ``var_names`` or ``initvals``.

    Returns
    -------
    DataTree
        As ``pm.sample`` returns it, with all chains.

    Raises
    ------
    SettingError
        For a client that is closed, a step without checkpoint, a model that cannot be pickled; if
        workers die again and again, or do not see the folder.
    """
    check_client(client, "client")
    model = model_of(model)
    draws, chains = whole_number("draws", draws), whole_number("chains", chains)
    shown = flag("progressbar", progressbar) is not False
    refused = sorted(_OWN & arguments.keys())
    if refused:
        raise SettingError(
            f"sample_on has no arguments {refused}: what they set is done by the workers, each of "
            "which samples one chain."
        )
    if step is None and checkpoint is not None:
        step = SGLD(model=model, checkpoint=checkpoint, executor=client, progressbar=shown)
    if not isinstance(step, SGLD) or step._checkpoint is None:
        raise SettingError(
            "sample_on needs a folder from which a chain goes on when its worker is lost: pass "
            'checkpoint="/shared/run", or step=SGLD(checkpoint="/shared/run").'
        )
    if checkpoint is not None and step._checkpoint.folder != Checkpoint(checkpoint).folder:
        raise SettingError(
            f'step has the checkpoint "{step._checkpoint.folder}", and checkpoint= is another '
            "folder: leave it out."
        )
    folder = step._checkpoint.folder
    seed = _entropy(random_seed, folder / "settings.npz")
    run = kept(client, sent((model, step), "the model"))
    tune = get_default_tune_steps(step, tune)
    arguments |= {"draws": draws, "tune": tune}
    starts = arguments.pop("initvals", None)
    points = starts if isinstance(starts, list | tuple) else [starts] * chains
    if len(points) != chains:
        raise SettingError(f"initvals has {len(points)} points: pass one, or {chains}.")
    futures = [
        client.submit(run_chain, run, k, seed, arguments | {"initvals": start}, pure=False)
        for k, start in enumerate(points)
    ]
    try:
        total = chains * (draws + tune)
        with progress("", total, shown, "sample_on") as update:
            while any(future.status == "pending" for future in futures):
                counts = committed(folder, chains)
                each = " ".join(map(str, counts)) if chains <= _FEW else f"{min(counts)} or more"
                update(f"{each} of {draws + tune} draws committed", completed=sum(counts))
                if any(future.status == "error" for future in futures):
                    break
                time.sleep(_LOOK)
        failed = [future for future in futures if future.status == "error"]
        found = results(client, failed or futures, "the chains")
    finally:
        if client.status == "running":
            client.cancel(futures)
    result = _together(found)
    for line in in_one_voice(_said(result), f"Sampling {chains} chains"):
        CHAIN.warning(line)
    log_warnings(run_convergence_checks(result, model))
    return drop_warning_stat(result)


def _entropy(random_seed: Any, settings: Path) -> int | list[int]:
    """Return the seed of a run; for None one that belongs to the settings that were found."""
    if random_seed is None:
        return int.from_bytes(hashlib.blake2b(settings.read_bytes(), digest_size=16).digest())
    try:
        entropy: Any = np.random.SeedSequence(random_seed).entropy
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"random_seed={random_seed!r} is no seed: {error}. Pass a whole number, some of them, "
            "or None."
        ) from None
    return entropy if isinstance(entropy, int) else [int(each) for each in entropy]


def _together(chains: Sequence[dict[str, xr.Dataset]]) -> xr.DataTree:
    """Return the result of all chains: what is not of a chain comes from the first."""
    joined: dict[str, xr.Dataset] = {
        name: xr.concat([chain[name] for chain in chains], "chain", combine_attrs="override")
        if "chain" in group.dims
        else group
        for name, group in chains[0].items()
    }
    return xr.DataTree.from_dict(joined)


def _said(result: xr.DataTree) -> list[LastWords]:
    """Return what the chains say at their end."""
    stats = result["sample_stats"].data_vars.items()
    warnings = [stat.to_numpy().ravel() for name, stat in stats if "warning" in str(name)]
    messages = [getattr(each, "message", None) for of_step in warnings for each in of_step]
    return [message for message in messages if isinstance(message, LastWords)]
