"""Which posteriors there are, and where their data and references come from."""

from __future__ import annotations

import json
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pymc as pm
from known_posteriors.hierarchical import RADON
from known_posteriors.posterior import Posterior, read
from known_posteriors.published import mixture

from . import linear, others
from .linear import CAUCHY, Data, Linear


def _half(values: np.ndarray, _: float) -> np.ndarray:
    return (values - values.mean()) / (2 * values.std(ddof=1))


INTERACTION = ("mom_hs", "mom_iq", "both")

# of a model's name in posteriordb: what makes it from its data
MODELS: dict[str, Callable[[Data], Linear | tuple[pm.Model, list[str]]]] = {
    "earn_height": linear.earnings(None, "height"),
    "log10earn_height": linear.earnings(np.log10, "height"),
    "logearn_height": linear.earnings(np.log, "height"),
    "logearn_height_male": linear.earnings(np.log, "height", "male"),
    "logearn_interaction": linear.earnings(np.log, "height", "male", "both"),
    "logearn_interaction_z": linear.earnings(np.log, "height", "male", "both", standard=True),
    "logearn_logheight_male": linear.earnings(np.log, "log_height", "male"),
    "kidscore_interaction": linear.kidscore(*INTERACTION, **CAUCHY),
    "kidscore_momhs": linear.kidscore("mom_hs", **CAUCHY),
    "kidscore_momhsiq": linear.kidscore("mom_hs", "mom_iq", **CAUCHY),
    "kidscore_momiq": linear.kidscore("mom_iq", **CAUCHY),
    "kidscore_interaction_c": linear.kidscore(*INTERACTION, prepare=lambda v, _: v - v.mean()),
    "kidscore_interaction_c2": linear.kidscore(*INTERACTION, prepare=np.subtract),
    "kidscore_interaction_z": linear.kidscore(*INTERACTION, prepare=_half),
    "kidscore_mom_work": linear.mom_work,
    "nes": linear.nes,
    "mesquite": linear.mesquite,
    "logmesquite": linear.logmesquite(
        "diam1", "diam2", "canopy_height", "total_height", "density", "group"
    ),
    "logmesquite_logva": linear.logmesquite("volume", "area", "group"),
    "logmesquite_logvas": linear.logmesquite(
        "volume", "area", "shape", "total_height", "density", "group"
    ),
    "logmesquite_logvash": linear.logmesquite("volume", "area", "shape", "total_height", "group"),
    "logmesquite_logvolume": linear.logmesquite("volume"),
    "kilpisjarvi": linear.kilpisjarvi,
    "radon_pooled": linear.radon_pooled,
    "blr": linear.blr,
    "sesame_one_pred_a": linear.sesame,
    "arK": linear.autoregression,
    "low_dim_gauss_mix": mixture,
    "eight_schools_noncentered": others.eight_schools,
    "gp_pois_regr": others.gp_pois_regr,
    "gp_regr": others.gp_regr,
    "dogs": others.dogs,
    "dogs_log": others.dogs_log,
    "diamonds": others.diamonds,
    "wells_dist": others.logistic("switched", lambda data: [data["dist"]], one=True),
    "wells_dist100_model": others.logistic(
        "switched", lambda data: [data["dist"] / 100], one=False
    ),
    "wells_dist100ars_model": others.logistic(
        "switched", lambda data: [data["dist"] / 100, data["arsenic"]], one=False
    ),
    "wells_interaction_c_model": others.logistic("switched", others.wells_interaction, one=False),
    "nes_logit_model": others.logistic("vote", lambda data: [data["income"]], one=False),
}

SCAN = "each step depends on what the one before it made: the likelihood does not factorise"
ODE = "a differential equation, for which PyMC has no solver that it can differentiate quickly"
VAR = "a vector autoregression with a prior on stationary ones, which PyMC does not have"
# of a model's name: why it is not written for PyMC
NOT_PORTED = {
    **dict.fromkeys(("arma11", "garch11", "hmm_example", "hmm_drive_0", "hmm_drive_1"), SCAN),
    **dict.fromkeys(
        ("lotka_volterra", "one_comp_mm_elim_abs", "twocpt_pk_ode", "standard_ODE"), ODE
    ),
    **dict.fromkeys(("semiconj_var", "statprior_var", "statrml_var"), VAR),
    "accel_gp": "a Gaussian process by basis functions, made by brms",
    "dogs_hierarchical": "not yet",
}
NOT_PORTED |= dict.fromkeys((f"Rate_{k}_model" for k in range(1, 6)), "one or two rows")
NOT_PORTED |= dict.fromkeys(("M0_model", "M0_model_discrete"), "discrete, or a sum over it")

# with data in this repository: posteriordb's names of data, and of models
POSTERIORS = (
    *(f"earnings-{name}" for name in MODELS if "earn_" in name),
    *(f"kidiq-kidscore_{name}" for name in ("interaction", "momhs", "momhsiq", "momiq")),
    *(
        f"kidiq_with_mom_work-kidscore_{name}"
        for name in ("interaction_c", "interaction_c2", "interaction_z", "mom_work")
    ),
    *(f"mesquite-{name}" for name in MODELS if "mesquite" in name),
    "nes1984-nes",
    "kilpisjarvi_mod-kilpisjarvi",
    "radon_all-radon_pooled",
    "arK-arK",
    "dogs-dogs",
    "sblrc-blr",
    "low_dim_gauss_mix-low_dim_gauss_mix",
    "eight_schools-eight_schools_noncentered",
    "gp_pois_regr-gp_pois_regr",
    "gp_pois_regr-gp_regr",
)


