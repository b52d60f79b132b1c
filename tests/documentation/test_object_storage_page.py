"""The code on the page on object storage runs, as it is, on a server that speaks S3."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pymc as pm
import pytest

import pymc_sgld
from tests.graphs import QUICK
from tests.runs import RUN

PAGE = (Path(__file__).parents[2] / "docs" / "object_storage.md").read_text()
ROWS = np.random.default_rng(1).normal(size=(600, 3))


def test_the_page(s3, monkeypatch):
    """Here with a few draws; the address of the server is in the environment."""
    fsspec = pytest.importorskip("fsspec", reason="reads from URLs")
    zarr = pytest.importorskip("zarr", reason="reads zarr")
    files = fsspec.filesystem("s3", **s3.options)
    files.mkdir("flights")
    for i, part in enumerate(np.split(ROWS, 2)):
        table = pd.DataFrame(part, columns=["distance", "hour", "delay"])
        with files.open(f"flights/part-{i}.parquet", "wb") as file:
            table.to_parquet(file)
    zarr.create_array("s3://flights/X.zarr", data=ROWS[:, :2], storage_options=s3.options)

    sample, names = pm.sample, {}
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something")
    monkeypatch.setattr(pm, "sample", lambda **given: sample(**RUN | given))
    monkeypatch.setattr(pymc_sgld, "SGLD", partial(pymc_sgld.SGLD, step_size=1e-5, **QUICK))
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, names)
    assert np.array_equal(names["X"][:], ROWS[:, :2])
    first, second = names["idata"].posterior, names["longer"].posterior
    assert first.equals(second)  # the same rows, read in one way or the other
