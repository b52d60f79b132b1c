"""The runs behind the pictures: radon measurements, by textbook SGLD, by its defaults, by NUTS."""

import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pymc as pm
from xarray import DataTree

from pymc_sgld import SGLD, SGLDWarning, TrustReport, compare

sys.path.append(str(Path(__file__).parents[3] / "examples"))
from blind_spot import TEXTBOOK, build, judge

SETTINGS: dict[str, Any] = {
    "chains": 4,
    "cores": 1,
    "random_seed": 2011,
    "progressbar": False,
    "quiet": True,
}


class Runs(NamedTuple):
    """Three runs of one model, and the reports on two of them."""

    textbook: DataTree
    default: DataTree
    nuts: DataTree
    textbook_report: TrustReport
    default_report: TrustReport


def sample() -> Runs:
    """Sample the logistic regression of ``examples/blind_spot.py``."""
    with build() as model:
        textbook = pm.sample(step=SGLD(**TEXTBOOK), tune=200, **SETTINGS)
        default = pm.sample(step=SGLD(), **SETTINGS)
        nuts = pm.sample(nuts_sampler="pymc", **SETTINGS)
    reports = (judge(run, model) for run in (textbook, default))
    return Runs(textbook, default, nuts, *reports)


def sd_ratio(run: DataTree, nuts: DataTree) -> pd.Series:
    """Return each standard deviation over that of NUTS; that a run warns of itself is known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SGLDWarning)
        return compare(run, nuts)["sd_ratio"]