class Problem(NamedTuple):
    """A posterior with its reference, and how far a published mean is from that, in sds."""

    known: Posterior
    published: float
    kind: str  # of the reference: "quadrature" or "draws"


class Database(ABC):
    """Where data and references come from."""

    @property
    @abstractmethod
    def names(self) -> list[str]:
        """Of the posteriors with a reference."""

    @abstractmethod
    def parts(self, name: str) -> tuple[str, str]:
        """Return the names of a posterior's data and model."""

    @abstractmethod
    def data(self, name: str) -> Data:
        """Return the data of a name."""

    @abstractmethod
    def moments(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Return means and sds of reference draws; sds are NaN where they are not known."""

    def problem(self, name: str) -> Problem | str:
        """Return a posterior, or why it is not written for PyMC."""
        of_data, of_model = self.parts(name)
        if of_model not in MODELS:
            return NOT_PORTED.get(of_model, "not known here")
        found = MODELS[of_model](self.data(of_data))
        draws = self.moments(name)
        if isinstance(found, Linear):
            mean, sd = found.moments()
            published = np.nan
            if draws is not None:
                published = float((np.abs(draws[0] - mean) / sd).max())
            return Problem(Posterior(*found.model(), mean, sd), published, "quadrature")
        if draws is None:
            draws = (np.array([]), np.array([]))
        return Problem(Posterior(*found, *draws), np.nan, "draws")


class Shipped(Database):
    """What this repository has."""

    files: Mapping[str, str] = {
        "earnings": "earnings",
        "kidiq": "kidiq",
        "kidiq_with_mom_work": "kidiq",
        "nes1984": "nes",
        "sblrc": "sblrc",
        "low_dim_gauss_mix": "gauss_mix",
    }

    def __init__(self) -> None:
        self._file = read("posteriordb")

    @property
    def names(self) -> list[str]:
        return list(POSTERIORS)

    def parts(self, name: str) -> tuple[str, str]:
        of_data, _, of_model = name.partition("-")
        return of_data, of_model

    def data(self, name: str) -> Data:
        if name == "radon_all":
            table = pd.read_csv(RADON)
            return {column: table[column].to_numpy() for column in table}
        file = read(self.files[name]) if name in self.files else self._file
        content = file["data"] if name in self.files else file["data"][name]
        return {key: np.asarray(value) for key, value in content.items()}

    def moments(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        for file in self.files.values():
            if read(file).get("posterior") == name:
                return tuple(np.array(read(file)[key]) for key in ("mean", "sd"))
        if name not in self._file["references"]:
            return None
        found = self._file["references"][name]
        mean = np.array(found["mean"])
        if "mean_squared" in found:
            return mean, np.sqrt(np.array(found["mean_squared"]) - mean**2)
        if "sd" in found:
            return mean, np.array(found["sd"])
        return mean, np.full(len(mean), np.nan)


class Checkout(Database):
    """A folder with posteriordb's own files."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / "posterior_database"
        if not self._root.is_dir():
            raise SystemExit(
                f'"{folder}" has no folder "posterior_database": pass the folder of a checkout of '
                "posteriordb."
            )

    def _info(self, name: str) -> dict:
        return json.loads((self._root / "posteriors" / f"{name}.json").read_text())

    @staticmethod
    def _zipped(path: Path) -> object:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(path.stem))

    @property
    def names(self) -> list[str]:
        every = sorted(path.stem for path in (self._root / "posteriors").glob("*.json"))
        return [name for name in every if self._info(name).get("reference_posterior_name")]

    def parts(self, name: str) -> tuple[str, str]:
        info = self._info(name)
        return info["data_name"], info["model_name"]

    def data(self, name: str) -> Data:
        found = self._zipped(self._root / "data" / "data" / f"{name}.json.zip")
        assert isinstance(found, dict)
        return {key: np.asarray(value) for key, value in found.items()}

    def moments(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        folder = self._root / "reference_posteriors" / "draws" / "draws"
        reference = self._info(name)["reference_posterior_name"]
        chains = self._zipped(folder / f"{reference}.json.zip")
        assert isinstance(chains, list)
        of_model = self.parts(name)[1]
        wanted = [key for key in chains[0] if not _is_left_out(of_model, key)]
        draws = np.array([np.concatenate([chain[key] for chain in chains]) for key in wanted])
        return draws.mean(axis=1), draws.std(axis=1)


# Deterministics of the draws that a model here does not have
LEFT_OUT = {
    "diamonds": ("b_Intercept",),
    "eight_schools_noncentered": ("theta_trans",),
    "gp_pois_regr": ("f_tilde",),
    "dogs": ("n_avoid", "n_shock", "p"),
    "dogs_log": ("n_avoid", "n_shock", "p"),
}


def _is_left_out(model: str, key: str) -> bool:
    return key.partition("[")[0] in LEFT_OUT.get(model, ())
